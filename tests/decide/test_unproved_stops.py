"""A stop that was not retrieved is not ruled out: no proposal, no card, and it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_adapter.decide import unproved_stops
from fhir_adapter.model.decision import Decision, Outcome, Stop
from fhir_adapter.model.fact import Kind, PatientRecord, Retrieved
from fhir_adapter.model.fingerprints import outcome_fingerprint
from fhir_adapter.present.sentences import decision_sentence

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
    assert unproved_stops(record(kind, why)) == (stop,)
    assert unproved_stops(record(kind, "")) == ()


@pytest.mark.parametrize("why", ["not-supported", "no-file", "document-only"])
def test_what_a_source_does_not_have_at_all_is_the_sites_to_judge(why: str) -> None:
    assert unproved_stops(record(Kind.CONSENT, why)) == ()


def test_no_other_kind_says_a_stop() -> None:
    assert unproved_stops(record(Kind.OBSERVATION, "forbidden")) == ()


def test_it_is_said_and_it_writes_and_alerts_anew() -> None:
    open_ = replace(CANDIDATE, unproved=(Stop.OPTED_OUT,))
    assert "opted out was not retrieved: no proposal" in decision_sentence(open_)
    assert outcome_fingerprint(open_) != outcome_fingerprint(CANDIDATE)
