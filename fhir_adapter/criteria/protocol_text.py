"""protocol.md: the numbered sentences of the protocol, read out of ordinary Markdown.

A sentence starts where a line starts with its number (S1, S2a, ...), whatever Markdown stands
around it: a list item, a table row, bold type; where numbers are headings, only headings count.
It ends at the next number, the next heading, or a blank line after its text.
"""

from __future__ import annotations

import re

from fhir_adapter.criteria.yaml_nodes import fault
from fhir_adapter.model.study import Sentence

_START = re.compile(r"^[\s>#|*`\[-]*(?P<id>S\d+[a-z]?)\b[\]`*.:)|\s-]*(?P<text>.*)$")
_HEADED = re.compile(r"^#+\s*(?P<id>S\d+[a-z]?)\b[.:)\s-]*(?P<text>.*)$")
_HEADING = re.compile(r"^\s*#")
_QUOTE = re.compile(r"^\s*>\s?")


def sentences_from(text: str, file: str = "protocol.md") -> tuple[Sentence, ...]:
    """All numbered sentences in their order.

    >>> sentences_from("**S1** Age of 18 or more.")
    (Sentence(id='S1', text='Age of 18 or more.'),)
    """
    blocks = _blocks(text)
    _refuse_bad(blocks, file)
    if not blocks:
        raise fault(file, 1, "no numbered sentence", remedy="Start each sentence with S1, S2, ...")
    return tuple(Sentence(id=name, text=" ".join(words)) for name, _, words in blocks)


def _blocks(text: str) -> list[tuple[str, int, list[str]]]:
    blocks: list[tuple[str, int, list[str]]] = []
    lines = text.splitlines()
    start = _HEADED if any(_HEADED.match(line) for line in lines) else _START
    is_open = False
    for number, line in enumerate(lines, start=1):
        started = start.match(line)
        if started:
            words = started["text"].rstrip("| ")
            blocks.append((started["id"], number, [words] if words else []))
            is_open = True
        elif is_open:
            is_open = _continued(line, blocks[-1][2])
    return blocks


def _continued(line: str, words: list[str]) -> bool:
    """Add a following line to a sentence; False when the line ends it."""
    plain = _QUOTE.sub("", line).strip()
    if _HEADING.match(line) or (not plain and words):
        return False
    if plain:
        words.append(plain)
    return True


def _refuse_bad(blocks: list[tuple[str, int, list[str]]], file: str) -> None:
    seen: set[str] = set()
    for name, line, words in blocks:
        if name in seen:
            raise fault(file, line, f"{name} is written twice", remedy="Number each sentence once.")
        if not words:
            raise fault(file, line, f"{name} has no text", remedy="Write the sentence after it.")
        seen.add(name)
