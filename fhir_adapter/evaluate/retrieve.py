"""Retrieves: which facts lie in the window, which pass the tests, and what absence means.

The retrieve is kind, codes and window; the tests are value, clinical status, severity,
criticality and stage. Absence is judged on the retrieve alone: a recorded fact that fails a test
is an answer, not silence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fhir_adapter.evaluate.absence import ORDER_DAYS, Absence, is_not_mapped, known_here, systems_of
from fhir_adapter.evaluate.case import Case, in_order
from fhir_adapter.evaluate.judged import FALSE, SHOWN, Judged, any_of, unknown
from fhir_adapter.evaluate.statuses import status_tests
from fhir_adapter.evaluate.values import Test
from fhir_adapter.evaluate.windows import (
    Anchors,
    AnchorState,
    CompiledWindow,
    Inside,
    Resolved,
    inside,
)
from fhir_adapter.model.criterion import AbsencePolicy, Events
from fhir_adapter.model.dates import DATE_EARLIEST
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.result import Evidence
from fhir_adapter.model.truth import Reason, Truth

_PERSONS_WORD = (Kind.ANSWER, Kind.ENTERED)


class Found(msgspec.Struct, frozen=True, gc=False):
    """One fact of a retrieve and how surely it lies in the window."""

    fact: Fact
    sure: bool


class Members(msgspec.Struct, frozen=True, gc=False):
    """The facts of a retrieve after its tests."""

    sure: tuple[Fact, ...] = ()
    maybe: tuple[tuple[Fact, Reason], ...] = ()
    failed: tuple[Fact, ...] = ()
    """Certainly in the window and certainly failing a test: recorded, and not a member."""
    remarks: tuple[str, ...] = ()
    problem: Reason | None = None
    """Not everything was retrieved, or the window's anchor is not known."""
    empty_window: bool = False

    @property
    def is_silent(self) -> bool:
        """Nothing of this was recorded in a window that exists: the absence policy speaks."""
        return not (self.sure or self.maybe or self.failed or self.empty_window)


_NOBODY = Members()
_NOT_MAPPED = unknown(Reason.CODE_NOT_MAPPED)
_NEVER = unknown(Reason.NEVER_RECORDED)


class Retrieve:
    """One compiled retrieve."""

    def __init__(
        self,
        events: Events,
        *,
        window: CompiledWindow,
        anchors: Anchors,
        absence: Absence,
        code_set: CodeSet | None,
        tests: tuple[Test, ...],
        same_day: Retrieve | None,
        also: Retrieve | None,
    ) -> None:
        self.events = events
        self.place: object = self
        """One for retrieves that differ in nothing but how they read silence."""
        self.window = window
        self.absence = absence
        self.policy: AbsencePolicy = events.if_absent or absence.policy
        self.same_day = same_day
        self.also = also
        self._anchors = anchors
        self._systems = systems_of(code_set)
        self.keys: tuple[tuple[Kind, str | None], ...] = tuple(
            (kind, events.codes) for kind in events.kind
        )
        """Where a case keeps such facts."""
        self._kinds = frozenset(events.kind) - frozenset(_PERSONS_WORD)
        self._tests = (*status_tests(events), *tests)
        self._assumption = Judged(Truth.FALSE, assumed=events.if_absent is None)

    def every(self, case: Case) -> list[Fact]:
        """Facts of the kinds and codes in order of time, whatever the window."""
        if len(self.keys) == 1:
            return case.facts(*self.keys[0])
        found = {id(fact): fact for key in self.keys for fact in case.facts(*key)}
        return sorted(found.values(), key=in_order)

    def nothing(self, case: Case) -> bool:
        """No such fact at all, in or out of the window: absent, whatever the window is."""
        for key in self.keys:
            if case.facts(*key):
                return False
        return self.also is None or self.also.nothing(case)

    def in_window(self, case: Case, value: Fact | None = None) -> tuple[Resolved, Sequence[Found]]:
        """Facts that lie, or may lie, in the window; worked out once per place and case."""
        if value is not None:
            return self._in_window(case, value)
        known = case.memo.get(self.place)
        if known is None:
            known = case.memo[self.place] = self._in_window(case, None)
        return known  # type: ignore[return-value] # the memo holds what this place put there

    def _in_window(self, case: Case, value: Fact | None) -> tuple[Resolved, Sequence[Found]]:
        window = self.window.resolve(case, value)
        closed = window.missing is not None or window.empty
        found = [] if closed else self._own(case, window)
        return window, found if self.also is None else self._with_also(case, found)

    def _own(self, case: Case, window: Resolved) -> list[Found]:
        found: list[Found] = []
        low = window.low
        dated = low is not None and low.by_date and window.match == "starts-in"
        first = low.lo if low is not None and dated else DATE_EARLIEST
        for fact in self.every(case):
            if fact.start_date_hi < first:  # over before the window: most of a long record
                continue
            place = inside(window, fact)
            if place is not Inside.NO:
                found.append(Found(fact, place is Inside.YES))
        if self.same_day is not None:
            found = self._on_those_days(case, found)
        if self.events.not_in_earlier is not None:
            found = self._not_earlier(case, found, self.events.not_in_earlier)
        return found

    def _with_also(self, case: Case, found: Sequence[Found]) -> Sequence[Found]:
        assert self.also is not None
        _, more = self.also.in_window(case)
        kept = {id(item.fact): item for item in found}
        for item in more:
            if item.sure or id(item.fact) not in kept:
                kept[id(item.fact)] = item
        return sorted(kept.values(), key=lambda item: in_order(item.fact))

    def _not_earlier(self, case: Case, found: list[Found], anchor: str) -> list[Found]:
        """Facts of earlier runs are left out; one that only may be of such a run is doubtful."""
        value = self._anchors(case, anchor)
        if value.state is AnchorState.UNKNOWN:
            return [Found(item.fact, sure=False) for item in found]
        runs = value.earlier
        kept: list[Found] = []
        for item in found:
            lo, hi = item.fact.start_date_lo, item.fact.start_date_hi
            if any(start <= lo and hi <= end for start, end in runs):
                continue
            touched = any(lo <= end and start <= hi for start, end in runs)
            kept.append(Found(item.fact, sure=False) if touched else item)
        return kept

    def _on_those_days(self, case: Case, found: list[Found]) -> list[Found]:
        assert self.same_day is not None
        members = self.same_day.members(case)
        sure = {f.start_date_lo for f in members.sure if f.start_date_lo == f.start_date_hi}
        spans = [(f.start_date_lo, f.start_date_hi) for f in members.sure]
        spans += [(f.start_date_lo, f.start_date_hi) for f, _ in members.maybe]
        kept: list[Found] = []
        for item in found:
            lo, hi = item.fact.start_date_lo, item.fact.start_date_hi
            if lo == hi and lo in sure:
                kept.append(item)
            elif members.problem is not None or any(lo <= e and s <= hi for s, e in spans):
                kept.append(Found(item.fact, sure=False))
        return kept

    def members(self, case: Case, value: Fact | None = None) -> Members:
        """The facts that certainly pass, may pass, and certainly fail."""
        if self.nothing(case):
            whole = self._kinds <= case.whole and self.also is None
            return _NOBODY if whole else Members(problem=self.not_whole(case, value))
        window, found = self.in_window(case, value)
        if window.empty and not found:
            return Members(empty_window=True)
        sure: list[Fact] = []
        maybe: list[tuple[Fact, Reason]] = []
        failed: list[Fact] = []
        remarks: list[str] = []
        for item in found:
            truth, reason, remark = self._passes(item)
            if truth is Truth.TRUE:
                sure.append(item.fact)
                remarks.append(remark)
            elif truth is Truth.UNKNOWN:
                maybe.append((item.fact, reason or Reason.DATE_MISSING_OR_TOO_COARSE))
            elif item.sure:
                failed.append(item.fact)
        return Members(
            tuple(sure),
            tuple(maybe),
            tuple(failed),
            tuple(remarks),
            self.problem(case, window),
        )

    def _passes(self, item: Found) -> tuple[Truth, Reason | None, str]:
        fact = item.fact
        if fact.standing is Standing.MAKES_UNKNOWN:
            return Truth.UNKNOWN, fact.standing_reason or Reason.RECORDED_UNUSABLE, ""
        worst: Reason | None = None
        remark = ""
        for test in self._tests:
            truth, reason, text = test(fact)
            if truth is Truth.FALSE:
                return Truth.FALSE, None, ""
            if truth is Truth.UNKNOWN:
                reason = reason or Reason.RECORDED_UNUSABLE
                worst = reason if worst is None else min(worst, reason)
            remark = remark or text
        if worst is not None:
            return Truth.UNKNOWN, worst, ""
        if not item.sure:
            return Truth.UNKNOWN, Reason.DATE_MISSING_OR_TOO_COARSE, ""
        return Truth.TRUE, None, remark

    def problem(self, case: Case, window: Resolved) -> Reason | None:
        """Why what was found may not be all there is: anchor not known, or not pulled whole."""
        own = window.missing or self.not_retrieved(case, window)
        if self.also is None:
            return own
        other = self.also.problem(case, self.also.window.resolve(case, None))
        return min((reason for reason in (own, other) if reason is not None), default=None)

    def not_whole(self, case: Case, value: Fact | None) -> Reason | None:
        """NOT_RETRIEVED when this, or what counts as well, was not pulled whole."""
        own = self.not_retrieved(case, self.window.resolve(case, value))
        return own if own is not None or self.also is None else self.also.not_whole(case, None)

    def not_retrieved(self, case: Case, window: Resolved) -> Reason | None:
        """NOT_RETRIEVED when any kind was not pulled whole over the window's dates."""
        if self._kinds <= case.whole:
            return None
        low = window.low.lo if window.low is not None and window.low.by_date else DATE_EARLIEST
        for kind in self._kinds:
            rows = case.retrieved.get(kind)
            if not rows or any(not r.complete and r.date_to >= low for r in rows):
                return Reason.NOT_RETRIEVED
        return None

    def silent(self, case: Case) -> Judged | None:
        """``absent``, where there is no such fact at all and nothing speaks about silence.

        The usual answer, by the shortest way; None where the long way must be gone.
        """
        if not case.plain or self.also is not None or not self._kinds <= case.whole:
            return None
        for key in self.keys:
            if case.facts(*key):
                return None
        if self._not_mapped(case):
            return _NOT_MAPPED
        return self._assumption if self._is_assumed(case) else _NEVER

    def _is_assumed(self, case: Case) -> bool:
        return self.policy == "assume-absent" or (
            self.policy == "assume-absent-if-known-here" and known_here(case, self.absence)
        )

    def absent(self, case: Case, value: Fact | None = None) -> Judged:
        """What it means that the record holds no such fact in the window."""
        own = self._absent(case, value)
        return own if self.also is None else any_of((own, self.also.absent(case)))

    def _absent(self, case: Case, value: Fact | None) -> Judged:
        reason = self._silence(case, value)
        if reason is None:
            return FALSE
        if reason is not Reason.NEVER_RECORDED:
            return unknown(reason)
        aside = self._aside(case)
        if self._is_assumed(case):
            return Judged(Truth.FALSE, evidence=aside, assumed=self.events.if_absent is None)
        return unknown(reason, *aside)

    def _aside(self, case: Case) -> tuple[Evidence, ...]:
        """Facts of these codes that decide nothing: entered in error, refuted, about another."""
        if not case.aside:
            return ()
        facts = [
            fact for kind, name in self.keys for fact in case.aside.get((kind, name or ""), ())
        ]
        newest = sorted(facts, key=lambda fact: (-fact.start_lo, fact.source))[:SHOWN]
        return tuple(Evidence(fact, _why_aside(fact)) for fact in newest)

    def _silence(self, case: Case, value: Fact | None) -> Reason | None:
        if not self._kinds <= case.whole:
            problem = self.not_retrieved(case, self.window.resolve(case, value))
            if problem is not None:
                return problem
        if self._recorded_absence(case):
            return None
        if self._not_mapped(case):
            return Reason.CODE_NOT_MAPPED
        return self.waiting(case) or Reason.NEVER_RECORDED

    def waiting(self, case: Case) -> Reason | None:
        """PENDING when it was ordered lately; OUTSIDE when a newer outside document exists."""
        if Kind.OBSERVATION in self.events.kind and self._ordered(case):
            return Reason.PENDING
        return Reason.OUTSIDE if self.absence.reopen_outside and self._outside(case) else None

    def _recorded_absence(self, case: Case) -> bool:
        return bool(self._kinds) and self._kinds <= case.denied

    def _not_mapped(self, case: Case) -> bool:
        return is_not_mapped(case, self.events.kind, self._systems)

    def _ordered(self, case: Case) -> bool:
        if self.events.codes is None or Kind.SERVICE_REQUEST not in case.by_kind:
            return False
        since = case.as_of_date - ORDER_DAYS
        orders = case.facts(Kind.SERVICE_REQUEST, self.events.codes)
        return any(order.status == "active" and order.start_date_lo >= since for order in orders)

    def _outside(self, case: Case) -> bool:
        if Kind.DOCUMENT not in case.by_kind:
            return False
        _, found = self.in_window(case)
        newest = max((item.fact.start_lo for item in found), default=None)
        return any(
            document.stage == "outside" and (newest is None or document.start_lo > newest)
            for document in case.by_kind.get(Kind.DOCUMENT, ())
        )


def _why_aside(fact: Fact) -> str:
    return "about another" if fact.about_other else "ignored"
