"""What the ledger keeps and hands out."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec
import pytest

from fhir_adapter.errors import InternalFault, SettingInvalid
from fhir_adapter.ledger import Ledger
from fhir_adapter.model.code import LOINC, Code
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision, Hashes, Outcome
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.hashing import canonical
from fhir_adapter.model.vocabulary import NO, YES, question_code
from fhir_adapter.ports import Answers
from tests.ledger.conftest import BERLIN, Place, StandingClock

QUESTION = question_code("aclf", "recovering")
DECISION = Decision(
    patient="p1",
    study="aclf",
    study_version="1.2.0",
    as_of=7,
    outcome=Outcome.CANDIDATE,
    hashes=Hashes(study="s", basis="b", outcome="o", alert="a"),
)


def _remember(ledger: Ledger, key: str = "k1", patient: str = "p1", attempt: int = 1) -> None:
    ledger.remember_subject(
        key=key,
        patient=patient,
        study="aclf",
        reference="ResearchSubject/1",
        status="candidate",
        fingerprint="o",
        state="proposed",
        attempt=attempt,
    )


def _answer(ledger: Ledger, value: Code = YES, patient: str = "p1") -> bool:
    return ledger.add_answer(
        patient=patient, study="aclf", question=QUESTION, value=value, who="Ann", role="nurse"
    )


def _entered() -> Fact:
    return Fact(
        patient="p1",
        kind=Kind.ENTERED,
        source="page",
        concepts=(Code(LOINC, "6301-6"),),
        value_lo=Decimal("1.50"),
        value_hi=Decimal("1.50"),
    )


def test_a_decision_of_a_listed_patient_keeps_its_body(ledger: Ledger) -> None:
    assert ledger.record_decision(DECISION, run="r1", listed=True)
    stored = ledger.last_decision("p1", "aclf")
    assert stored is not None
    assert stored.body == canonical(DECISION)
    assert (stored.outcome, stored.hashes) == (Outcome.CANDIDATE, DECISION.hashes)


def test_a_decision_of_anyone_else_keeps_no_body(ledger: Ledger) -> None:
    bare = Decision(patient="p1", study="aclf", study_version="1", as_of=1, outcome=Outcome.NOT_NOW)
    ledger.record_decision(bare, run="r1", listed=False)
    stored = ledger.last_decision("p1", "aclf")
    assert stored is not None
    assert (stored.body, stored.hashes) == (None, None)


def test_the_last_decision_is_the_one_recorded_last(ledger: Ledger) -> None:
    ledger.record_decision(DECISION, run="r1", listed=False)
    ledger.record_decision(DECISION, run="r2", listed=False)
    stored = ledger.last_decision("p1", "aclf")
    assert stored is not None
    assert stored.run == "r2"


def test_a_repeat_of_the_same_run_doubles_nothing(ledger: Ledger) -> None:
    assert ledger.record_decision(DECISION, run="r1", listed=True)
    assert not ledger.record_decision(DECISION, run="r1", listed=True)
    assert ledger.status().decisions == 1


def test_what_was_never_recorded_is_none(ledger: Ledger) -> None:
    assert ledger.last_decision("p1", "aclf") is None
    assert ledger.subject("k1") is None


def test_a_subject_keeps_the_id_of_its_first_proposal(ledger: Ledger) -> None:
    _remember(ledger, patient="p1")
    _remember(ledger, patient="p2")
    row = ledger.subject("k1")
    assert row is not None
    assert (row.patient, row.reference, row.state) == ("p1", "ResearchSubject/1", "proposed")


def test_all_attempts_of_a_patient_are_found_under_any_id(ledger: Ledger) -> None:
    _remember(ledger, key="k2", patient="p2", attempt=2)
    _remember(ledger, key="k1", patient="p1")
    found = ledger.subjects_of("aclf", [*(f"x{n}" for n in range(1200)), "p1", "p2"])
    assert [row.key for row in found] == ["k1", "k2"]


def test_an_answer_comes_back_as_a_dated_fact_of_a_person(
    ledger: Ledger, clock: StandingClock
) -> None:
    assert _answer(ledger)
    (fact,) = ledger.answers_of("aclf", ["p1"])
    assert (fact.kind, fact.concepts, fact.value_concepts) == (Kind.ANSWER, (QUESTION,), (YES,))
    assert (fact.start_lo, fact.source, fact.set_by) == (instant(clock.now()), "answer/1", "person")


def test_the_date_of_an_answer_is_local(ledger: Ledger) -> None:
    _answer(ledger)
    (fact,) = ledger.answers_of("aclf", ["p1"])
    assert fact.start_date_lo == date(2026, 11, 3).toordinal()


def test_answers_come_oldest_first_and_of_all_ids(ledger: Ledger, clock: StandingClock) -> None:
    clock.wait(hours=1)
    _answer(ledger, NO, "p2")
    clock.wait(hours=-1)
    _answer(ledger, YES, "p1")
    port: Answers = ledger
    assert [fact.value_concepts for fact in port.of("aclf", ["p1", "p2"])] == [(YES,), (NO,)]


def test_an_answer_sent_twice_is_kept_once(ledger: Ledger) -> None:
    assert _answer(ledger)
    assert not _answer(ledger)
    assert ledger.status().answers == 1


def test_an_answer_without_a_zone_is_our_mistake(ledger: Ledger) -> None:
    with pytest.raises(InternalFault, match="time zone"):
        ledger.add_answer(
            patient="p1",
            study="aclf",
            question=QUESTION,
            value=YES,
            who="Ann",
            role="nurse",
            at=datetime(2026, 1, 1),  # noqa: DTZ001 (the fault under test)
        )


def test_an_entered_value_keeps_every_digit(ledger: Ledger) -> None:
    assert ledger.add_entered(_entered(), study="aclf", who="Ann", role="nurse", document="letter")
    (fact,) = ledger.answers_of("aclf", ["p1"])
    assert (str(fact.value_lo), fact.source, fact.set_by) == ("1.50", "entered/1", "person")


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(
            msgspec.structs.replace(_entered(), kind=Kind.OBSERVATION), id="of the record"
        ),
        pytest.param(msgspec.structs.replace(_entered(), concepts=()), id="without a code"),
    ],
)
def test_only_what_people_give_is_kept(ledger: Ledger, fact: Fact) -> None:
    with pytest.raises(InternalFault, match="only an answer or an entered value"):
        ledger.add_entered(fact, study="aclf", who="Ann", role="nurse")


def test_facts_of_another_schema_are_refused_by_name(ledger: Ledger, place: Place) -> None:
    _answer(ledger)
    place.execute("UPDATE answers SET facts_schema = 99")
    with pytest.raises(SettingInvalid, match="facts schema 99"):
        ledger.answers_of("aclf", ["p1"])


def test_a_decline_under_any_id_is_found_and_stays(ledger: Ledger) -> None:
    assert ledger.decline(patients=["p1"], study="aclf", who="Ann", role="nurse")
    assert not ledger.decline(patients=["p1"], study="aclf", who="Ann", role="nurse")
    assert ledger.declined("aclf", ["p0", "p1"]) == {"p1"}
    assert ledger.declined("other", ["p1"]) == frozenset()
    assert ledger.declined("aclf", []) == frozenset()


def test_the_status_counts_and_shows_nothing_else(ledger: Ledger) -> None:
    _remember(ledger)
    _answer(ledger)
    ledger.record_decision(DECISION, run="r1", listed=True)
    ledger.audit(who="Ann", what="reveal", patient="h1", purpose="CLINTRCH")
    counts = ledger.status()
    assert (counts.decisions, counts.listed, counts.answers, counts.audit) == (1, 1, 1, 1)
    assert counts.subjects == (("proposed", 1),)


def test_an_answer_may_carry_the_time_at_which_it_was_given(ledger: Ledger) -> None:
    at = datetime(2026, 10, 1, 8, tzinfo=BERLIN)
    ledger.add_answer(
        patient="p1", study="aclf", question=QUESTION, value=NO, who="A", role="r", at=at
    )
    (fact,) = ledger.answers_of("aclf", ["p1"])
    assert fact.start_lo == instant(at)


def test_the_studies_in_which_anybody_answered_are_known_by_any_id(ledger: Ledger) -> None:
    assert ledger.studies_answered(["p1"]) == frozenset()
    assert _answer(ledger)
    assert ledger.studies_answered(["p1", "old"]) == {"aclf"}
    assert ledger.studies_answered(["p2"]) == frozenset()
