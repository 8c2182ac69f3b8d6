"""Next checks: the open questions that can still change the outcome, most useful first.

Questions, never orders. Gates first, then where they are settled, then cost; checks that wait
for consent never hold a candidate back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fhir_adapter.model.decision import Check, Outcome
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.study import SETTLED_ORDER, Criterion, Pair, Question, Study

_OPEN_OUTCOMES = (Outcome.CANDIDATE, Outcome.NEEDS_DATA, Outcome.NOT_PROPOSED)


def next_checks(
    study: Study, results: Sequence[CriterionResult], outcome: Outcome, pairs: Iterable[str]
) -> tuple[Check, ...]:
    """What to ask next; for not-now, what to watch."""
    criteria = {criterion.id: criterion for criterion in study.criteria}
    if outcome is Outcome.NOT_NOW:
        return _to_watch(results, criteria)
    if outcome not in _OPEN_OUTCOMES:
        return ()
    relevant = [r for r in results if r.effect is Effect.OPEN]
    if outcome is Outcome.NOT_PROPOSED:
        relevant = _of_gates(results, criteria)
    questions = {question.id: question for question in study.questions}
    ordered = sorted(relevant, key=lambda result: _urgency(criteria[result.criterion], result))
    checks = [_check(result, questions) for result in ordered]
    together = _together(checks, _active(study, pairs), questions)
    gates = frozenset(name for name, criterion in criteria.items() if criterion.gate != "none")
    return tuple(
        sorted(together, key=lambda check: (gates.isdisjoint(check.criteria), _place(check)))
    )


def _of_gates(
    results: Sequence[CriterionResult], criteria: Mapping[str, Criterion]
) -> list[CriterionResult]:
    """A gate that is against ends it; otherwise only open gates can change anything."""
    gates = [r for r in results if criteria[r.criterion].gate != "none"]
    if any(r.effect is Effect.AGAINST for r in gates):
        return []
    return [r for r in gates if r.effect is Effect.OPEN]


def _urgency(criterion: Criterion, result: CriterionResult) -> tuple[bool, int, int]:
    place = SETTLED_ORDER.index(result.settled) if result.settled is not None else 0
    return criterion.gate == "none", place, criterion.cost


def _check(result: CriterionResult, questions: Mapping[str, Question]) -> Check:
    question = questions[result.question]
    return Check(
        criteria=(result.criterion,),
        question=question.id,
        text=question.text,
        who=question.who,
        settled=result.settled or "record",
        reason=result.reason,
    )


def _active(study: Study, pairs: Iterable[str]) -> list[Pair]:
    wanted = frozenset(pairs)
    return [pair for pair in study.pairs if pair.id in wanted]


def _together(
    checks: Sequence[Check], pairs: Sequence[Pair], questions: Mapping[str, Question]
) -> list[Check]:
    """Paired criteria are asked in one question, first among those settled in the same place."""
    merged: list[Check] = []
    asked: set[str] = set()
    for pair in pairs:
        mine = [check for check in checks if check.criteria[0] in pair.criteria]
        open_ = [check for check in mine if check.criteria[0] not in asked]
        if open_:
            merged.append(_joined(pair, open_, questions))
            asked.update(check.criteria[0] for check in open_)
    rest = [check for check in checks if check.criteria[0] not in asked]
    return [*merged, *_alike(rest)]


def _place(check: Check) -> int:
    return SETTLED_ORDER.index(check.settled)


def _joined(pair: Pair, checks: Sequence[Check], questions: Mapping[str, Question]) -> Check:
    question = questions[pair.question]
    first = min(checks, key=_place)
    return Check(
        criteria=tuple(check.criteria[0] for check in checks),
        question=question.id,
        text=question.text,
        who=question.who,
        settled=first.settled,
        reason=first.reason,
    )


def _alike(checks: Sequence[Check]) -> list[Check]:
    """Criteria that are settled by the same question in the same place are one check."""
    grouped: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        grouped.setdefault((check.question, check.settled), []).append(check)
    return [_one(group) for group in grouped.values()]


def _one(group: Sequence[Check]) -> Check:
    first = group[0]
    return Check(
        criteria=tuple(name for check in group for name in check.criteria),
        question=first.question,
        text=first.text,
        who=first.who,
        settled=first.settled,
        reason=first.reason,
    )


def _to_watch(
    results: Sequence[CriterionResult], criteria: Mapping[str, Criterion]
) -> tuple[Check, ...]:
    watched = [
        (result, criteria[result.criterion])
        for result in results
        if result.effect is Effect.AGAINST and criteria[result.criterion].watch
    ]
    return tuple(
        Check(
            criteria=(result.criterion,),
            question=criterion.question,
            text=criterion.watch,
            who="coordinator",
            settled=criterion.settled,
            reason=None,
        )
        for result, criterion in watched
        if result.until is None
    )
