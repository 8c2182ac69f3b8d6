"""Nodes over two facts or over a fact's own length: rise, fall, paired, lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fhir_adapter.evaluate.case import Case, is_running
from fhir_adapter.evaluate.judged import FALSE, Judged, decided, shown, unknown
from fhir_adapter.evaluate.retrieve import Members, Retrieve
from fhir_adapter.evaluate.values import is_numeric
from fhir_adapter.evaluate.windows import distance
from fhir_adapter.model import truth as kleene
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.fact import Fact, Standing
from fhir_adapter.model.result import Evidence
from fhir_adapter.model.truth import Reason, Truth

_Compare = Callable[[Fact, Fact], Truth]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One compiled rise or fall: the later value is in the window, the earlier within reach."""

    retrieve: Retrieve
    compare: _Compare
    within: Duration

    def judge(self, case: Case) -> Judged:
        """TRUE on a certain pair; FALSE only where at least one pair could be compared."""
        members = self.retrieve.members(case)
        if members.empty_window:
            return FALSE
        later = (*members.sure, *(fact for fact, _ in members.maybe))
        sure_later = set(map(id, members.sure))
        found = [
            (self._truth(one, two, sure=id(two) in sure_later), one, two)
            for two in later
            for one in self._earlier(case, two)
        ]
        return self._answer(case, members, found)

    def _earlier(self, case: Case, two: Fact) -> Iterable[Fact]:
        for one in self.retrieve.every(case):
            near = distance(one, two, self.within)
            if one is not two and one.start_lo < two.start_hi and near is not Truth.FALSE:
                yield one

    def _truth(self, one: Fact, two: Fact, *, sure: bool) -> Truth:
        if not (_usable(one) and _usable(two)):
            return Truth.UNKNOWN
        placed = sure and one.start_hi <= two.start_lo
        near = distance(one, two, self.within)
        return kleene.all_of(
            (self.compare(one, two), near, Truth.TRUE if placed else Truth.UNKNOWN)
        )

    def _answer(
        self, case: Case, members: Members, found: Sequence[tuple[Truth, Fact, Fact]]
    ) -> Judged:
        risen = [(one, two) for truth, one, two in found if truth is Truth.TRUE]
        if risen:
            first, second = min(risen, key=lambda pair: (pair[1].start_lo, pair[0].start_lo))
            return Judged(Truth.TRUE, (Evidence(first, "from"), Evidence(second)))
        if members.problem is not None:
            return unknown(members.problem)
        doubtful = [(one, two) for truth, one, two in found if truth is Truth.UNKNOWN]
        if doubtful:
            return unknown(_doubt(doubtful), *shown([doubtful[0][0], doubtful[0][1]], "possible"))
        if found:
            facts = {id(fact): fact for _, one, two in found for fact in (one, two)}
            return decided(Truth.FALSE, list(facts.values()))
        return self.retrieve.absent(case)


def _usable(fact: Fact) -> bool:
    return fact.standing is Standing.COUNTS and is_numeric(fact)


def _doubt(pairs: Sequence[tuple[Fact, Fact]]) -> Reason:
    reasons = [
        fact.standing_reason for pair in pairs for fact in pair if fact.standing_reason is not None
    ]
    unnumbered = any(not is_numeric(fact) for pair in pairs for fact in pair)
    if unnumbered:
        reasons.append(Reason.RECORDED_UNUSABLE)
    return min(reasons) if reasons else Reason.DATE_MISSING_OR_TOO_COARSE


def rise(by: Decimal | None, factor: Decimal | None) -> _Compare:
    """later - earlier >= by, or later >= factor x earlier; exact decimals, intervals respected."""

    def compare(one: Fact, two: Fact) -> Truth:
        return _changed(one, two, by, factor)

    return compare


def fall(by: Decimal | None, factor: Decimal | None) -> _Compare:
    """earlier - later >= by, or earlier >= factor x later."""

    def compare(one: Fact, two: Fact) -> Truth:
        return _changed(two, one, by, factor)

    return compare


def _changed(low: Fact, high: Fact, by: Decimal | None, factor: Decimal | None) -> Truth:
    surely = _grown(low.value_hi, high.value_lo, by, factor)
    maybe = _grown(low.value_lo, high.value_hi, by, factor)
    if surely:
        return Truth.TRUE
    unbounded = low.value_lo is None or high.value_hi is None
    return Truth.UNKNOWN if maybe or unbounded else Truth.FALSE


def _grown(
    low: Decimal | None, high: Decimal | None, by: Decimal | None, factor: Decimal | None
) -> bool:
    if low is None or high is None:
        return False
    far = by is None or high - low >= by
    return far and (factor is None or high >= factor * low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """One compiled ``paired`` node."""

    first: Retrieve
    second: Retrieve
    within: Duration

    def judge(self, case: Case) -> Judged:
        """TRUE on a certain pair; FALSE when both are recorded and no pair can be that close."""
        one, two = self.first.members(case), self.second.members(case)
        sure = self._closest(one.sure, two.sure)
        if sure is not None:
            return Judged(Truth.TRUE, tuple(Evidence(fact) for fact in sure))
        problem = one.problem or two.problem
        if problem is not None:
            return unknown(problem)
        return self._maybe(one, two) or self._apart(case, one, two)

    def _closest(self, first: Sequence[Fact], second: Sequence[Fact]) -> tuple[Fact, Fact] | None:
        pairs = ((a, b) for a in first for b in second if distance(a, b, self.within) is Truth.TRUE)
        return max(pairs, key=lambda pair: (pair[0].start_lo, pair[1].start_lo), default=None)

    def _maybe(self, one: Members, two: Members) -> Judged | None:
        for a, why_a in (*((fact, None) for fact in one.sure), *one.maybe):
            for b, why_b in (*((fact, None) for fact in two.sure), *two.maybe):
                if distance(a, b, self.within) is not Truth.FALSE:
                    reasons = [why for why in (why_a, why_b) if why is not None]
                    reason = min(reasons, default=Reason.DATE_MISSING_OR_TOO_COARSE)
                    return unknown(reason, *shown([a, b], reason.code))
        return None

    def _apart(self, case: Case, one: Members, two: Members) -> Judged:
        for members in (one, two):
            if not (members.is_silent or members.sure or members.maybe):
                return decided(Truth.FALSE, members.failed)  # recorded, and none of it a member
        silent = [
            retrieve.absent(case)
            for members, retrieve in ((one, self.first), (two, self.second))
            if members.is_silent
        ]
        if silent:
            # what is certainly not there cannot be paired, whatever the other one is
            return min(silent, key=lambda absent: (absent.truth is not Truth.FALSE, absent.assumed))
        facts = [fact for members in (one, two) for fact in (*members.sure, *members.failed)]
        return decided(Truth.FALSE, facts, "too far apart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """One compiled ``lasts`` node; a running event has lasted until as_of."""

    retrieve: Retrieve
    at_least: Duration

    def judge(self, case: Case) -> Judged:
        """TRUE on an event that certainly runs that long."""
        members = self.retrieve.members(case)
        tested = [(self._long(fact, case), fact) for fact in members.sure]
        long = [fact for truth, fact in tested if truth is Truth.TRUE]
        if long:
            return decided(Truth.TRUE, long)
        if members.problem is not None:
            return unknown(members.problem)
        maybe = [fact for truth, fact in tested if truth is Truth.UNKNOWN]
        if maybe or members.maybe:
            reason = min(
                (why for _, why in members.maybe), default=Reason.DATE_MISSING_OR_TOO_COARSE
            )
            return unknown(reason, *shown(maybe or [f for f, _ in members.maybe], reason.code))
        if tested or members.failed or members.empty_window:
            return decided(Truth.FALSE, [fact for _, fact in tested])
        return self.retrieve.absent(case)

    def _long(self, fact: Fact, case: Case) -> Truth:
        end_lo, end_hi = fact.end_lo, min(fact.end_hi, case.as_of)
        day_lo, day_hi = fact.end_date_lo, min(fact.end_date_hi, case.as_of_date)
        if is_running(fact):
            end_lo, day_lo = case.as_of, case.as_of_date
        if self.at_least.is_hours:
            sure = end_lo - fact.start_hi >= self.at_least.micros
            maybe = end_hi - fact.start_lo >= self.at_least.micros
        else:
            sure = self.at_least.shift(fact.start_date_hi, 1) <= day_lo
            maybe = self.at_least.shift(fact.start_date_lo, 1) <= day_hi
        if sure:
            return Truth.TRUE
        return Truth.UNKNOWN if maybe else Truth.FALSE
