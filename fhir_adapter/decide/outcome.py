"""The outcome: the first that applies, and everything a Decision carries beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_adapter.decide.checks import next_checks
from fhir_adapter.decide.standing import StudyStanding
from fhir_adapter.model.decision import Decision, Hashes, Outcome, Stop
from fhir_adapter.model.fingerprints import alert_fingerprint, outcome_fingerprint
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.study import BEFORE_CONTACT, Criterion, Study
from fhir_adapter.model.truth import Reason

ORDER: tuple[Outcome, ...] = (
    Outcome.NOT_PROPOSED,
    Outcome.NOT_ELIGIBLE,
    Outcome.NOT_NOW,
    Outcome.NEEDS_DATA,
    Outcome.CANDIDATE,
)
"""What criteria can lead to, first match wins (design section 5)."""


def decide(  # noqa: PLR0913 - one argument per thing that a decision rests on
    study: Study,
    *,
    patient: str,
    as_of: int,
    results: Sequence[CriterionResult],
    pointers: Sequence[str],
    pairs: Sequence[str],
    stops: Sequence[Stop],
    standing: StudyStanding,
    next_date: int | None,
    study_hash: str,
    basis_hash: str,
    issues: Sequence[str] = (),
    unproved: Sequence[Stop] = (),
) -> Decision:
    """One Decision from one patient's results; first match wins (design section 5)."""
    blank = Decision(
        patient=patient,
        study=study.id,
        study_version=study.version,
        as_of=as_of,
        outcome=Outcome.NOT_SCREENED,
        stops=tuple(stops),
        issues=tuple(issues),
        withheld=standing.declined,
        unproved=() if stops else tuple(unproved),
    )
    decision = blank if stops else _judged(blank, study, results, pointers, pairs, standing)
    decision = replace(decision, next_date=_next(decision, next_date))
    return replace(decision, hashes=_hashes(decision, study_hash, basis_hash))


def _judged(
    blank: Decision,
    study: Study,
    results: Sequence[CriterionResult],
    pointers: Sequence[str],
    pairs: Sequence[str],
    standing: StudyStanding,
) -> Decision:
    outcome = outcome_of(study, results)
    checks = next_checks(study, results, outcome, pairs)
    against = [result for result in results if result.effect is Effect.AGAINST]
    return replace(
        blank,
        outcome=outcome,
        results=tuple(results),
        checks=checks,
        until=_until(against) if outcome is Outcome.NOT_NOW else None,
        watching=_watching(against) if outcome is Outcome.NOT_NOW else (),
        pointers=tuple(pointers),
        rank=_rank(study, results, pointers),
        labs_only=outcome is Outcome.NEEDS_DATA and not pointers,
        rescreen=standing.closed and outcome in (Outcome.CANDIDATE, Outcome.NEEDS_DATA),
        assumed=sum(1 for r in results if r.assumed and r.effect is Effect.FITS),
        confirmed=all(result.confirmed for result in results),
    )


def outcome_of(study: Study, results: Sequence[CriterionResult]) -> Outcome:
    """The outcome of results alone, stops apart: the first that any of them calls for."""
    criteria = {criterion.id: criterion for criterion in study.criteria}
    parts = (outcome_by(criteria[result.criterion], result) for result in results)
    return min(parts, key=ORDER.index, default=Outcome.CANDIDATE)


def outcome_by(criterion: Criterion, result: CriterionResult) -> Outcome:
    """What one result calls for, whatever the others say; only a gate can shut a study."""
    if _gate_shuts(criterion, result):
        return Outcome.NOT_PROPOSED
    if result.effect is Effect.AGAINST:
        return Outcome.NOT_ELIGIBLE if result.lasting else Outcome.NOT_NOW
    return Outcome.NEEDS_DATA if result.settled in BEFORE_CONTACT else Outcome.CANDIDATE


def _gate_shuts(criterion: Criterion, result: CriterionResult) -> bool:
    gate = criterion.gate
    if gate == "none" or isinstance(gate, str):
        return False
    if result.effect is Effect.AGAINST:
        return True
    if result.effect is not Effect.OPEN or gate.if_open == "list":
        return False
    return not _listed(gate.list_when, result)


def _listed(names: Sequence[str], result: CriterionResult) -> bool:
    """An exception by reason, or by the question when a person must answer it."""
    assert result.reason is not None  # what is open has one
    asked = {item.question for item in result.opens if item.reason is Reason.NEEDS_HUMAN}
    by_question = result.reason is Reason.NEEDS_HUMAN and bool(asked & set(names))
    return result.reason.code in names or by_question


def _until(against: Sequence[CriterionResult]) -> int | None:
    """The last local date against, when a date ends every one of them."""
    dates = [result.until for result in against]
    known = [day for day in dates if day is not None]
    return max(known) if known and len(known) == len(dates) else None


def _watching(against: Sequence[CriterionResult]) -> tuple[str, ...]:
    return tuple(result.criterion for result in against if result.until is None)


def _rank(
    study: Study, results: Sequence[CriterionResult], pointers: Sequence[str]
) -> tuple[int, int, int]:
    """Evidence for first: pointers, inclusions that fit from data, then checks before contact."""
    inclusions = {criterion.id for criterion in study.criteria if criterion.kind == "inclusion"}
    fits = sum(
        1
        for result in results
        if result.criterion in inclusions and result.effect is Effect.FITS and not result.assumed
    )
    before = sum(1 for result in results if result.settled in BEFORE_CONTACT)
    return -len(pointers), -fits, before


def _next(decision: Decision, next_date: int | None) -> int | None:
    """The day after the last day against, where only a date lifts what is against.

    Nothing that time does earlier can; nothing that time does lifts a stop.
    """
    if decision.outcome is Outcome.NOT_SCREENED:
        return None
    if decision.until is not None:
        return decision.until + 1
    shut = [r for r in decision.results if r.gate and r.effect is Effect.AGAINST]
    dates = [result.until for result in shut if result.until is not None]
    return max(dates) + 1 if dates else next_date


def _hashes(decision: Decision, study_hash: str, basis_hash: str) -> Hashes:
    return Hashes(
        study=study_hash,
        basis=basis_hash,
        outcome=outcome_fingerprint(decision),
        alert=alert_fingerprint(decision),
    )
