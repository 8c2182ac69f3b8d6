"""What we promise: public names, settings and commands documented, codes unique, versions alike."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import fhir_adapter
from fhir_adapter import errors
from fhir_adapter.cli.app import COMMANDS
from fhir_adapter.settings import setting_names

ROOT = Path(__file__).parents[2]
NAMES = [
    "AdapterError", "Check", "Criterion", "CriterionResult", "CriterionRow", "Decision", "Effect",
    "Evidence", "EvidenceRow", "Fact", "Hashes", "Kind", "LoadedStudy", "Outcome", "Question",
    "Reason", "Screened", "Stop", "Study", "Truth", "Verdict", "__version__", "explain",
    "load_study", "screen", "screen_record",
]  # fmt: skip


def doc(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def fault_classes() -> list[type[errors.AdapterError]]:
    found = (value for _, value in inspect.getmembers(errors, inspect.isclass))
    return [c for c in found if issubclass(c, errors.AdapterError)]


def test_the_public_names_are_these_and_no_others() -> None:
    assert sorted(fhir_adapter.__all__) == sorted(NAMES)
    for name in fhir_adapter.__all__:
        assert hasattr(fhir_adapter, name)
    assert dir(fhir_adapter) == sorted(NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fhir_adapter.nonsense  # type: ignore[attr-defined] # that it is not there


@pytest.mark.parametrize("name", [n for n in NAMES if n != "__version__"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert getattr(fhir_adapter, name).__doc__


@pytest.mark.parametrize("name", ["load_study", "screen_record", "screen", "explain"])
def test_every_public_function_has_an_example_and_a_place_in_the_docs(name: str) -> None:
    assert ">>>" in (getattr(fhir_adapter, name).__doc__ or "")
    assert f"`{name}" in doc("api.md")


def test_error_codes_are_unique_kebab_case_and_documented() -> None:
    codes = [c.code for c in fault_classes()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    text = doc("operate.md")
    assert [code for code in codes if f"`{code}`" not in text] == []


def documented(name: str, text: str) -> bool:
    """By its own name, or, for one of a server, by the name that it has in the server's table."""
    return f"`{name}`" in text or f"`{name.partition('_')[2]}`" in text


def test_every_setting_and_command_is_documented() -> None:
    text = doc("operate.md")
    assert [name for name in setting_names() if not documented(name, text)] == []
    assert [name for name in COMMANDS if f"fhir-adapter {name}" not in text] == []


def test_the_version_stands_in_the_changelog() -> None:
    assert f"## [{fhir_adapter.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_dependencies_are_few_and_each_is_accounted_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = doc("decisions/0001-dependencies.md")
    names = [re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]]
    assert [name for name in names if f"**{name}**" not in text] == []
