"""protocol.md is the registry text, cut but not changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "mappings" / "studies" / "NCT05985863" / "protocol.md"
TEXT = PROTOCOL.read_text(encoding="utf-8")
SENTENCES = dict(re.findall(r"^### (S\d+)\n\n> (.+)$", TEXT, re.MULTILINE))
SPANS = re.findall(r"^\| ([IE]\d+[a-f]?) \| (S\d+) \| (.+) \|$", TEXT, re.MULTILINE)
REGISTRY = ROOT.parent / "shared" / "trial.txt"


def test_sentences_are_numbered_without_gaps() -> None:
    assert list(SENTENCES) == [f"S{number}" for number in range(1, 18)]


@pytest.mark.skipif(not REGISTRY.exists(), reason="the registry text is not beside this checkout")
def test_the_sentences_joined_are_the_registry_text() -> None:
    lines = REGISTRY.read_text(encoding="utf-8").splitlines()
    assert " ".join(SENTENCES.values()) in lines


def test_each_of_the_32_statements_quotes_its_sentence() -> None:
    assert len({name for name, _, _ in SPANS}) == len(SPANS) == 32
    assert [name for name, number, span in SPANS if span not in SENTENCES[number]] == []


@pytest.mark.skipif(not REGISTRY.exists(), reason="the registry text is not beside this checkout")
def test_the_arms_are_quoted_as_printed() -> None:
    lines = REGISTRY.read_text(encoding="utf-8").splitlines()
    arms = [f"> {line}" for line in lines[lines.index("Arm 1") :]]
    assert "\n".join(arms) in TEXT
