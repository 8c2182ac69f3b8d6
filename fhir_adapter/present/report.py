"""Completeness and data quality over many decisions: counts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fhir_adapter.model.decision import Decision
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionCounts:
    """How one criterion came out over everybody who was judged; the counts add up to them."""

    criterion: str
    title: str
    fits: int
    """From data; what is only assumed is counted apart."""
    assumed: int
    against: int
    not_applicable: int
    open: tuple[tuple[str, int], ...]
    """Reason code -> patients, in the order of the reasons."""

    @property
    def open_total(self) -> int:
        """Patients for whom it is open."""
        return sum(count for _, count in self.open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Counts per criterion, and data-quality issues by code."""

    judged: int
    criteria: tuple[CriterionCounts, ...]
    issues: tuple[tuple[str, int], ...]


def report(decisions: Sequence[Decision], study: Study) -> Report:
    """Counts over the decisions that judged criteria; stopped patients have none."""
    judged = [decision for decision in decisions if decision.results]
    by_criterion: dict[str, list[CriterionResult]] = {c.id: [] for c in study.criteria}
    for decision in judged:
        for result in decision.results:
            by_criterion[result.criterion].append(result)
    issues = Counter(issue for decision in decisions for issue in decision.issues)
    return Report(
        judged=len(judged),
        criteria=tuple(_counts(c.id, c.title, by_criterion[c.id]) for c in study.criteria),
        issues=tuple(sorted(issues.items())),
    )


def _counts(number: str, title: str, results: Sequence[CriterionResult]) -> CriterionCounts:
    assumed = sum(1 for r in results if r.effect is Effect.FITS and r.assumed)
    opens = Counter(r.reason for r in results if r.effect is Effect.OPEN and r.reason is not None)
    return CriterionCounts(
        criterion=number,
        title=title,
        fits=sum(1 for r in results if r.effect is Effect.FITS) - assumed,
        assumed=assumed,
        against=sum(1 for r in results if r.effect is Effect.AGAINST),
        not_applicable=sum(1 for r in results if r.effect is Effect.NOT_APPLICABLE),
        open=tuple((reason.code, count) for reason, count in sorted(opens.items())),
    )
