"""What the batches of test_lanes_agree hold: an equality about nothing would prove nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import DATE_EARLIEST, LATEST
from fhir_adapter.model.decision import Outcome, Stop
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Standing
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import BIRTH_DATE, FEMALE, MALE, SEX

import batches
import lanes
import test_lanes_agree
import worlds
from facts_for_tests import AS_OF

pytestmark = [pytest.mark.untraced, pytest.mark.slow]
NUMBERS = (100, 101, 102)
_TWO_DAYS = 48 * 3_600_000_000
TOLD_BY_THE_SITE = {Stop.NO_BASIS}
"""Of the caller, not of the record: no statement knows it."""


@pytest.fixture(scope="module")
def records() -> list[PatientRecord]:
    return [record for number in NUMBERS for record in batches.records(number)]


@pytest.fixture(scope="module")
def answers() -> list[Any]:
    """Of the record lane, for the whole studies and the small ones."""
    found: list[Any] = []
    for number in NUMBERS:
        study, some = batches.study(number), batches.records(number)
        for one in (study, *batches.parts_of(study, number)):
            found += lanes.by_closures(one, worlds.MAPPINGS, some, AS_OF, **test_lanes_agree.WITH)
    return found


def test_every_truth_and_reason_occurs(answers: list[Any]) -> None:
    results = [one[name] for one in answers for name in one if name.startswith("C")]
    assert {one["truth"] for one in results} == {"true", "false", "unknown"}
    assert {one["reason"] for one in results} == {None, *(reason.code for reason in Reason)}


def test_every_outcome_and_stop_occurs_often_enough(answers: list[Any]) -> None:
    outcomes = Counter(one["outcome"] for one in answers)
    assert set(outcomes) == {outcome.value for outcome in Outcome}
    assert min(outcomes.values()) >= 100
    stops = Counter(stop for one in answers for stop in one["stops"])
    assert set(stops) == {stop.value for stop in set(Stop) - TOLD_BY_THE_SITE}


def _is(kind: Kind) -> Callable[[Fact], bool]:
    return lambda fact: fact.kind is kind


def _has(concept: Code) -> Callable[[Fact], bool]:
    return lambda fact: concept in fact.concepts


OF_A_FACT: dict[str, Callable[[Fact], bool]] = {
    **{f"a fact of kind {kind.value}": _is(kind) for kind in Kind},
    "two codings": lambda fact: len(fact.concepts) > 1,
    "no coding": lambda fact: not fact.concepts,
    "a code that nobody mapped": _has(worlds.STRANGE),
    "a range": lambda fact: None not in {fact.value_lo, fact.value_hi}
    and fact.value_lo != fact.value_hi,
    "a comparator": lambda fact: fact.value_lo_open or fact.value_hi_open,
    "another unit": lambda fact: fact.reported_unit == "umol/L",
    "a unit that nobody converts": lambda fact:
        fact.standing_reason is Reason.UNIT_NOT_CONVERTIBLE,
    "a coded value": lambda fact: worlds.SEVERE in fact.value_concepts,
    "limits": lambda fact: fact.ref_low is not None,
    "severity": lambda fact: bool(fact.severity and fact.stage and fact.criticality),
    "an intent": lambda fact: bool(fact.intent),
    "a component": lambda fact: fact.component is not None,
    "issues": lambda fact: bool(fact.issues),
    "an encounter": lambda fact: bool(fact.encounter),
    "somebody else's": lambda fact: fact.about_other,
    "a recorded absence": lambda fact: fact.recorded_absence,
    "laid aside": lambda fact: fact.standing is Standing.IGNORED,
    "no date": lambda fact: fact.start_hi == LATEST and fact.start_date_lo == DATE_EARLIEST,
    "days, not a moment": lambda fact: fact.start_date_hi > fact.start_date_lo > DATE_EARLIEST,
    "running": lambda fact: fact.end_lo == LATEST,
    "an end that is not stated": lambda fact: fact.end_hi == LATEST > fact.end_lo,
    "known only later": lambda fact: fact.known_from > AS_OF,
    "at the moment itself": lambda fact: fact.start_lo == AS_OF,
    "a second before a window": lambda fact: fact.start_lo == AS_OF - _TWO_DAYS - 1_000_000,
    "a second into a window": lambda fact: fact.start_lo == AS_OF - _TWO_DAYS,
    "a woman": lambda fact: SEX in fact.concepts and FEMALE in fact.value_concepts,
    "a man": lambda fact: SEX in fact.concepts and MALE in fact.value_concepts,
    "a birth month": lambda fact: BIRTH_DATE in fact.concepts
    and fact.start_date_hi > fact.start_date_lo,
}  # fmt: skip
OF_A_RECORD: dict[str, Callable[[PatientRecord], bool]] = {
    "merged": lambda record: bool(record.aliases),
    "issues": lambda record: bool(record.issues),
    "not pulled whole": lambda record: any(not row.complete for row in record.retrieved),
    "pulled for some days": lambda record:
        any(row.date_from > DATE_EARLIEST for row in record.retrieved),
    "a type that nobody asked for": lambda record: len(record.retrieved) < len(Kind),
    "no birth date": lambda record: not any(BIRTH_DATE in f.concepts for f in record.facts),
    "two sexes": lambda record: sum(SEX in fact.concepts for fact in record.facts) > 1,
    "facts of one moment": lambda record: _ties(record.facts),
}  # fmt: skip


def _ties(facts: Iterable[Fact]) -> bool:
    found = Counter((fact.kind, fact.start_lo) for fact in facts if fact.start_lo)
    return max(found.values(), default=0) > 2  # noqa: PLR2004 - more than a pair


@pytest.mark.parametrize("name", OF_A_FACT)
def test_every_trait_of_a_fact_occurs(name: str, records: list[PatientRecord]) -> None:
    assert sum(OF_A_FACT[name](fact) for record in records for fact in record.facts) >= 3


@pytest.mark.parametrize("name", OF_A_RECORD)
def test_every_trait_of_a_record_occurs(name: str, records: list[PatientRecord]) -> None:
    assert sum(map(OF_A_RECORD[name], records)) >= 10
