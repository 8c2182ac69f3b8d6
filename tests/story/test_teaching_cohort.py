"""The teaching cohort: every patient comes to what the reviewed table says."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.model.decision import Decision
from fhir_adapter.model.result import Effect
from fhir_adapter.present.rows import local_time

from story.cohort_for_tests import COHORT, EXPECTED, decided
from teaching import make_cohort

PATIENTS: dict[str, dict[str, Any]] = EXPECTED["patient"]


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


def beside(decision: Decision, criterion: str) -> set[str]:
    """What is printed beside an answer: notes, and "why: value or name" of what does not decide."""
    result = next(result for result in decision.results if result.criterion == criterion)
    facts = {f"{item.why}: {item.fact.raw_value or item.fact.label}" for item in result.evidence}
    return facts | set(result.notes)


def onset_of(patient: str) -> list[str]:
    """The half-open interval in which the onset lies, as local times to the minute."""
    onset = dict(decided().judged[patient].anchors)["onset"]
    zone = decided().bench.mappings.site.zone
    return [local_time(at, zone) for at in (onset.lo, onset.hi)]


@pytest.mark.parametrize("patient", PATIENTS)
def test_patient_comes_to_what_the_reviewed_table_says(patient: str) -> None:
    decisions = decided().decisions
    expected = dict(PATIENTS[patient])
    expected.pop("teaches")
    next_date = expected.pop("next-date", None)
    shows, onset = expected.pop("shows", {}), expected.pop("onset", None)

    assert seen(decisions[patient]) == expected
    if next_date is not None:
        assert decisions[patient].next_date == next_date.toordinal()
    for criterion, wanted in shows.items():
        assert set(wanted) <= beside(decisions[patient], criterion)
    if onset is not None:
        assert onset_of(patient) == onset


def test_table_and_folder_name_the_same_patients() -> None:
    assert list(decided().decisions) == sorted(PATIENTS)


def test_committed_bundles_are_what_the_charts_write() -> None:
    written = {path.name: path.read_bytes() for path in Path(COHORT).glob("*.json")}

    assert written == make_cohort.files()
