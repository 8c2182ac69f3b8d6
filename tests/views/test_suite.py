"""The runner of these tests against the SQL on FHIR suite: what it cannot do stands here."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from view_runner import ViewFault, columns, run

SUITE = Path(__file__).parents[3] / "shared/suites/sql-on-fhir"
_EMPTY = "the engine joins nothing to nothing, the suite wants an empty text; no view of ours joins"
_BOUNDARY = "an experimental function that the engine does not have; no view of ours uses it"
SKIPPED = {
    "fhirpath: string join": _EMPTY,
    "fhirpath: string join: default separator": _EMPTY,
    **{
        f"fn_boundary: {kind} {side}Boundary": _BOUNDARY
        for kind in ("decimal", "datetime", "date", "time")
        for side in ("low", "high")
    },
}
"""Case -> why this runner does not pass it."""


def _cases() -> list[Any]:
    found: list[Any] = []
    for file in sorted(SUITE.glob("*.json")):
        group = json.loads(file.read_text("utf-8"), parse_float=Decimal)
        found += [
            pytest.param(group["resources"], case, id=f"{file.stem}: {case['title']}")
            for case in group["tests"]
        ]
    return found


CASES = _cases()


def _key(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=float)


def _passes(resources: list[Any], case: dict[str, Any]) -> bool:
    view = case["view"]
    try:
        rows = run(view, resources)
    except ViewFault:
        return bool(case.get("expectError"))
    if case.get("expectError"):
        return False
    named = case.get("expectColumns")
    if named is not None and columns(view["select"]) != named:
        return False
    return sorted(map(_key, rows)) == sorted(map(_key, case["expect"]))


@pytest.mark.skipif(not CASES, reason="the suite is not laid beside this checkout")
@pytest.mark.parametrize(("resources", "case"), CASES)
def test_a_case_of_the_suite(
    resources: list[Any], case: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    passes = _passes(resources, case)
    if name in SKIPPED:
        assert not passes, "it passes now: take it off the list"
        pytest.skip(SKIPPED[name])
    assert passes


@pytest.mark.skipif(not CASES, reason="the suite is not laid beside this checkout")
def test_the_list_names_cases_that_exist() -> None:
    assert set(SKIPPED) <= {case.id for case in CASES}
    assert len(CASES) == 134
