"""A stop that was not retrieved is not ruled out: no proposal, no card, and it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_adapter.decide import unproved_stops
from fhir_adapter.model.decision import Decision, Outcome, Stop
from fhir_adapter.model.fact import Kind, PatientRecord, Retrieved, Standing
from fhir_adapter.model.fingerprints import outcome_fingerprint
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import RESEARCH_PERMIT
from fhir_adapter.present.sentences import decision_sentence

from facts_for_tests import AS_OF, fact
from facts_for_tests import record as patient_record

CANDIDATE = Decision(patient="p", study="s", study_version="1", as_of=0, outcome=Outcome.CANDIDATE)


def record(kind: Kind, why_not: str) -> PatientRecord:
    row = Retrieved(patient="p", kind=kind, complete=not why_not, why_not=why_not)
    return PatientRecord(patient="p", facts=(), retrieved=(row,))


@pytest.mark.parametrize(
    ("kind", "stop"),
    [
        (Kind.CONSENT, Stop.OPTED_OUT),
        (Kind.PATIENT, Stop.DECEASED),
        (Kind.ENCOUNTER, Stop.DECEASED),
        (Kind.STUDY_PARTICIPATION, Stop.ON_STUDY),
    ],
)
@pytest.mark.parametrize(
    "why", ["forbidden", "cut-short", "throttled", "restricted", "unreadable-line"]
)
def test_what_did_not_come_rules_nothing_out(kind: Kind, stop: Stop, why: str) -> None:
    assert unproved_stops(record(kind, why), as_of=AS_OF) == (stop,)
    assert unproved_stops(record(kind, ""), as_of=AS_OF) == ()


@pytest.mark.parametrize("why", ["not-supported", "no-file", "document-only"])
def test_what_a_source_does_not_have_at_all_is_the_sites_to_judge(why: str) -> None:
    assert unproved_stops(record(Kind.CONSENT, why), as_of=AS_OF) == ()


def test_no_other_kind_says_a_stop() -> None:
    assert unproved_stops(record(Kind.OBSERVATION, "forbidden"), as_of=AS_OF) == ()


@pytest.mark.parametrize(
    ("permitted", "rules_out"),
    [("", False), ("2026-01-01", False), ("2026-03-01", False), ("2026-03-02", True)],
)
def test_a_consent_that_says_neither_yes_nor_no_is_no_permission(
    permitted: str, *, rules_out: bool
) -> None:
    """Only a permission that is certainly newer makes it one of the past."""
    unclear = fact(
        Kind.CONSENT, None, "2026-03-01", end="running",
        standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.RECORDED_UNUSABLE,
    )  # fmt: skip
    given = [fact(Kind.CONSENT, RESEARCH_PERMIT, permitted, end="running")] if permitted else []
    found = unproved_stops(patient_record(unclear, *given), as_of=AS_OF)
    assert found == (() if rules_out else (Stop.OPTED_OUT,))


def test_a_person_s_entry_of_an_unknown_state_may_be_on_the_study() -> None:
    assert unproved_stops(patient_record(), as_of=AS_OF, unclear_standing=True) == (Stop.ON_STUDY,)


def test_one_that_is_over_or_still_to_come_rules_everything_out() -> None:
    worth = {"standing": Standing.MAKES_UNKNOWN, "standing_reason": Reason.RECORDED_UNUSABLE}
    over = fact(Kind.CONSENT, None, "2026-01-01", end="2026-01-02", **worth)
    to_come = fact(Kind.CONSENT, None, "2030-01-01", end="running", **worth)
    assert unproved_stops(patient_record(over, to_come), as_of=AS_OF) == ()


def test_it_is_said_and_it_writes_and_alerts_anew() -> None:
    open_ = replace(CANDIDATE, unproved=(Stop.OPTED_OUT,))
    assert "opted out is not known: no proposal" in decision_sentence(open_)
    assert outcome_fingerprint(open_) != outcome_fingerprint(CANDIDATE)
