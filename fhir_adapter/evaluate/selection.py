"""Selections: the test on every fact that may be the latest, earliest, lowest or highest.

Selection is a candidate set: all TRUE is TRUE, all FALSE is FALSE, else UNKNOWN. An unusable
candidate makes it UNKNOWN; an older usable value is shown, never used instead. Ids never decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from fhir_adapter.evaluate.case import Case, last_start
from fhir_adapter.evaluate.judged import FALSE, Judged, decided, shown, unknown
from fhir_adapter.evaluate.retrieve import Found, Retrieve
from fhir_adapter.evaluate.values import Test, is_numeric
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.fact import Fact, Standing
from fhir_adapter.model.result import Evidence
from fhir_adapter.model.truth import Reason, Truth

Precedes = Callable[[Fact, Fact], bool]
"""Whether the first certainly comes before the second in the order of the selection."""


def later(one: Fact, other: Fact) -> bool:
    """Certainly later: it starts when the other's start is over."""
    return one.start_lo >= other.start_hi


def earlier(one: Fact, other: Fact) -> bool:
    """Certainly earlier."""
    return later(other, one)


def lower(one: Fact, other: Fact) -> bool:
    """Certainly lower; a fact without a number is never certainly anything."""
    return _below(one.value_hi, other.value_lo)


def higher(one: Fact, other: Fact) -> bool:
    """Certainly higher."""
    return _below(other.value_hi, one.value_lo)


def _below(hi: Decimal | None, lo: Decimal | None) -> bool:
    return hi is not None and lo is not None and hi < lo


class _Picked(msgspec.Struct, frozen=True, gc=False):
    """What a selection chooses from a record, before any test."""

    found: Sequence[Found] = ()
    chosen: Sequence[Found] = ()
    problem: Reason | None = None
    empty_window: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One compiled selection node."""

    retrieve: Retrieve
    test: Test
    precedes: Precedes
    n: int
    fresh: Duration | None
    by_time: bool
    choice: object
    """One for selections that choose the same facts, whatever they ask of them."""

    def judge(self, case: Case) -> Judged:
        """The answer for one case."""
        known = case.memo.get(self.choice)
        if known is None:
            known = case.memo[self.choice] = self._pick(case)
        picked: _Picked = known  # type: ignore[assignment] # the memo holds what this put there
        if picked.empty_window:
            return FALSE
        if picked.problem is not None:
            return unknown(picked.problem, *shown([i.fact for i in picked.found], "incomplete"))
        if not any(item.sure for item in picked.chosen):
            return self._no_sure_member(case, picked.chosen)
        return self._answer(case, picked.chosen, picked.found)

    def _pick(self, case: Case) -> _Picked:
        if self.retrieve.nothing(case):
            return _Picked()
        window, found = self.retrieve.in_window(case)
        if window.empty and not found:
            return _Picked(empty_window=True)
        problem = self.retrieve.problem(case, window)
        chosen = [] if problem is not None else self._candidates(found)
        return _Picked(found, chosen, problem)

    def _candidates(self, found: Sequence[Found]) -> list[Found]:
        sure = [item.fact for item in found if item.sure]
        if self.by_time:
            return self._by_time(found, sure)
        return [item for item in found if self._ahead(item.fact, sure) < self.n]

    def _by_time(self, found: Sequence[Found], sure: Sequence[Fact]) -> list[Found]:
        """The same by sorting: the n-th certain member bounds who can still be selected."""
        if len(sure) < self.n:
            return list(found)
        if self.precedes is later:
            bound = sorted((fact.start_lo for fact in sure), reverse=True)[self.n - 1]
            return [item for item in found if item.fact.start_hi > bound]
        limit = sorted(fact.start_hi for fact in sure)[self.n - 1]
        return [item for item in found if item.fact.start_lo < limit]

    def _ahead(self, fact: Fact, sure: Sequence[Fact]) -> int:
        return sum(1 for other in sure if self.precedes(other, fact))

    def _no_sure_member(self, case: Case, picked: Sequence[Found]) -> Judged:
        if picked:
            facts = [item.fact for item in picked]
            reason = min(self._doubt(item, case) for item in picked)
            return unknown(reason, *shown(facts, reason.code))
        return self.retrieve.absent(case)

    def _doubt(self, item: Found, case: Case) -> Reason:
        _, reason, _ = self._tested(item.fact, case)
        return reason or Reason.DATE_MISSING_OR_TOO_COARSE

    def _answer(self, case: Case, picked: Sequence[Found], found: Sequence[Found]) -> Judged:
        tested = [(item, *self._tested(item.fact, case)) for item in picked]
        truths = {truth for _, truth, _, _ in tested}
        facts = [item.fact for item, _, _, _ in tested]
        remark = next((text for _, _, _, text in tested if text), "")
        if truths == {Truth.TRUE}:
            return decided(Truth.TRUE, facts, remark)
        if truths == {Truth.FALSE} or self._one_sure_failure(tested, found):
            return decided(Truth.FALSE, facts, remark)
        return self._undecided(case, tested, found)

    def _one_sure_failure(
        self,
        tested: Sequence[tuple[Found, Truth, Reason | None, str]],
        found: Sequence[Found],
    ) -> bool:
        """For n > 1: a fact that certainly is among the n fails the test."""
        return self.n > 1 and any(
            truth is Truth.FALSE and item.sure and self._surely_picked(item.fact, found)
            for item, truth, _, _ in tested
        )

    def _surely_picked(self, fact: Fact, found: Sequence[Found]) -> bool:
        may_be_ahead = sum(
            1 for o in found if o.fact is not fact and not self.precedes(fact, o.fact)
        )
        return may_be_ahead < self.n

    def _undecided(
        self,
        case: Case,
        tested: Sequence[tuple[Found, Truth, Reason | None, str]],
        found: Sequence[Found],
    ) -> Judged:
        reasons = [reason for _, _, reason, _ in tested if reason is not None]
        if reasons:
            reason = self._waiting(case, min(reasons))
        else:
            reason = self._split([item.fact for item, _, _, _ in tested])
        keeps = [item.fact for item, _, _, _ in tested]
        evidence = (*shown(keeps, reason.code), *self._older(keeps, found, reason))
        return unknown(reason, *evidence)

    def _waiting(self, case: Case, reason: Reason) -> Reason:
        return (self.retrieve.waiting(case) or reason) if reason is Reason.STALE else reason

    def _split(self, facts: Sequence[Fact]) -> Reason:
        spans = {(fact.start_lo, fact.start_hi) for fact in facts}
        same = len(spans) == 1 or not self.by_time
        return Reason.CONFLICT if same else Reason.DATE_MISSING_OR_TOO_COARSE

    def _older(
        self, keeps: Sequence[Fact], found: Sequence[Found], reason: Reason
    ) -> tuple[Evidence, ...]:
        """The usable value that was displaced: shown, never used."""
        if reason is Reason.STALE:
            return ()
        usable = [
            item.fact
            for item in found
            if item.fact not in keeps
            and item.fact.standing is Standing.COUNTS
            and is_numeric(item.fact)
        ]
        return shown(usable, "older, not used")[:1]

    def _tested(self, fact: Fact, case: Case) -> tuple[Truth, Reason | None, str]:
        if fact.standing is Standing.MAKES_UNKNOWN:
            return Truth.UNKNOWN, fact.standing_reason or Reason.RECORDED_UNUSABLE, ""
        if self.fresh is not None:
            aged = _aged(fact, self.fresh, case)
            if aged is not None:
                return Truth.UNKNOWN, aged, ""
        return self.test(fact)


def _aged(fact: Fact, fresh: Duration, case: Case) -> Reason | None:
    if fresh.is_hours:
        limit = case.as_of - fresh.micros
        surely_fresh, may_be_fresh = fact.start_lo >= limit, last_start(fact) >= limit
    else:
        day = fresh.shift(case.as_of_date, -1)
        surely_fresh, may_be_fresh = fact.start_date_lo >= day, fact.start_date_hi >= day
    if surely_fresh:
        return None
    return Reason.DATE_MISSING_OR_TOO_COARSE if may_be_fresh else Reason.STALE
