"""STORY: everyone. An export becomes fact tables that questions about all patients are put to.

export bytes -> buckets -> facts -> Parquet. Export and tables come through ports; a load that does
not end leaves the tables that were there before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice

from fhir_adapter.decide.outcome import outcome_by
from fhir_adapter.errors import LanesDisagree
from fhir_adapter.model.dates import local_date
from fhir_adapter.model.decision import STOP_ORDER, Decision, Stop
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.feasibility import MARK_NUMBERS, Counted, Mark
from fhir_adapter.model.lane import LaneAnswer, LaneResult
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.study import Criterion, Study
from fhir_adapter.ports import (
    Asked,
    BulkSource,
    CohortAnswers,
    CohortTables,
    FactLoad,
    Instead,
    LoadCounts,
    LoadStep,
    Moment,
    Statements,
)
from fhir_adapter.screening import (
    AsOf,
    Screened,
    Screener,
    moment_of,
    screen_facts,
    with_answers,
)


def load(
    source: BulkSource, tables: AbstractContextManager[FactLoad]
) -> Generator[LoadStep, None, LoadCounts]:
    """Load an export; yields how far it is, returns what the store holds afterwards."""
    with tables as running:
        yield from running.split(source)
        yield from running.normalise()
        yield from running.write()
        return running.switch()


_SAMPLE = 20
"""So many of a part, spread over it, are judged again by the record lane besides those shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Patients of whom people have said something that the store does not hold."""

    answered: frozenset[str] = frozenset()
    """They answered, or typed a value in: their records are judged with it."""
    proposed: frozenset[str] = frozenset()
    """They were proposed before: judged in full, so that a proposal can be taken back."""
    opted_out: Callable[[Iterable[str]], frozenset[str]] | None = None
    """Ids -> those who want no research at all; None: nobody said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One study that everybody is judged for."""

    screener: Screener
    spoken: Spoken = field(default_factory=Spoken)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyScreened:
    """One part for one study: everybody by outcome; in full who is listed, exported or written."""

    answers: CohortAnswers
    shown: tuple[Screened, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartScreened:
    """One part, for every study that was asked about."""

    done: int
    total: int
    studies: tuple[StudyScreened, ...]


def screen(
    tables: CohortTables, statements: Statements, questions: Sequence[Question], as_of: AsOf
) -> Iterator[PartScreened]:
    """Everybody for all studies in one pass; the record lane judges again who is shown.

    So it does some of the others of each part. ``questions`` are the studies of ``statements``, in
    their order. A difference between the lanes raises LanesDisagree: it is a fault of ours, and no
    answer of the run may be used.
    """
    asked = (_asked(tables, part, questions, as_of) for part in tables.parts)
    for done, (part, answers) in enumerate(tables.judge(statements, asked), 1):
        studies = tuple(
            _shown(tables, part, number, question, answers[number], as_of)
            for number, question in enumerate(questions)
        )
        yield PartScreened(done=done, total=len(tables.parts), studies=studies)


def _shown(  # noqa: PLR0913, PLR0917 - what a part, a study and their answers are told by
    tables: CohortTables,
    asked: Asked,
    number: int,
    question: Question,
    answers: CohortAnswers,
    as_of: AsOf,
) -> StudyScreened:
    instead = asked.instead.get(number)
    wanted = {*answers.listed(), *tables.named(asked.part, question.spoken.proposed)}
    judged = wanted | _sample(tables.patients(asked.part))
    records = dict(tables.records(asked.part, judged)) if judged else {}
    if instead is not None:
        records |= {n: record for n, record in instead.records.items() if n in judged}
    found = {n: screen_facts(question.screener, records[n], as_of) for n in sorted(judged)}
    _compare(found, answers.answers(records))
    shown = tuple(one for n, one in found.items() if n in wanted)
    return StudyScreened(answers=answers, shown=shown)


def _sample(patients: Collection[int]) -> set[int]:
    """Some of those who are not shown: they are counted, and stand in the files of ``--out``."""
    every = max(1, len(patients) // _SAMPLE)
    return set(islice(patients, 0, every * _SAMPLE, every))


def count(
    tables: CohortTables, statements: Statements, question: Question, as_of: AsOf
) -> Iterator[Counted]:
    """Everybody for one study, by a statement made for counting, part by part; nobody is named."""
    asked = (_asked(tables, part, [question], as_of) for part in tables.parts)
    for _, (answers,) in tables.judge(statements, asked):
        yield answers.counted()


def count_decisions(study: Study, decisions: Iterable[Decision]) -> Counted:
    """The same of decisions that the record lane has made."""
    criteria = {criterion.id: criterion for criterion in study.criteria}
    combinations: Counter[bytes] = Counter()
    stops: Counter[Stop] = Counter()
    for decision in decisions:
        if decision.stops:
            stops[decision.stops[0]] += 1
        else:
            marks = (_mark(criteria[one.criterion], one) for one in decision.results)
            combinations[bytes(marks)] += 1
    return Counted(combinations=combinations, stops=stops)


def _mark(criterion: Criterion, result: CriterionResult) -> int:
    decided = result.effect in (Effect.FITS, Effect.AGAINST)
    mark = Mark(
        effect=result.effect,
        assumed=decided and result.assumed,
        reason=result.reason if result.effect is Effect.OPEN else None,
        call=outcome_by(criterion, result),
    )
    return MARK_NUMBERS[mark]


def _asked(tables: CohortTables, part: int, questions: Sequence[Question], as_of: AsOf) -> Asked:
    instead: dict[int, Instead] = {}
    opted_out = _opted_out(tables, part, questions[0].spoken)  # of every study alike
    for number, question in enumerate(questions):
        answered = tables.named(part, question.spoken.answered)
        if answered:
            screener = question.screener
            stored = tables.records(part, answered)
            records = {n: with_answers(screener, record) for n, record in stored}
            moments = [
                _moment(screener, n, record, as_of, opted_out) for n, record in records.items()
            ]
            instead[number] = Instead(moments, records)
    return Asked(part, _moments(tables, part, questions[0], as_of, opted_out), instead)


def _moments(
    tables: CohortTables, part: int, question: Question, as_of: AsOf, opted_out: Collection[int]
) -> list[Moment]:
    screener = question.screener
    if isinstance(as_of, int):
        day = local_date(as_of, screener.compiled.mappings.site.zone)
        return [
            Moment(number, as_of, day, _stops(screener, opted_out=number in opted_out))
            for number in tables.patients(part)
        ]
    records = tables.records(part, None)
    return [_moment(screener, n, record, as_of, opted_out) for n, record in records]


def _moment(
    screener: Screener, number: int, record: PatientRecord, as_of: AsOf, opted_out: Collection[int]
) -> Moment:
    moment = moment_of(screener, record, as_of)
    day = local_date(moment, screener.compiled.mappings.site.zone)
    return Moment(number, moment, day, _stops(screener, opted_out=number in opted_out))


def _opted_out(tables: CohortTables, part: int, spoken: Spoken) -> frozenset[int]:
    if spoken.opted_out is None:
        return frozenset()
    return frozenset(tables.named(part, spoken.opted_out(tables.ids(part))))


def _stops(screener: Screener, *, opted_out: bool) -> int:
    """What is known beside the record, as bits; the record's own stops are found by SQL."""
    told = {Stop.NO_BASIS: not screener.basis, Stop.OPTED_OUT: opted_out}
    return sum(1 << STOP_ORDER.index(stop) for stop, holds in told.items() if holds)


def _compare(shown: Mapping[int, Screened], answers: Mapping[int, LaneAnswer]) -> None:
    for number, one in shown.items():
        decision = one.decision
        theirs = answers.get(number)
        if decision is None or theirs is None:
            raise _disagree("outcome")
        ours = lane_answer(decision)
        if ours == theirs:
            continue
        pairs = zip(ours.results, theirs.results, strict=False)
        where = next((a.criterion for a, b in pairs if a != b), "outcome")
        raise _disagree(where)


def _disagree(where: str) -> LanesDisagree:
    return LanesDisagree(
        "SQL and the record lane answer one patient differently",
        where=where,
        remedy="Nothing of this run is used. Please report the criterion with the run id; "
        "`screen` over the same records answers by the record lane alone.",
    )


def lane_answer(decision: Decision) -> LaneAnswer:
    """What both lanes must agree on, of a decision of the record lane."""
    return LaneAnswer(
        patient=decision.patient,
        outcome=decision.outcome,
        stops=decision.stops,
        pointers=len(decision.pointers),
        results=tuple(
            LaneResult(
                criterion=result.criterion,
                truth=result.truth,
                reason=result.reason,
                effect=result.effect,
                assumed=result.assumed,
                settled=result.settled,
                evidence=tuple(dict.fromkeys(item.fact.source for item in result.evidence)),
            )
            for result in decision.results
        ),
    )
