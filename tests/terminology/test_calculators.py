"""Calculators say what is printed, and broken ones are refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from fhir_adapter.errors import TerminologyInvalid
from fhir_adapter.model.calculator import Calculator, StepTable
from fhir_adapter.model.mapping import CodeSet, UnitTable
from fhir_adapter.terminology import load_calculators

FOLDER = Path(__file__).parents[2] / "mappings" / "calculators"
CALCULATORS = {found.name: found for found in load_calculators(FOLDER)}


def _points(table: StepTable, value: str) -> int:
    number = Decimal(value)
    for step in table.steps:
        inside = step.upper is None or number < step.upper
        if inside or (step.closed and number == step.upper):
            return step.points
    raise AssertionError(value)


def _table(name: str, item: str, printed: str, unit: str) -> StepTable:
    items = {entry.name: entry for entry in CALCULATORS[name].items}
    found = [t for t in items[item].tables if (t.printed, t.unit) == (printed, unit)]
    assert len(found) == 1
    return found[0]


PBC = "cholestatic disease (PBC)"
PRINTED = [
    ("child-pugh", "total-bilirubin", "standard", "mg/dL", "1.99 2 3 3.01", "1 2 2 3"),
    ("child-pugh", "total-bilirubin", "standard", "umol/L", "33 34 51 52", "1 2 2 3"),
    ("child-pugh-cholestatic", "total-bilirubin", PBC, "mg/dL", "3.9 4 10 10.1", "1 2 2 3"),
    ("child-pugh-cholestatic", "total-bilirubin", PBC, "umol/L", "67 68 170 171", "1 2 2 3"),
    ("child-pugh", "albumin", "standard", "g/dL", "3.51 3.5 2.8 2.79", "1 2 2 3"),
    ("child-pugh", "albumin", "standard", "g/L", "36 35 28 27", "1 2 2 3"),
    ("child-pugh", "albumin", "lower bound 3.0", "g/dL", "3.51 3.5 3.0 2.9", "1 2 2 3"),
    ("child-pugh", "albumin", "lower bound 3.0", "g/L", "36 35 30 29", "1 2 2 3"),
    ("child-pugh", "inr", "standard", "1", "1.69 1.7 2.3 2.31", "1 2 2 3"),
    ("child-pugh", "inr", "upper bound 2.2", "1", "1.69 1.7 2.2 2.21", "1 2 2 3"),
    (
        "child-pugh",
        "hepatic-encephalopathy",
        "West Haven grade as a number",
        "1",
        "0 1 2 3 4",
        "1 2 2 3 3",
    ),
]


@pytest.mark.parametrize(("name", "item", "printed", "unit", "values", "points"), PRINTED)
def test_points_follow_the_printed_bounds(  # noqa: PLR0913 - one per column
    name: str, item: str, printed: str, unit: str, values: str, points: str
) -> None:
    table = _table(name, item, printed, unit)
    assert [str(_points(table, value)) for value in values.split()] == points.split()


@pytest.mark.parametrize("calculator", CALCULATORS.values(), ids=lambda found: found.name)
def test_a_child_pugh_score_lies_between_5_and_15(calculator: Calculator) -> None:
    assert sum(item.lo for item in calculator.items) == 5
    assert sum(item.hi for item in calculator.items) == 15


@pytest.mark.parametrize("calculator", CALCULATORS.values(), ids=lambda found: found.name)
def test_every_value_set_and_unit_of_a_calculator_is_known(
    calculator: Calculator, code_sets: dict[str, CodeSet], units: UnitTable
) -> None:
    analytes = {analyte.name: analyte for analyte in units.analytes}
    analytes["hepatic-encephalopathy"] = analytes["west-haven-grade"]
    for item in calculator.items:
        assert item.name in code_sets
        assert all(line.codes in code_sets for line in item.coded)
        assert all(table.unit in analytes[item.name].by_spelling for table in item.tables)


@pytest.mark.parametrize("name", ["ascites", "hepatic-encephalopathy"])
def test_a_finding_under_treatment_or_without_degree_gives_at_least_2(name: str) -> None:
    items = {entry.name: entry for entry in CALCULATORS["child-pugh"].items}
    lines = {line.codes: (line.lo, line.hi) for line in items[name].coded}
    prefix = name.removeprefix("hepatic-")
    assert lines[f"{prefix}-treated"] == lines[name] == (2, 3)
    assert list(lines)[-1] == name


HEAD = 'format = 1\nname = "x"\nversion = "1"\ntitle = "X"\nsource = "s"\n'
ITEM = '[[item]]\nname = "a"\nlo = 1\nhi = 3\n'
STEPS = '[[item.table]]\nprinted = "p"\nunit = "1"\nsteps = ['
FAULTS = [
    (STEPS + '{below = "2", points = 1}, {above = "2", points = 3}]', "does not join"),
    (STEPS + '{below = "2", points = 1}, {at-least = "3", points = 3}]', "does not join"),
    (STEPS + '{below = "2", points = 1}, {at-least = "2", above = "2", points = 3}]', "not join"),
    (STEPS + '{points = 1}, {above = "2", points = 3}]', "needs below or at-most"),
    (
        STEPS
        + '{below = "3", points = 1}, {below = "2", points = 2}, {at-least = "2", points = 3}]',
        "do not ascend",
    ),
    (STEPS + '{below = "2", points = 1}, {at-least = "2", points = 9}]', "outside lo to hi"),
    (STEPS + '{belov = "2", points = 1}, {at-least = "2", points = 3}]', "Did you mean 'below'?"),
    ("", "outside lo to hi"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_broken_calculator_names_its_place_and_a_remedy(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "x.toml").write_text(HEAD + ITEM + text, encoding="utf-8")
    with pytest.raises(TerminologyInvalid) as caught:
        load_calculators(tmp_path)
    assert said in str(caught.value)
    assert "x.toml" in caught.value.where
    assert caught.value.remedy


def test_a_step_below_may_be_followed_by_at_least(tmp_path: Path) -> None:
    text = STEPS + '{below = "2", points = 1}, {at-least = "2", points = 3}]\n'
    (tmp_path / "x.toml").write_text(HEAD + ITEM + text, encoding="utf-8")
    table = load_calculators(tmp_path)[0].items[0].tables[0]
    assert [_points(table, value) for value in ("1.9", "2")] == [1, 3]


def test_a_calculator_is_named_like_its_file(tmp_path: Path) -> None:
    text = STEPS + '{below = "2", points = 1}, {at-least = "2", points = 3}]\n'
    (tmp_path / "y.toml").write_text(HEAD + ITEM + text, encoding="utf-8")
    with pytest.raises(TerminologyInvalid, match="not that of the file"):
        load_calculators(tmp_path)
