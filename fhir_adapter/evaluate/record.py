"""The record lane: a study compiled to closures, and one patient judged by them.

``compile_study`` once per study and site; ``judge`` per patient and as_of. No clock, no network,
no disk: as_of is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import cast

import msgspec
from msgspec.structs import replace

from fhir_adapter.evaluate import case as cases
from fhir_adapter.evaluate import judged
from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.compiler import Compiler, duration
from fhir_adapter.evaluate.judged import Closure, Judged, first_reason
from fhir_adapter.evaluate.nextdate import next_date
from fhir_adapter.evaluate.retrieve import Retrieve
from fhir_adapter.evaluate.settle import settle
from fhir_adapter.evaluate.silence import ALWAYS, Keyed, Silence
from fhir_adapter.evaluate.windows import AnchorValue, CompiledWindow
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.dates import DATE_LATEST
from fhir_adapter.model.fact import Fact, Kind, PatientRecord
from fhir_adapter.model.mapping import CodeSet, Mappings
from fhir_adapter.model.result import CriterionResult, Effect, Evidence, Open, Verdict
from fhir_adapter.model.study import Criterion, Pair, Study
from fhir_adapter.model.truth import Reason, Truth

_STRUCT = msgspec.Struct


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedStudy:
    """Everything that deciding needs of one patient and one study."""

    results: tuple[CriterionResult, ...]
    pointers: tuple[str, ...]
    pairs: tuple[str, ...]
    """Pairs whose criteria are asked together now."""
    next_date: int | None
    anchors: tuple[tuple[str, AnchorValue], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One compiled criterion."""

    criterion: Criterion
    test: Closure
    applies: Closure | None
    passing: Closure | None
    beside: tuple[Retrieve, ...]
    deadline: CompiledWindow | None
    notes: tuple[str, ...]
    """Printed on the row whatever the answer."""
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStudy:
    """A study ready to judge patients of one site."""

    study: Study
    lines: tuple[Line, ...]
    rows: tuple[Keyed[CriterionResult], ...]
    """The lines again, as things that silence may answer."""
    pointers: tuple[tuple[str, Closure], ...]
    pairs: tuple[tuple[Pair, Closure], ...]
    compiler: Compiler
    mappings: Mappings

    def case(
        self, record: PatientRecord, as_of: int, own_studies: frozenset[str] = frozenset()
    ) -> Case:
        """One patient's facts as they stood at as_of."""
        return cases.build(
            record,
            as_of=as_of,
            zone=self.mappings.site.zone,
            membership=self.compiler.membership,
            own_studies=own_studies,
        )


def compile_study(
    study: Study,
    mappings: Mappings,
    *,
    code_sets: Mapping[str, CodeSet] | None = None,
    calculators: Mapping[str, Calculator] | None = None,
    hashes: Mapping[str, str] | None = None,
    notes: Mapping[str, tuple[str, ...]] | None = None,
) -> CompiledStudy:
    """Closures for one study under one site's mappings.

    ``code_sets`` default to those of the mappings; ``hashes`` are criterion hashes by id, ``notes``
    what is printed on a criterion's row whatever the answer.
    """
    sets = dict(code_sets) if code_sets is not None else mappings.by_name
    compiler = Compiler(study, sets, mappings.units, dict(calculators or {}))
    free = Absence("unknown", reopen_outside=False, known_kinds=())
    lines = tuple(
        line_of(c, compiler, (hashes or {}).get(c.id, ""), (notes or {}).get(c.id, ()))
        for c in study.criteria
    )
    return CompiledStudy(
        study=study,
        lines=lines,
        rows=tuple(_row(line, compiler.silence) for line in lines),
        pointers=tuple((p.id, compiler.closure(p.test, free, None)) for p in study.pointers),
        pairs=tuple((p, compiler.closure(p.when, free, None)) for p in study.pairs),
        compiler=compiler,
        mappings=mappings,
    )


def line_of(
    criterion: Criterion, compiler: Compiler, hash_: str = "", notes: tuple[str, ...] = ()
) -> Line:
    """One criterion compiled; ``hash_`` is its criterion hash."""
    absence = absence_of(criterion)
    closure = partial(compiler.closure, absence=absence, fresh=duration(criterion.fresh))
    return Line(
        criterion=criterion,
        test=closure(criterion.test),
        applies=None if criterion.applies_if is None else closure(criterion.applies_if),
        passing=None if criterion.passing_if is None else closure(criterion.passing_if),
        beside=tuple(compiler.retrieve(events, absence) for events in criterion.beside),
        deadline=None if criterion.deadline is None else compiler.until(criterion.deadline),
        notes=notes,
        hash=hash_,
    )


def _row(line: Line, silence: Silence) -> Keyed[CriterionResult]:
    """A deadline is printed as a date of the case: such a row is never taken from memory."""
    criterion = line.criterion
    parts = (criterion.test, criterion.applies_if, criterion.passing_if, criterion.beside)
    reads = silence.reads(parts, absence_of(criterion))
    return Keyed(partial(result_of, line), ALWAYS if criterion.deadline is not None else reads)


def absence_of(criterion: Criterion) -> Absence:
    """How a criterion reads silence."""
    return Absence(
        criterion.if_absent,
        reopen_outside=criterion.outside_documents == "reopen",
        known_kinds=_kinds(criterion),
    )


def _kinds(criterion: Criterion) -> tuple[Kind, ...]:
    """The resource types of the row: the kinds that its test reads, people's words left out."""
    found: dict[Kind, None] = {}
    _walk_kinds(criterion.test, found)
    return tuple(kind for kind in found if kind not in (Kind.ANSWER, Kind.ENTERED, Kind.PATIENT))


def _walk_kinds(part: object, found: dict[Kind, None]) -> None:
    if isinstance(part, Kind):
        found[part] = None
    elif isinstance(part, tuple):
        for item in cast("tuple[object, ...]", part):
            _walk_kinds(item, found)
    elif isinstance(part, _STRUCT):
        for name in part.__struct_fields__:
            _walk_kinds(getattr(part, name), found)


def judge(compiled: CompiledStudy, case: Case) -> JudgedStudy:
    """All criteria, pointers and pairs of one study for one case."""
    answer = compiled.compiler.silence.answer
    results = {found.criterion: found for found in [answer(row, case) for row in compiled.rows]}
    active = [pair for pair, when in compiled.pairs if _may_hold(when(case))]
    together = [pair for pair in active if _wanted(pair, results)]
    by_id = {criterion.id: criterion for criterion in compiled.study.criteria}
    for pair in together:
        _join(pair, results, by_id)
    return JudgedStudy(
        results=tuple(results.values()),
        pointers=tuple(name for name, test in compiled.pointers if test(case).truth is Truth.TRUE),
        pairs=tuple(pair.id for pair in together),
        next_date=next_date(compiled.compiler, case),
        anchors=tuple(
            (anchor.name, compiled.compiler.anchor(case, anchor.name))
            for anchor in compiled.study.anchors
        ),
    )


def _may_hold(when: Judged) -> bool:
    """It holds, or what it asks was not retrieved: an assumption must not rest on that."""
    if when.truth is Truth.UNKNOWN:
        return any(one.reason is Reason.NOT_RETRIEVED for one in when.opens)
    return when.truth is Truth.TRUE


def _wanted(pair: Pair, results: Mapping[str, CriterionResult]) -> bool:
    unsettled = (Effect.OPEN, Effect.AGAINST)
    return not pair.needs_open or any(results[c].effect in unsettled for c in pair.needs_open)


def _join(
    pair: Pair, results: dict[str, CriterionResult], criteria: Mapping[str, Criterion]
) -> None:
    for name in pair.criteria:
        result = results[name]
        if name in pair.reopens_assumed and result.assumed and result.effect is Effect.FITS:
            result = _reopened(result, criteria[name], pair)
        results[name] = replace(result, notes=tuple(dict.fromkeys((*result.notes, pair.note))))


def _reopened(result: CriterionResult, criterion: Criterion, pair: Pair) -> CriterionResult:
    opens = (Open(Reason.NEEDS_HUMAN, pair.question),)
    settled, question = settle(criterion, opens)
    return replace(
        result,
        truth=Truth.UNKNOWN,
        reason=Reason.NEEDS_HUMAN,
        verdict=Verdict.PERSON,
        effect=Effect.OPEN,
        assumed=False,
        opens=opens,
        settled=settled,
        question=question,
    )


def result_of(line: Line, case: Case) -> CriterionResult:
    """One criterion for one case, pairs apart."""
    return result_for(line, line.test(case), case)


def result_for(line: Line, answer: Judged, case: Case) -> CriterionResult:
    """One criterion for one case in which its test answers this."""
    criterion = line.criterion
    applies = line.applies(case) if line.applies is not None else None
    if applies is not None and applies.truth is Truth.FALSE:
        return _not_applicable(line, applies)
    passes = Truth.TRUE if criterion.kind == "inclusion" else Truth.FALSE
    if applies is not None and applies.truth is Truth.UNKNOWN and answer.truth is not passes:
        answer = _unsure(answer, applies)
    return _make(line, answer, _effect(answer.truth, passes), case)


def _unsure(answer: Judged, applies: Judged) -> Judged:
    both = [part for part in (applies, answer) if part.truth is Truth.UNKNOWN]
    return judged.all_of(both)


def _effect(truth: Truth, passes: Truth) -> Effect:
    if truth is Truth.UNKNOWN:
        return Effect.OPEN
    return Effect.FITS if truth is passes else Effect.AGAINST


def _not_applicable(line: Line, applies: Judged) -> CriterionResult:
    inclusion = line.criterion.kind == "inclusion"
    return CriterionResult(
        criterion=line.criterion.id,
        gate=line.criterion.gate != "none",
        truth=Truth.TRUE if inclusion else Truth.FALSE,
        reason=None,
        verdict=Verdict.MET if inclusion else Verdict.NOT_MET,
        effect=Effect.NOT_APPLICABLE,
        evidence=applies.evidence,
        criterion_hash=line.hash,
        confirmed=_signed(line),
    )


def _make(line: Line, answer: Judged, effect: Effect, case: Case) -> CriterionResult:
    reason = first_reason(answer.opens) if effect is Effect.OPEN else None
    settled, question = settle(line.criterion, answer.opens)
    return CriterionResult(
        criterion=line.criterion.id,
        gate=line.criterion.gate != "none",
        truth=answer.truth,
        reason=reason,
        verdict=_verdict(answer.truth, reason),
        effect=effect,
        evidence=judged.once((*answer.evidence, *_beside(line, case))),
        evidence_left_out=answer.left_out,
        assumed=answer.assumed and effect is not Effect.OPEN,
        opens=answer.opens,
        settled=settled,
        question=question,
        lasting=effect is Effect.AGAINST and _lasts(line, case),
        until=answer.until if effect is Effect.AGAINST else None,
        notes=(
            *line.notes,
            *(_deadline(line, case) if effect is Effect.OPEN and settled != "investigator" else ()),
        ),
        criterion_hash=line.hash,
        confirmed=_signed(line),
    )


def _verdict(truth: Truth, reason: Reason | None) -> Verdict:
    match truth:
        case Truth.TRUE:
            return Verdict.MET
        case Truth.FALSE:
            return Verdict.NOT_MET
        case Truth.UNKNOWN:  # exhaustive
            person = reason in (Reason.NEEDS_HUMAN, Reason.CONFOUNDED)
            return Verdict.PERSON if person else Verdict.UNKNOWN


def _deadline(line: Line, case: Case) -> tuple[str, ...]:
    """Until when what is asked for can still happen, or could only have happened."""
    at = line.deadline.resolve(case, None).high if line.deadline is not None else None
    if at is None or at.hi >= DATE_LATEST:
        return ()
    if at.hi < case.as_of_date:
        return (f"could only have happened before {date.fromordinal(at.hi + 1).isoformat()}",)
    return (f"can still happen until {date.fromordinal(at.hi).isoformat()}",)


def _lasts(line: Line, case: Case) -> bool:
    if line.passing is not None and line.passing(case).truth is Truth.TRUE:
        return False
    return line.criterion.lasts != "passing"


def _beside(line: Line, case: Case) -> tuple[Evidence, ...]:
    found: list[Fact] = []
    for retrieve in line.beside:
        members = retrieve.members(case)
        found += [*members.sure, *(fact for fact, _ in members.maybe)]
    return judged.shown(found, "beside")


def _signed(line: Line) -> bool:
    signed = line.criterion.sign_off
    return signed is not None and signed.hash == line.hash and line.hash != ""
