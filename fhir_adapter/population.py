"""STORY: everyone. An export becomes fact tables that questions about all patients are put to.

export bytes -> buckets -> facts -> Parquet. Export and tables come through ports; a load that does
not end leaves the tables that were there before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

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
    LoadCounts,
    LoadStep,
    Moment,
    Statement,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Patients of whom people have said something that the store does not hold."""

    answered: frozenset[str] = frozenset()
    """They answered, or typed a value in: their records are judged with it."""
    proposed: frozenset[str] = frozenset()
    """They were proposed before: judged in full, so that a proposal can be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartScreened:
    """One part: everybody by outcome, and in full who is listed, exported or written."""

    done: int
    total: int
    answers: CohortAnswers
    shown: tuple[Screened, ...]


def screen(
    tables: CohortTables,
    statement: Statement,
    screener: Screener,
    as_of: AsOf,
    spoken: Spoken | None = None,
) -> Iterator[PartScreened]:
    """Everybody by one statement, part by part; the record lane judges again who is shown.

    A difference between the lanes raises LanesDisagree: it is a fault of ours, and no answer of the
    run may be used.
    """
    said = spoken or Spoken()
    questions = (_asked(tables, part, screener, as_of, said) for part in tables.parts)
    for done, (asked, answers) in enumerate(tables.judge(statement, questions), 1):
        wanted = {*answers.listed(), *tables.named(asked.part, said.proposed)}
        records = dict(tables.records(asked.part, wanted)) if wanted else {}
        records |= {n: record for n, record in asked.instead.items() if n in wanted}
        shown = {n: screen_facts(screener, records[n], as_of) for n in sorted(wanted)}
        _compare(shown, answers.answers(records))
        yield PartScreened(
            done=done, total=len(tables.parts), answers=answers, shown=tuple(shown.values())
        )


def count(
    tables: CohortTables,
    statement: Statement,
    screener: Screener,
    as_of: AsOf,
    spoken: Spoken | None = None,
) -> Iterator[Counted]:
    """Everybody by one statement that was made for counting, part by part; nobody is named."""
    said = spoken or Spoken()
    questions = (_asked(tables, part, screener, as_of, said) for part in tables.parts)
    for _, answers in tables.judge(statement, questions):
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


def _asked(tables: CohortTables, part: int, screener: Screener, as_of: AsOf, said: Spoken) -> Asked:
    answered = tables.named(part, said.answered)
    records = tables.records(part, answered) if answered else ()
    instead = {number: with_answers(screener, record) for number, record in records}
    return Asked(part, _moments(tables, part, screener, as_of, instead), instead)


def _moments(
    tables: CohortTables,
    part: int,
    screener: Screener,
    as_of: AsOf,
    instead: Mapping[int, PatientRecord],
) -> list[Moment]:
    zone = screener.compiled.mappings.site.zone
    stops = 0 if screener.basis else 1 << STOP_ORDER.index(Stop.NO_BASIS)
    if isinstance(as_of, int):
        day = local_date(as_of, zone)
        return [Moment(number, as_of, day, stops) for number in tables.patients(part)]
    found: list[Moment] = []
    for number, record in tables.records(part, None):
        moment = moment_of(screener, instead.get(number, record), as_of)
        found.append(Moment(number, moment, local_date(moment, zone), stops))
    return found


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
