"""Named anchors: episodes and events as uncertain instants, worked out once per case.

An episode starts in the half-open interval from the last value below the bound to the first at
it. Without a value below in the look-back the start is open. It ends when values stay below for
long enough on enough results; silence ends nothing. A person may set an anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_adapter.evaluate.case import Case, in_order, last_start
from fhir_adapter.evaluate.judged import first_reason, shown
from fhir_adapter.evaluate.retrieve import Retrieve
from fhir_adapter.evaluate.values import Test
from fhir_adapter.evaluate.windows import AnchorState, AnchorValue
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import DATE_EARLIEST, EARLIEST, Duration
from fhir_adapter.model.fact import Fact, Standing
from fhir_adapter.model.truth import Reason, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledEpisode:
    """One compiled episode anchor."""

    code: Code
    retrieve: Retrieve
    test: Test
    ends_after: Duration
    ends_with: int
    look_back: Duration

    def value(self, case: Case) -> AnchorValue:
        """The episode that runs at as_of, or why there is none."""
        by_hand = set_by_person(case, self.code)
        if by_hand is not None:
            return by_hand
        window, found = self.retrieve.in_window(case)
        problem = self.retrieve.problem(case, window)
        if problem is not None:
            return AnchorValue(state=AnchorState.UNKNOWN, reason=problem)
        facts = [item.fact for item in found if item.fact.standing is Standing.COUNTS]
        tested = [(fact, self.test(fact)[0]) for fact in sorted(facts, key=_in_time)]
        usable = [(fact, truth) for fact, truth in tested if truth is not Truth.UNKNOWN]
        if not usable:
            return self._silent(case)
        return self._run(usable)

    def _silent(self, case: Case) -> AnchorValue:
        absent = self.retrieve.absent(case)
        reason = first_reason(absent.opens) if absent.opens else Reason.NEVER_RECORDED
        return AnchorValue(state=AnchorState.UNKNOWN, reason=reason)

    def _run(self, tested: Sequence[tuple[Fact, Truth]]) -> AnchorValue:
        walk = _Walk()
        for fact, truth in tested:
            if truth is Truth.TRUE:
                walk.at_bound(fact)
            else:
                walk.below(fact, self.ends_after, self.ends_with)
        if walk.first is None:
            return AnchorValue(
                state=AnchorState.NONE, earlier=tuple(walk.earlier), evidence=walk.last_facts()
            )
        return self._present(walk.first, walk.before, tuple(walk.earlier))

    def _present(
        self, first: Fact, before: Fact | None, earlier: tuple[tuple[int, int], ...]
    ) -> AnchorValue:
        limit = self.look_back.shift(first.start_date_lo, -1)
        bounded = before is not None and before.start_date_hi >= limit
        return AnchorValue(
            state=AnchorState.PRESENT,
            lo=before.start_lo if before is not None and bounded else EARLIEST,
            hi=last_start(first),
            date_lo=before.start_date_lo if before is not None and bounded else DATE_EARLIEST,
            date_hi=first.start_date_hi,
            evidence=(before, first) if before is not None and bounded else (first,),
            earlier=earlier,
        )


def _in_time(fact: Fact) -> tuple[int, int, str]:
    return fact.start_lo, fact.start_hi, fact.source


class _Walk:
    """Walks through the values of one patient in time."""

    def __init__(self) -> None:
        self.first: Fact | None = None
        """First value at the bound of the run that goes on."""
        self.before: Fact | None = None
        """Last value below the bound before that run."""
        self.earlier: list[tuple[int, int]] = []
        self._below: list[Fact] = []
        self._last_below: Fact | None = None

    def at_bound(self, fact: Fact) -> None:
        """A qualifying value: a run begins, or goes on."""
        if self.first is None:
            self.first, self.before = fact, self._last_below
        self._below = []

    def below(self, fact: Fact, ends_after: Duration, ends_with: int) -> None:
        """A value below: it ends the run only when it has lasted, on enough results."""
        self._last_below = fact
        if self.first is None:
            return
        self._below.append(fact)
        since = self._below[0].start_date_hi
        lasted = ends_after.shift(since, 1) <= fact.start_date_lo
        if lasted and len(self._below) >= ends_with:
            self.earlier.append((self.first.start_date_lo, since))
            self.first = None

    def last_facts(self) -> tuple[Fact, ...]:
        """The newest value below the bound."""
        return () if self._last_below is None else (self._last_below,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledEvent:
    """One compiled event anchor: the latest or earliest of some events."""

    code: Code
    retrieve: Retrieve
    latest: bool

    def value(self, case: Case) -> AnchorValue:
        """The span in which the selected event starts."""
        by_hand = set_by_person(case, self.code)
        if by_hand is not None:
            return by_hand
        members = self.retrieve.members(case)
        if members.problem is not None:
            return AnchorValue(state=AnchorState.UNKNOWN, reason=members.problem)
        facts = [*members.sure, *(fact for fact, _ in members.maybe)]
        if not facts:
            return self._silent(case, recorded=bool(members.failed or members.empty_window))
        return self._span(facts, members.sure)

    def _silent(self, case: Case, *, recorded: bool) -> AnchorValue:
        if recorded:
            return AnchorValue(state=AnchorState.NONE)
        absent = self.retrieve.absent(case)
        if absent.truth is Truth.FALSE:
            return AnchorValue(state=AnchorState.NONE)
        return AnchorValue(state=AnchorState.UNKNOWN, reason=first_reason(absent.opens))

    def _span(self, facts: Sequence[Fact], sure: Sequence[Fact]) -> AnchorValue:
        """Every fact that may be the one selected widens the interval."""
        if self.latest:
            bound = max((fact.start_lo for fact in sure), default=EARLIEST)
            may_be = [fact for fact in facts if fact.start_hi > bound]
        else:
            bound = min((fact.start_hi for fact in sure), default=2**63)
            may_be = [fact for fact in facts if fact.start_lo < bound]
        if not sure:
            return AnchorValue(
                state=AnchorState.UNKNOWN,
                reason=Reason.DATE_MISSING_OR_TOO_COARSE,
                evidence=_shown(may_be),
            )
        return AnchorValue(
            state=AnchorState.PRESENT,
            lo=min(fact.start_lo for fact in may_be),
            hi=max(last_start(fact) for fact in may_be),
            date_lo=min(fact.start_date_lo for fact in may_be),
            date_hi=max(fact.start_date_hi for fact in may_be),
            evidence=_shown(may_be),
        )


def _shown(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    return tuple(item.fact for item in shown(facts))


CompiledAnchor = CompiledEpisode | CompiledEvent


def set_by_person(case: Case, code: Code) -> AnchorValue | None:
    """The anchor as a person has set it, if anyone has; the newest entry counts."""
    entries = case.answers.get(code)
    if not entries:
        return None
    newest = max(entries, key=lambda fact: (fact.known_from, *in_order(fact)))
    return AnchorValue(
        state=AnchorState.PRESENT,
        lo=newest.start_lo,
        hi=last_start(newest),
        date_lo=newest.start_date_lo,
        date_hi=newest.start_date_hi,
        evidence=(newest,),
        set_by_person=True,
    )
