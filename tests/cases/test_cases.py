"""Case tables that a clinician can read: one record each, and what one criterion says about it.

The record is the typical teaching patient, for whom everything fits; `patient` changes how that
one is made, `without` takes laboratory results away, `add` writes more into the chart.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter import LoadedStudy, load_study, screen_record
from fhir_adapter.model.result import CriterionResult
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.chart import LABS, Chart

from teaching.teaching_more import answers
from teaching.teaching_parts import typical

HERE = Path(__file__).parent
AS_OF = "2026-11-22T07:40"
STEPS = {
    "lab": Chart.lab,
    "problem": Chart.problem,
    "procedure": Chart.procedure,
    "order-drug": Chart.order_drug,
    "give-drug": Chart.give_drug,
    "in-study": Chart.in_study,
    "report": Chart.report,
}


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


def write(chart: Chart, step: dict[str, Any]) -> None:
    """One line of `add`: which step, its name where it has one, and the rest as keywords."""
    told = dict(step)
    kind = told.pop("write")
    if kind == "answers":
        answers(chart, told["given"], told["when"])
        return
    if "flag" in told:
        told["extension"] = [
            {
                "url": "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit",
                "valueCoding": {"code": told.pop("flag")},
            }
        ]
    STEPS[kind](chart, **told)


def is_of(resource: Resource, names: list[str]) -> bool:
    codes = {LABS[name][0][1] for name in names}
    sent = resource.get("code", {}).get("coding", ())
    return resource["resourceType"] == "Observation" and any(c["code"] in codes for c in sent)


def judged(name: str, criterion: str, case: dict[str, Any]) -> CriterionResult:
    chart, _ = typical("case", **case.get("patient", {}))
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
    }

    assert {key: seen[key] for key in seen if key in case} == {
        key: case[key] for key in seen if key in case
    }
