"""Batches for the equality of lanes: generated studies of 50 criteria, generated messy records.

``worlds`` gives trees and records; this file adds what only whole studies and whole records have:
policies, gates, applies-if, pairs, pointers, scores, confounders around a value, orders, letters,
typed-in values, stays, denials, consents, stops, facts laid aside, merged patients, ages at a
bound, moments at a window's edge, and the rarer traits of a fact. ``test_batches.py`` holds that
all of it occurs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

from fhir_adapter.model import criterion as tree
from fhir_adapter.model.calculator import Calculator, CodedPoints, Item, Step, StepTable
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import LATEST, local_date, start_of
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Retrieved, Standing
from fhir_adapter.model.study import SETTLED_ORDER, Gate, Pair, Pointer, Question, Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import (
    ACT_CODE,
    BIRTH_DATE,
    DECEASED,
    FEMALE,
    MALE,
    NO,
    PARTICIPATION,
    RESEARCH_DENY,
    RESEARCH_PERMIT,
    RESTRICTED,
    SUPERSEDED,
    TEST_RECORD,
    YES,
    anchor_code,
    question_code,
)

import worlds
from facts_for_tests import AS_OF, ZONE, born, sex

OWN = frozenset(("ResearchStudy/toy", "urn:r|1"))
SCORE = Calculator(
    name="toy-score",
    version="1",
    title="Toy score",
    source="invented",
    items=(
        Item(
            name="marker",
            lo=1,
            hi=3,
            tables=(
                StepTable(
                    printed="a",
                    unit="mg/dL",
                    steps=(
                        Step(upper=Decimal(4), closed=False, points=1),
                        Step(upper=Decimal(9), closed=True, points=2),
                        Step(upper=None, closed=False, points=3),
                    ),
                ),
                StepTable(
                    printed="b",
                    unit="umol/L",
                    steps=(
                        Step(upper=Decimal(70), closed=True, points=1),
                        Step(upper=None, closed=False, points=3),
                    ),
                ),
            ),
        ),
        Item(name="disease", lo=1, hi=2, coded=(CodedPoints(codes="disease", lo=2, hi=2),)),
        Item(name="sister", lo=0, hi=1, coded=(CodedPoints(codes="sister", lo=0, hi=1),)),
    ),
)


class Plain(HypothesisProvider):
    """Draws without the constants of whatever modules this process happens to have imported.

    With them the same number would give another batch in another process: a difference found in
    the whole suite would not be found again alone.
    """

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS["plain"] = Plain


def drawn(strategy: st.SearchStrategy[Any], count: int, number: int) -> list[Any]:
    """So many examples of a strategy, the same for the same number."""
    pool: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        backend="plain",
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        pool.append(example)

    collect()
    rng = random.Random(number)
    while len(pool) < count:
        pool.append(rng.choice(pool))
    return pool[:count]


# ------------------------------------------------------------------------------------ studies

_VALUE_WINDOWS = (
    tree.Window(match="overlaps", from_="value - 7 days", to="value"),
    tree.Window(match="overlaps", from_="value - 48 hours", to="value + 2 days"),
    tree.Window(match="overlaps", from_="admission"),
    tree.Window(from_="bout.end - 14 days", or_from="bout.start - 3 days", to="value + 1 month"),
)
_MORE_KINDS = (
    (Kind.CONDITION, Kind.PROCEDURE),
    (Kind.ALLERGY, Kind.IMMUNIZATION, Kind.REPORT),
    (Kind.CONDITION, Kind.ALLERGY),
)


def _events(rng: random.Random, kind: Kind) -> tree.Events:
    return tree.Events(
        kind=(kind,) if kind is not Kind.CONDITION else rng.choice(((kind,), *_MORE_KINDS)),
        codes=worlds.CODES[kind][0],
        window=rng.choice(
            (None, tree.Window(from_="admission - 3 days"), tree.Window(from_="as-of - 1 year"))
        ),
        if_absent=rng.choice((None, None, "assume-absent", "unknown")),
    )


def _score(rng: random.Random) -> tree.Node:
    labs = _events(rng, Kind.OBSERVATION)
    sources = (labs, tree.Events(kind=(Kind.OBSERVATION,), codes="marker"))
    return tree.Score(
        calculator="toy-score",
        inputs=(
            tree.ScoreInput(item="marker", of=sources[: rng.randint(1, 2)]),
            tree.ScoreInput(item="disease", of=(_events(rng, Kind.CONDITION),)),
        ),
        test=rng.choice(
            (tree.ValueTest(more_than=("4",)), tree.ValueTest(at_least=("3",), at_most=("5",)))
        ),
        spread=rng.choice((None, "30 days")),
        recorded=rng.choice((None, tree.Events(kind=(Kind.OBSERVATION,), codes="sister"))),
    )


def _confounded(rng: random.Random, test: tree.Node) -> tree.Node:
    by = tuple(
        tree.Confounder(
            name=kind.value,
            by=tree.Events(
                kind=(kind,), codes=worlds.CODES[kind][0], window=rng.choice(_VALUE_WINDOWS)
            ),
            doubts=rng.choice(("both", "true", "false")),
        )
        for kind in rng.sample((Kind.MEDICATION, Kind.CONDITION), rng.randint(1, 2))
    )
    return tree.UnlessConfounded(test=test, by=by, question=rng.choice((None, "q", "r")))


def _node(rng: random.Random, drawn_node: tree.Node) -> tree.Node:
    match rng.randrange(12):
        case 0:
            return _score(rng)
        case 1:
            return _confounded(rng, drawn_node)
        case 2:
            return tree.Sex(is_=rng.choice(("female", "male")))
        case 3:
            return tree.AnyOf(of=(drawn_node, tree.Any(of=_events(rng, Kind.CONDITION))))
        case 4:
            return tree.Ask(
                question="r", yes_if=drawn_node, no_if=tree.Not(of=drawn_node), raised_by=None
            )
        case 5:
            coded = tree.ValueTest(coded_in="severe")
            return tree.Any(of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker", value=coded))
        case 6:
            limit = tree.ValueTest(above_upper_limit="1.5")
            return tree.Latest(of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker"), test=limit)
        case 7:
            return rng.choice(
                (
                    tree.Alive(),
                    tree.Age(min=40),
                    tree.Age(max=45),
                    tree.Unsupported(text="?", why="?"),
                )
            )
        case _:
            return drawn_node


def study(number: int, size: int = 50) -> Study:
    """A generated study; the same for the same number."""
    rng = random.Random(number)
    found = drawn(worlds.nodes(), size + 8, number)
    tests = [_node(rng, node) for node in found[:size]]
    base = worlds.study_of(*tests)
    criteria = tuple(_criterion(rng, c, found[size:]) for c in base.criteria)
    pairs = (
        Pair(
            id="pair", criteria=("C1", "C2"), when=found[size], needs_open=("C1",),
            reopens_assumed=("C2", "C1"), note="together", question="r",
        ),
    ) if size > 1 else ()  # fmt: skip
    return msgspec.structs.replace(
        base,
        criteria=criteria,
        pairs=pairs,
        pointers=(Pointer(id="p1", title="one", test=found[size + 1]),),
        questions=(
            *base.questions,
            Question(id="r", text="And?", who="treating-team", valid_for="24 hours"),
        ),
    )


def parts_of(whole: Study, number: int, count: int = 8) -> list[Study]:
    """Studies of few of its criteria: a whole one of 50 refuses nearly everybody."""
    rng = random.Random(number)
    return [
        msgspec.structs.replace(
            whole,
            id=f"part-{place}",
            criteria=tuple(rng.sample(whole.criteria, min(rng.randint(1, 4), len(whole.criteria)))),
            pairs=(),
            pointers=(),
        )
        for place in range(count)
    ]


def _criterion(rng: random.Random, criterion: Any, more: Sequence[tree.Node]) -> Any:
    gate: Any = "none"
    if rng.random() < 0.1:
        names = tuple(rng.sample(("confounded", "q", "stale", "never-recorded"), 2))
        gate = Gate(if_open=rng.choice(("hold", "list")), list_when=names)
    asks = rng.random() < 0.2
    return msgspec.structs.replace(
        criterion,
        kind=rng.choice(("inclusion", "exclusion")),
        gate=gate,
        lasts=rng.choice(("lasting", "passing", "person-only")),
        passing_if=rng.choice(more) if rng.random() < 0.2 else None,
        applies_if=rng.choice(more) if rng.random() < 0.2 else None,
        if_absent=rng.choice(("unknown", "assume-absent", "assume-absent-if-known-here")),
        fresh=rng.choice(("none", "none", "14 days", "48 hours", "2 months")),
        settled=rng.choice(SETTLED_ORDER),
        settled_when={"stale": "bedside", "q": "investigator"} if asks else {},
        outside_documents=rng.choice(("reopen", "ignore")),
        beside=(_events(rng, Kind.MEDICATION),) if rng.random() < 0.2 else (),
    )


# ------------------------------------------------------------------------------------ records


def records(number: int, size: int = 200) -> list[PatientRecord]:
    """Generated records; the same for the same number."""
    rng = random.Random(number)
    return [
        _messier(rng, record, f"p{place}")
        for place, record in enumerate(drawn(worlds.records(most=10), size, number), 1)
    ]


def _day(rng: random.Random, back: int = 100) -> dict[str, int]:
    day = worlds.TODAY - rng.randrange(back)
    lo = start_of(day, ZONE) + rng.randrange(24) * 3_600_000_000
    if rng.random() < 0.5:
        return worlds._bounds(lo, lo + 1_000_000, day, day)
    return worlds._bounds(start_of(day, ZONE), start_of(day + 1, ZONE), day, day)


def _fact(rng: random.Random, kind: Kind, code: Code, source: str, **more: Any) -> Fact:
    start = _day(rng)
    ends = {name.replace("start", "end"): value for name, value in start.items()}
    fields: dict[str, Any] = {
        "patient": "p", "kind": kind, "concepts": (code,), "source": source, **start, **ends,
        "known_from": start["start_lo"], **more,
    }  # fmt: skip
    return Fact(**fields)


_RUNNING = {"end_lo": LATEST, "end_hi": LATEST, "end_date_lo": 10**7, "end_date_hi": 10**7}


def _extra(rng: random.Random) -> list[Fact]:
    """What real records have beside values, diagnoses and drugs."""
    number = Decimal(rng.choice(("3", "5", "6", "12")))
    value = {"value_lo": number, "value_hi": number, "unit": "mg/dL", "raw_value": str(number),
             "reported_lo": number, "reported_hi": number, "reported_unit": "mg/dL"}  # fmt: skip
    score = {**value, "unit": "1", "reported_unit": "1"}
    marker, sister = worlds.MARKER, worlds.SISTER
    observation, condition = Kind.OBSERVATION, Kind.CONDITION
    stay = Code(ACT_CODE, rng.choice(("IMP", "EMER", "AMB")))
    could = [
        _fact(rng, Kind.SERVICE_REQUEST, marker, "order/1", status="active"),
        _fact(rng, Kind.SERVICE_REQUEST, marker, "order/2", status="completed"),
        _fact(rng, Kind.DOCUMENT, worlds.STRANGE, "letter/1", stage="outside"),
        _fact(rng, Kind.DOCUMENT, worlds.STRANGE, "letter/2", stage="own"),
        _fact(rng, Kind.ENTERED, marker, "entered/1", set_by="person", **value),
        _fact(rng, Kind.ENCOUNTER, stay, "stay/1", **_RUNNING),
        _fact(rng, Kind.ENCOUNTER, stay, "stay/2"),
        _fact(rng, Kind.ENCOUNTER, stay, "stay/3"),
        _fact(rng, Kind.PROCEDURE, worlds.DISEASE, "procedure/1", encounter="stay/2"),
        _fact(rng, condition, worlds.STRANGE, "none/1", recorded_absence=True),
        _fact(rng, Kind.ALLERGY, worlds.DISEASE, "allergy/1", criticality="high"),
        _fact(rng, Kind.ALLERGY, worlds.STRANGE, "allergy/2", recorded_absence=True),
        _fact(rng, Kind.IMMUNIZATION, worlds.DISEASE, "dose/2"),
        _fact(rng, Kind.REPORT, worlds.DISEASE, "report/1", stage="own"),
        _fact(rng, observation, marker, "limit/1", ref_low=Decimal(1), ref_high=Decimal(4),
              **value),
        _fact(rng, observation, marker, "coded/1", value_concepts=(worlds.SEVERE,)),
        _fact(rng, observation, marker, "coded/2", value_concepts=(worlds.STRANGE,)),
        _fact(rng, observation, sister, "score/1", **score),
        _fact(rng, observation, marker, "aside/1", standing=Standing.IGNORED, **value),
        _fact(rng, condition, worlds.DISEASE, "visit/1", encounter="stay/1"),
        _fact(rng, condition, worlds.DISEASE, "visit/2", encounter="stay/2"),
        _fact(rng, Kind.MEDICATION, worlds.DRUG, "dose/1", encounter="stay/3"),
        _fact(rng, Kind.ANSWER, question_code("toy", "r"), "answer/2", value_concepts=(YES,)),
        _fact(rng, Kind.ANSWER, question_code("toy", "r"), "answer/3", value_concepts=(NO,)),
        _fact(rng, Kind.ANSWER, anchor_code("toy", "bout"), "anchor/1"),
        _fact(rng, observation, marker, "late/1", **{**value, "known_from": AS_OF + 1}),
        _fact(rng, observation, marker, "unsure/1", standing=Standing.MAKES_UNKNOWN,
              standing_reason=Reason.PENDING),
    ]  # fmt: skip
    return rng.sample(could, rng.randint(0, 7))


def _stops(rng: random.Random) -> list[Fact]:
    study = rng.choice(("ResearchStudy/toy", "ResearchStudy/other"))
    status = Code(PARTICIPATION, rng.choice(("on-study", "candidate", "screening")))
    could = [
        _fact(rng, Kind.PATIENT, DECEASED, "Patient/p"),
        _fact(rng, Kind.PATIENT, TEST_RECORD, "Patient/p"),
        _fact(rng, Kind.PATIENT, RESTRICTED, "Patient/p"),
        _fact(rng, Kind.PATIENT, SUPERSEDED, "Patient/p"),
        _fact(rng, Kind.CONSENT, RESEARCH_DENY, "consent/1", **_RUNNING),
        _fact(rng, Kind.CONSENT, RESEARCH_PERMIT, "consent/2", **_RUNNING),
        _fact(rng, Kind.STUDY_PARTICIPATION, status, "subject/1", study=study,
              set_by=rng.choice(("person", "machine"))),
    ]  # fmt: skip
    return rng.sample(could, rng.randint(1, 2)) if rng.random() < 0.2 else []


def _messier(rng: random.Random, record: PatientRecord, patient: str) -> PatientRecord:
    facts = [_rarer(rng, fact) for fact in (*record.facts, *_extra(rng))]
    facts = [fact for fact in facts if BIRTH_DATE not in fact.concepts]
    facts += [*_person(rng), *_stops(rng)]
    if rng.random() < 0.1:
        facts = [_twin(fact, rng) for fact in facts]
    placed = [msgspec.structs.replace(fact, patient=patient) for fact in facts]
    ordered = sorted(placed, key=lambda f: (f.kind.value, f.start_lo, f.source))
    return msgspec.structs.replace(
        record,
        patient=patient,
        facts=tuple(ordered),
        retrieved=tuple(_pulled(rng, row, patient) for row in record.retrieved),
        aliases=(f"old-{patient}", f"{patient}-too")[: rng.choice((0, 0, 0, 0, 1, 2))],
        issues=rng.choice(((), (), (), ("condition-without-known-code", "duplicate"))),
    )


_AGES = (18, 40, 45, 50, 70, 71)
"""Bounds of the trees: a birthday is on the day itself, one before or one after."""


def _person(rng: random.Random) -> list[Fact]:
    """Birth date and sex, each now and then not there, twice, or not exactly known."""
    today = date.fromordinal(worlds.TODAY)
    birthday = today.replace(year=today.year - rng.choice(_AGES)) + timedelta(rng.randint(-1, 1))
    printed = rng.choice(("1980-05-01", *[birthday.isoformat()] * 3, birthday.isoformat()[:7]))
    codes = rng.choice(((), (MALE,), (MALE,), (FEMALE,), (FEMALE,), (MALE, FEMALE)))
    found = [born(printed)] if rng.random() < 0.85 else []
    return [*found, *(sex(code) for code in codes)]


def _pulled(rng: random.Random, row: Retrieved, patient: str) -> Retrieved:
    """Now and then only of some days."""
    days = (worlds.TODAY - rng.randrange(90), worlds.TODAY - rng.randrange(5))
    span = dict(zip(("date_from", "date_to"), days, strict=True)) if rng.random() < 0.05 else {}
    return msgspec.structs.replace(row, patient=patient, **span)


_HOUR = 3_600_000_000
_EDGES = tuple(
    AS_OF - hours * _HOUR for hours in (0, 36, 48, 72, 7 * 24, 14 * 24, 20 * 24, 30 * 24)
)
"""Moments at which windows, freshness and distances from as_of end."""
_MONTHS = tuple(date(2026, 11, 22).toordinal() - days for days in (0, 30, 31, 61, 92))


def _rarer(rng: random.Random, fact: Fact) -> Fact:
    """Now and then moved to an edge, and now and then with a trait that few facts have."""
    more: dict[str, Any] = {}
    if rng.random() < 0.15 and fact.start_hi != LATEST:
        more |= _at_an_edge(rng, fact)
    if rng.random() < 0.5:
        more |= rng.choice(_TRAITS)(rng, fact)
    return msgspec.structs.replace(fact, **more)


def _unconverted(_: random.Random, fact: Fact) -> dict[str, Any]:
    is_value = fact.kind is Kind.OBSERVATION and fact.standing is Standing.COUNTS
    return _UNCONVERTED if is_value else {}


def _with_limits(rng: random.Random, fact: Fact) -> dict[str, Any]:
    if fact.kind is not Kind.OBSERVATION:
        return {}
    low = Decimal(rng.choice((8, 20)))
    return {"ref_low": low, "ref_high": Decimal(30), "value_concepts": (worlds.SEVERE,)}


def _known_at_the_moment(rng: random.Random, _: Fact) -> dict[str, Any]:
    return {"known_from": AS_OF + rng.choice((-1, 0, 1)) * 1_000_000}


def _planned(rng: random.Random, _: Fact) -> dict[str, Any]:
    return {"intent": rng.choice(("plan", "order", "proposal")), "status": "active"}


def _wide(_: random.Random, fact: Fact) -> dict[str, Any]:
    """A Range in place of a number."""
    number, said = fact.value_lo, fact.reported_lo
    if number is None or said is None or number != fact.value_hi:
        return {}
    factor = said / number if number else Decimal(1)
    lo, hi = number - Decimal("0.5"), number + 1
    return {
        "value_lo": lo, "value_hi": hi, "reported_lo": lo * factor, "reported_hi": hi * factor,
    }  # fmt: skip


_UNCONVERTED: dict[str, Any] = {
    "value_lo": None, "value_hi": None, "value_lo_open": False, "value_hi_open": False, "unit": "",
    "reported_lo": Decimal(5), "reported_hi": Decimal(5), "reported_unit": "furlong",
    "standing": Standing.MAKES_UNKNOWN, "standing_reason": Reason.UNIT_NOT_CONVERTIBLE,
}  # fmt: skip


_TRAITS: tuple[Callable[[random.Random, Fact], dict[str, Any]], ...] = (
    _unconverted,
    _unconverted,
    _with_limits,
    _known_at_the_moment,
    _planned,
    _wide,
    lambda _, fact: {"concepts": (worlds.STRANGE, *fact.concepts)},
    lambda _, fact: {"concepts": (*fact.concepts, worlds.SISTER)},
    lambda _, _fact: {"concepts": (), "label": "words only"},
    lambda _, fact: {
        "severity": "severe",
        "stage": "x",
        "criticality": "high",
        "concepts": (*fact.concepts, worlds.SISTER),
    },
    lambda _, fact: {"component": 1, "source": f"{fact.source}#component[1]"},
    lambda _, _fact: {"issues": ("number-in-text",)},
)


def _at_an_edge(rng: random.Random, fact: Fact) -> dict[str, Any]:
    """Moved to where something ends: a second before, on it, or a second after; or a whole day."""
    if rng.random() < 0.5:
        lo = rng.choice(_EDGES) + rng.choice((-1, 0, 1)) * 1_000_000
        day = local_date(lo, ZONE)
        start = worlds._bounds(lo, lo + 1_000_000, day, day)
    else:
        day = rng.choice(_MONTHS) + rng.choice((-1, 0, 1))
        start = worlds._bounds(start_of(day, ZONE), start_of(day + 1, ZONE), day, day)
    start["known_from"] = start["start_lo"]
    if fact.end_lo != fact.start_lo or fact.end_hi != fact.start_hi:
        return start if fact.end_lo == LATEST else {}
    return start | {name.replace("start", "end"): value for name, value in start.items()
                    if name.startswith("start")}  # fmt: skip


def _twin(fact: Fact, rng: random.Random) -> Fact:
    """Moved to one instant, where ties are made."""
    if fact.kind is Kind.PATIENT or rng.random() < 0.5:
        return fact
    day = worlds.TODAY - 3
    lo = start_of(day, ZONE)
    return msgspec.structs.replace(fact, **worlds._bounds(lo, lo + 1_000_000, day, day))


# ------------------------------------------------------------------------------------ shrinking


@dataclass(frozen=True)
class Case:
    """One criterion on one record that the lanes answer differently."""

    study: Study
    record: PatientRecord


def alone(study_: Study, criterion: str) -> Study:
    """The study with one criterion, no pairs and no pointers: the smallest that has it."""
    kept = tuple(c for c in study_.criteria if c.id == criterion)
    return msgspec.structs.replace(study_, criteria=kept, pairs=(), pointers=())


def fewer(study_: Study) -> list[Study]:
    """The study without each of its criteria in turn, and without what is beside them."""
    without = [msgspec.structs.replace(study_, pairs=(), pointers=())]
    kept = [
        msgspec.structs.replace(
            study_, criteria=(*study_.criteria[:n], *study_.criteria[n + 1 :]), pairs=()
        )
        for n in range(len(study_.criteria))
        if len(study_.criteria) > 1
    ]
    return [*(without if study_.pairs or study_.pointers else ()), *kept]


def smaller(record: PatientRecord) -> list[PatientRecord]:
    """The record without each of its facts in turn."""
    return [
        msgspec.structs.replace(record, facts=(*record.facts[:n], *record.facts[n + 1 :]))
        for n in range(len(record.facts))
    ]
