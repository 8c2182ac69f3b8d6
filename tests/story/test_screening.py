"""The story of one patient: answers, refusals, moments, and errors that drop nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pytest

from fhir_adapter.errors import InternalFault, PatientNotFound
from fhir_adapter.evaluate import record as evaluated
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import YES, question_code
from fhir_adapter.ports import Need, Pulled
from fhir_adapter.screening import (
    Refusals,
    last_fact,
    moment_of,
    screen_everyone,
    screen_facts,
    with_answers,
)

from facts_for_tests import AS_OF, bilirubin, born, fact, record
from story.cohort_for_tests import decided


class Told:
    """Answers by hand."""

    def __init__(self, *facts: Fact) -> None:
        self._facts = facts

    def of(self, study: str, patients: Iterable[str]) -> tuple[Fact, ...]:
        assert study == "NCT05985863"
        return self._facts if "p" in set(patients) else ()


class Broken:
    """A source in which one patient cannot be pulled."""

    def patients(self) -> Iterator[str]:
        yield from ("lost",)

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        assert needs
        raise PatientNotFound("no such patient", where="Patient", remedy="Check the id.")


def screener() -> object:
    return decided().bench.screener


def consent() -> Fact:
    return fact(
        Kind.ANSWER, question_code("NCT05985863", "consent"), "2026-11-21",
        value_concepts=(YES,), set_by="person",
    )  # fmt: skip


def test_an_answer_given_to_us_counts_like_one_of_the_record() -> None:
    own = decided().bench.screener
    study = own.compiled.study
    asked = next(c for c in study.criteria if c.id == "I3").question
    told = fact(
        Kind.ANSWER, question_code(study.id, asked), "2026-11-21",
        value_concepts=(YES,), set_by="person",
    )  # fmt: skip
    hearing = replace(own, answers=Told(told))
    source_record = record(born("1980-05-01"))
    deaf = screen_facts(own, source_record, AS_OF)
    heard = screen_facts(hearing, with_answers(hearing, source_record), AS_OF)
    assert deaf.decision is not None
    assert heard.decision is not None
    effects = [
        next(r.effect.value for r in d.results if r.criterion == "I3")
        for d in (deaf.decision, heard.decision)
    ]
    assert effects == ["open", "fits"]
    nobody = replace(own, answers=Told())
    assert with_answers(nobody, source_record) is source_record


def test_an_opt_out_known_to_the_ledger_is_a_stop() -> None:
    own = decided().bench.screener
    refusing = replace(
        own, refusals=Refusals(declined=lambda _s, _i: True, opted_out=lambda _i: True)
    )
    found = screen_facts(refusing, record(born("1980-05-01")), AS_OF).decision
    assert found is not None
    assert found.outcome is Outcome.NOT_SCREENED
    assert found.withheld


def test_a_patient_who_cannot_be_pulled_is_listed_with_the_error() -> None:
    (one,) = screen_everyone(decided().bench.screener, Broken(), AS_OF)
    assert one.patient == "lost"
    assert one.decision is None
    assert one.error is not None
    assert one.error.code == "patient-not-found"


def test_a_mistake_of_ours_is_named_without_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    own = decided().bench.screener

    def fail(*_: object) -> None:
        raise ValueError("Canary")

    monkeypatch.setattr("fhir_adapter.screening.judge", fail)
    with pytest.raises(InternalFault) as caught:
        screen_facts(own, record(born("1980-05-01")), AS_OF)
    assert "Canary" not in str(caught.value)
    assert evaluated.judge is not fail


def test_the_last_fact_is_the_newest_clinical_one() -> None:
    own = decided().bench.screener
    patient = record(
        born("1980-05-01"), bilirubin("5", "2026-11-01"), consent(),
        fact(Kind.ENCOUNTER, None, "2026-11-10"),
    )  # fmt: skip
    newest = fact(Kind.ENCOUNTER, None, "2026-11-10").start_lo
    assert moment_of(own, patient, "last-fact") == newest
    of_set = moment_of(own, patient, "last-fact:total-bilirubin")
    assert newest > of_set > bilirubin("5", "2026-11-01").start_lo
    assert moment_of(own, patient, "last-fact:liver-cancer") == newest
    assert moment_of(own, patient, 7) == 7
    assert last_fact(record(born("1980-05-01"))) == 0
