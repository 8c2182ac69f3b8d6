"""STORY: one patient. Start reading here.

pull -> facts -> evaluate -> decide: a pulled record goes in, a Decision comes out. Nothing is
written here and nothing is fetched: the record comes through a port, as_of is an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fhir_adapter.decide import decide, standing_of, stops_of, unproved_stops
from fhir_adapter.decide.outcome import ORDER, outcome_by
from fhir_adapter.errors import AdapterError, InternalFault
from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.many import ManyStudies, Marked, Rule
from fhir_adapter.evaluate.record import CompiledStudy, JudgedStudy, judge
from fhir_adapter.model.code import key_of
from fhir_adapter.model.dates import DATE_LATEST, EARLIEST, start_of
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.fact import Fact, Kind, PatientRecord
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.study import Criterion
from fhir_adapter.ports import Answers, Need, NotWhole, Pulled, RecordSource

LAST_FACT = "last-fact"
"""as_of for records whose dates are shifted: the newest moment that the patient's record holds.
``last-fact:<value set>`` is the end of the local day of the newest fact of that set."""

AsOf = int | str
"""An instant (microseconds since the epoch), or LAST_FACT with or without a value set."""

_UNDATED = frozenset((Kind.PATIENT, Kind.ANSWER, Kind.ENTERED, Kind.STUDY_PARTICIPATION))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """What the ledger knows of people's refusals: ids of one patient in, two answers out."""

    declined: Callable[[str, Iterable[str]], bool]
    opted_out: Callable[[Iterable[str]], bool]


def nobody_refused() -> Refusals:
    """Where there is no ledger."""
    return Refusals(declined=lambda _study, _ids: False, opted_out=lambda _ids: False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screener:
    """One study, ready to judge patients of one site."""

    compiled: CompiledStudy
    normalise: Callable[[Pulled], PatientRecord]
    needs: tuple[Need, ...]
    study_hash: str
    basis_hash: str
    basis: bool
    """The site records a basis for this study, checked against the clock when the run began."""
    own_studies: frozenset[str] = frozenset()
    """References and identifiers by which the record server knows this study."""
    answers: Answers | None = None
    refusals: Refusals = nobody_refused()  # noqa: RUF009 - a frozen value without state


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a decision rests on beside the record: kept with it, so that it can be made again."""

    basis: bool
    declined: bool
    opted_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """One patient's outcome, or the error that kept it from being judged. Nobody is dropped."""

    patient: str
    decision: Decision | None = None
    record: PatientRecord | None = None
    judged: JudgedStudy | None = None
    error: AdapterError | None = None
    requests: int = 0
    statuses: tuple[str, ...] = ()
    """Statuses that people gave in this study, in order of date (ResearchSubject codes)."""
    said: Said | None = None
    """What was asked beside the record."""

    @property
    def worked_on(self) -> bool:
        """A person has entered a status of this study."""
        return bool(self.statuses)


def screen_everyone(
    screener: Screener, source: RecordSource, as_of: AsOf, patients: Iterable[str] | None = None
) -> Iterator[Screened]:
    """Every patient of a source, in its order; one that fails is yielded with its error."""
    for patient in source.patients() if patients is None else patients:
        yield screen_one(screener, source, patient, as_of)


class Heard:
    """A RecordSource that counts which types another one did not give whole, and why."""

    def __init__(self, source: RecordSource) -> None:
        self._source = source
        self._counts: Counter[tuple[str, str]] = Counter()

    def patients(self) -> Iterator[str]:
        """Of the source."""
        yield from self._source.patients()

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """Of the source, heard."""
        pulled = self._source.pull(patient, needs)
        self._counts.update(
            (one.resource_type, one.why_not or "incomplete")
            for one in pulled.types
            if not one.complete
        )
        return pulled

    def not_whole(self) -> tuple[NotWhole, ...]:
        """What was missing so far, by type."""
        return tuple(
            NotWhole(resource_type=name, why_not=why, patients=count)
            for (name, why), count in sorted(self._counts.items())
        )


def screen_one(screener: Screener, source: RecordSource, patient: str, as_of: AsOf) -> Screened:
    """Pull one patient's record and judge it."""
    try:
        pulled = source.pull(patient, screener.needs)
        return screen_pulled(screener, pulled, as_of)
    except AdapterError as error:
        return Screened(patient=patient, error=error)


def screen_pulled(screener: Screener, pulled: Pulled, as_of: AsOf) -> Screened:
    """Judge a record that has already been pulled."""
    record = with_answers(screener, screener.normalise(pulled))
    return replace(screen_facts(screener, record, as_of), requests=pulled.requests)


def screen_facts(
    screener: Screener, record: PatientRecord, as_of: AsOf, case: Case | None = None
) -> Screened:
    """Judge a normalised record: stops first, then every criterion, then the decision.

    ``case``: the record as it stood at as_of, where ``alertable`` has sorted it already.
    """
    moment = moment_of(screener, record, as_of)
    study = screener.compiled.study
    ids = (record.patient, *record.aliases)
    said = Said(
        basis=screener.basis,
        declined=screener.refusals.declined(study.id, ids),
        opted_out=screener.refusals.opted_out(ids),
    )
    standing = standing_of(record, screener.own_studies, as_of=moment, declined=said.declined)
    stops = stops_of(
        record,
        as_of=moment,
        basis=said.basis,
        on_study=standing.on_study,
        opted_out=said.opted_out,
        silence_refuses=screener.compiled.mappings.site.no_consent_means == "refusal",
    )
    judged = None if stops else _judge(screener, record, moment, case)
    decision = decide(
        study,
        patient=record.patient,
        as_of=moment,
        results=() if judged is None else judged.results,
        pointers=() if judged is None else judged.pointers,
        pairs=() if judged is None else judged.pairs,
        stops=stops,
        standing=standing,
        next_date=None if judged is None else judged.next_date,
        study_hash=screener.study_hash,
        basis_hash=screener.basis_hash,
        issues=record.issues,
        unproved=unproved_stops(record, as_of=moment, unclear_standing=standing.unclear),
    )
    return Screened(
        patient=record.patient,
        decision=decision,
        record=record,
        judged=judged,
        statuses=standing.statuses,
        said=said,
    )


def _outcome_mark(criterion: Criterion, result: CriterionResult) -> int:
    return ORDER.index(outcome_by(criterion, result))


def _gate_mark(criterion: Criterion, result: CriterionResult) -> int:
    fitting = result.effect in (Effect.FITS, Effect.NOT_APPLICABLE)
    return GATES.top if fitting or criterion.gate == "none" else 0


OUTCOMES = Rule(_outcome_mark, top=len(ORDER) - 1)
"""The mark of a study is the place of its outcome in the order of outcomes."""

GATES = Rule(_gate_mark, top=1)
"""1 where every gate fits or does not apply: all that an alert needs of most studies."""


def outcomes(marked: Marked) -> list[Outcome]:
    """Study by study, what ``ManyStudies(studies, OUTCOMES)`` found for a patient, stops apart."""
    return [ORDER[mark] for mark in marked.lowest.tolist()]


def alertable(
    many: ManyStudies, screeners: Sequence[Screener], record: PatientRecord, as_of: AsOf
) -> dict[int, Case | None]:
    """Numbers of the studies that could alert, for every gate may fit; each with a case for it.

    No study that would alert is left out. Stops are not looked at. ``many`` are the studies of
    the screeners, in their order, by the rule GATES.
    """
    moment = moment_of(screeners[0], record, as_of)
    found = many.at_most(record, moment, [one.own_studies for one in screeners])
    marks = found.lowest.tolist()
    return {n: found.case_of(n) for n, mark in enumerate(marks) if mark == GATES.top}


def _judge(screener: Screener, record: PatientRecord, as_of: int, case: Case | None) -> JudgedStudy:
    compiled = screener.compiled
    if case is None or case.record is not record or case.as_of != as_of:
        case = compiled.case(record, as_of, screener.own_studies)
    try:
        return judge(compiled, case)
    except (ArithmeticError, LookupError, TypeError, ValueError) as fault:
        raise InternalFault(
            f"judging failed with {type(fault).__name__}",
            where=compiled.study.id,
            remedy="Please report it with the run id; the patient is listed as failed.",
        ) from None


def with_answers(screener: Screener, record: PatientRecord) -> PatientRecord:
    """The record with what people have answered or typed in since."""
    if screener.answers is None:
        return record
    given = screener.answers.of(screener.compiled.study.id, (record.patient, *record.aliases))
    if not given:
        return record
    facts = tuple(sorted((*record.facts, *given), key=_in_order))
    return PatientRecord(
        patient=record.patient,
        facts=facts,
        retrieved=record.retrieved,
        aliases=record.aliases,
        resources=record.resources,
        issues=record.issues,
    )


def _in_order(fact: Fact) -> tuple[str, int, str]:
    return fact.kind.value, fact.start_lo, fact.source


def moment_of(screener: Screener, record: PatientRecord, as_of: AsOf) -> int:
    """The instant that an as_of names for one patient."""
    if isinstance(as_of, int):
        return as_of
    name = as_of.removeprefix(LAST_FACT).removeprefix(":")
    membership = screener.compiled.compiler.membership
    days = [
        fact.start_date_hi
        for fact in record.facts
        if name
        and fact.start_date_hi < DATE_LATEST
        and any(name in membership(key_of(code)) for code in fact.concepts)
    ]
    if not days:
        return last_fact(record)
    return start_of(max(days) + 1, screener.compiled.mappings.site.zone) - 1


def last_fact(record: PatientRecord) -> int:
    """The newest start among dated clinical facts; the epoch where there is none."""
    starts = [
        max(fact.start_lo, fact.known_from)
        for fact in record.facts
        if fact.kind not in _UNDATED and fact.start_lo > EARLIEST
    ]
    return max(starts, default=0)
