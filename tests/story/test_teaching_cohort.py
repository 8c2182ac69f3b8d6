"""The teaching cohort: every patient comes to what the reviewed table says, criterion by criterion."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from teaching import make_cohort

from fhir_adapter import bootstrap
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.result import Effect
from fhir_adapter.screening import screen_everyone
from fhir_adapter.settings import Settings

COHORT = make_cohort.COHORT
EXPECTED = tomllib.loads((COHORT / "expected.toml").read_text("utf-8"))
PATIENTS: dict[str, dict[str, Any]] = EXPECTED["patient"]


@pytest.fixture(scope="module")
def decisions() -> dict[str, Decision]:
    bench = bootstrap.bench(Settings(site=EXPECTED["site"]))
    zone = bench.mappings.site.zone
    as_of = bootstrap.parse_as_of(EXPECTED["as-of"], zone, bench.clock)
    source = bootstrap.folder_records(COHORT, bench.mappings)
    screened = screen_everyone(bench.screener, source, as_of)
    return {one.patient: one.decision for one in screened if one.decision is not None}


def seen(decision: Decision) -> dict[str, Any]:
    """A decision in the words of the table; what is empty or false is left out."""
    by_effect = {effect: [r for r in decision.results if r.effect is effect] for effect in Effect}
    table: dict[str, Any] = {
        "outcome": decision.outcome.value,
        "stops": [stop.value for stop in decision.stops],
        "labs-only": decision.labs_only,
        "withheld": decision.withheld,
        "rescreen": decision.rescreen,
        "until": decision.until and date.fromordinal(decision.until),
        "watching": list(decision.watching),
        "first-question": decision.checks[0].question if decision.checks else "",
        "against": [result.criterion for result in by_effect[Effect.AGAINST]],
        "open": {
            result.criterion: result.reason.code
            for result in by_effect[Effect.OPEN]
            if result.reason is not None
        },
        "does-not-apply": [result.criterion for result in by_effect[Effect.NOT_APPLICABLE]],
        "assumed": [result.criterion for result in decision.results if result.assumed],
    }
    return {name: value for name, value in table.items() if value}


@pytest.mark.parametrize("patient", PATIENTS)
def test_patient_comes_to_what_the_reviewed_table_says(
    patient: str, decisions: dict[str, Decision]
) -> None:
    expected = dict(PATIENTS[patient])
    expected.pop("teaches")
    next_date = expected.pop("next-date", None)

    assert seen(decisions[patient]) == expected
    if next_date is not None:
        assert decisions[patient].next_date == next_date.toordinal()


def test_table_and_folder_name_the_same_patients(decisions: dict[str, Decision]) -> None:
    assert list(decisions) == sorted(PATIENTS)


def test_committed_bundles_are_what_the_charts_write() -> None:
    written = {path.name: path.read_bytes() for path in Path(COHORT).glob("*.json")}

    assert written == make_cohort.files()
