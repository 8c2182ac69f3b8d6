"""Case tables that a clinician can read: one record each, and what one criterion says about it.

A table names its criterion by its file name. The record is the typical teaching patient, for whom
everything fits; `patient` changes how that
one is made, `without` takes laboratory results away, `add` writes more into the chart.
"""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cases.case_steps import is_of, write

from fhir_adapter import LoadedStudy, load_study, screen_record
from fhir_adapter.model.result import CriterionResult

from teaching.teaching_parts import typical

pytestmark = pytest.mark.untraced

HERE = Path(__file__).parent
AS_OF = "2026-11-22T07:40"


def rows() -> list[Any]:
    """Every case of every table, named by study, criterion and what it shows."""
    found = []
    for path in sorted(HERE.glob("*/*.toml")):
        for case in tomllib.loads(path.read_text("utf-8"))["case"]:
            name = f"{path.parent.name}-{path.stem}-{case['shows']}"
            found.append(pytest.param(path.parent.name, path.stem, case, id=name))
    return found


@cache
def study(name: str) -> LoadedStudy:
    return load_study(name, site="demo")


def judged(name: str, criterion: str, case: dict[str, Any]) -> CriterionResult:
    chart, _ = typical("case", **case.get("patient", {}))
    if not chart.born:
        del chart.resources[0]["birthDate"]
    without = case.get("without", [])
    chart.resources[:] = [found for found in chart.resources if not is_of(found, without)]
    for step in case.get("add", ()):
        write(chart, step)
    decision = screen_record(study(name), chart.bundle(), as_of=AS_OF)
    return next(result for result in decision.results if result.criterion == criterion)


@pytest.mark.parametrize(("name", "criterion", "case"), rows())
def test_the_criterion_says_what_the_table_says(
    name: str, criterion: str, case: dict[str, Any]
) -> None:
    found = judged(name, criterion, case)
    seen = {
        "effect": found.effect.value,
        "reason": found.reason.code if found.reason is not None else "",
        "settled": found.settled or "",
        "lasting": found.lasting,
        "assumed": found.assumed,
        "until": str(date.fromordinal(found.until)) if found.until is not None else "",
        "note": "; ".join(found.notes),
        "evidence": sorted({item.why for item in found.evidence} & set(case.get("evidence", ()))),
    }

    assert {key: seen[key] for key in seen if key in case} == {
        key: case[key] for key in seen if key in case
    }


def test_every_criterion_has_a_table() -> None:
    for name in (path.name for path in HERE.iterdir() if path.is_dir() and path.name[0] != "_"):
        tables = {path.stem for path in (HERE / name).glob("*.toml")}

        assert {criterion.id for criterion in study(name).study.criteria} == tables
