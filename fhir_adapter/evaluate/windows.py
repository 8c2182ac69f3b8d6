"""Windows: edges relative to anchors, and whether a fact lies inside (definitely, possibly, not).

Edges are closed. An offset in hours, and an edge without an offset, compare instants; days and
longer compare local dates (design section 3). The edge "as-of" without an offset is no bound:
later facts do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import msgspec

from fhir_adapter.evaluate.case import Case, last_end, last_start
from fhir_adapter.model.criterion import ADMISSION, AS_OF, VALUE, Window
from fhir_adapter.model.dates import (
    DATE_EARLIEST,
    DATE_LATEST,
    EARLIEST,
    LATEST,
    Duration,
    local_date,
)
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.truth import Reason, Truth

_EDGE = re.compile(r"^([a-z][a-z0-9-]*)(?:\.(start|end))?(?: ([+-]) (.+))?$")


class AnchorState(Enum):
    """Whether an anchor is there, is known not to be, or cannot be told."""

    PRESENT = "present"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorValue:
    """A named anchor for one case: an uncertain instant with evidence of its own."""

    state: AnchorState
    lo: int = EARLIEST
    hi: int = LATEST
    date_lo: int = DATE_EARLIEST
    date_hi: int = DATE_LATEST
    reason: Reason | None = None
    evidence: tuple[Fact, ...] = ()
    earlier: tuple[tuple[int, int], ...] = ()
    """Local dates, both closed, of runs that ended before."""
    running: bool = True
    set_by_person: bool = False

    @property
    def open_start(self) -> bool:
        """Nothing bounds the anchor from below."""
        return self.lo <= EARLIEST


Anchors = Callable[[Case, str], AnchorValue]


class Inside(Enum):
    """Membership of one fact in one window."""

    NO = 0
    MAY_BE = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Edge:
    """One parsed edge."""

    anchor: str
    point: str
    sign: int
    offset: Duration | None

    @classmethod
    def parse(cls, text: str) -> Edge:
        """From "as-of - 7 days", "onset.start + 14 days", "admission"; ValueError otherwise."""
        found = _EDGE.match(text)
        if found is None:
            raise ValueError(f"{text!r} is not an edge such as 'as-of - 7 days'")
        offset = Duration.parse(found[4]) if found[4] else None
        return cls(found[1], found[2] or "", -1 if found[3] == "-" else 1, offset)

    @property
    def by_date(self) -> bool:
        """Days and longer compare local dates."""
        return self.offset is not None and not self.offset.is_hours


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where an edge lies: between lo and hi, as instants or as local dates."""

    lo: int
    hi: int
    by_date: bool


class Resolved(msgspec.Struct, frozen=True, gc=False):
    """A window for one case: two positions, or the reason why it has none."""

    match: str
    low: Position | None = None
    high: Position | None = None
    missing: Reason | None = None
    """The anchor is not known; nothing can be said about membership."""
    empty: bool = False
    """The anchor never happened and the window then holds nothing."""


UNBOUNDED = Resolved("starts-in")


class CompiledWindow:
    """A window with its edges parsed, resolved once per case."""

    def __init__(self, window: Window | None, anchors: Anchors) -> None:
        self.window = window
        self.low: Edge | None = Edge.parse(window.from_) if window and window.from_ else None
        self.or_low: Edge | None = Edge.parse(window.or_from) if window and window.or_from else None
        self.high: Edge | None = Edge.parse(window.to) if window and window.to else None
        self.or_high: Edge | None = Edge.parse(window.or_to) if window and window.or_to else None
        self._anchors = anchors
        self._on_value = any(e is not None and e.anchor == VALUE for e in (self.low, self.high))
        self.never_ends: bool = self.window is None or (self.low is None and self.high is None)

    @property
    def moving(self) -> tuple[Edge, ...]:
        """Edges that move with as_of: time alone carries facts across them."""
        edges = (edge for edge in (self.low, self.high) if edge is not None)
        return tuple(e for e in edges if e.anchor == AS_OF and e.offset is not None)

    def resolve(self, case: Case, value: Fact | None) -> Resolved:
        """The window for this case; only windows around a value differ from fact to fact."""
        if self.never_ends:
            return UNBOUNDED
        if self._on_value:
            return self._resolve(case, value)
        found = case.memo.get(self)
        if not isinstance(found, Resolved):
            found = case.memo[self] = self._resolve(case, value)
        return found

    def _resolve(self, case: Case, value: Fact | None) -> Resolved:
        assert self.window is not None
        problem = self._problem(case)
        if problem is not None:
            return problem
        low = self._edge(case, self.low, self.or_low)
        high = self._edge(case, self.high, self.or_high)
        return Resolved(
            self.window.match,
            None if low is None else self._position(low, case, value, low=True),
            None if high is None else self._position(high, case, value, low=False),
        )

    def _problem(self, case: Case) -> Resolved | None:
        assert self.window is not None
        empty_allowed = self.window.without_anchor == "empty"
        for edge in (self.low, self.high):
            if edge is not None and edge.anchor == ADMISSION and not case.admission.known:
                return Resolved(self.window.match, missing=Reason.NOT_RETRIEVED)
            if edge is None or edge.anchor in (AS_OF, ADMISSION, VALUE):
                continue
            anchor = self._anchors(case, edge.anchor)
            if anchor.state is AnchorState.PRESENT:
                continue
            reason = anchor.reason or Reason.NEVER_RECORDED
            if empty_allowed and reason is Reason.NEVER_RECORDED:
                return Resolved(self.window.match, empty=True)
            return Resolved(self.window.match, missing=reason)
        return None

    def _edge(self, case: Case, edge: Edge | None, when_open: Edge | None) -> Edge | None:
        if edge is None or when_open is None:
            return edge
        return when_open if self._anchors(case, edge.anchor).open_start else edge

    def _position(
        self, edge: Edge, case: Case, value: Fact | None, *, low: bool
    ) -> Position | None:
        if edge.anchor == AS_OF and edge.offset is None:
            return Position(case.as_of, case.as_of, by_date=False) if low else None
        lo, hi = self._span(edge, case, value)
        if edge.offset is None:
            return Position(lo, hi, by_date=False)
        if edge.by_date:
            shift = edge.offset.shift
            return Position(shift(lo, edge.sign), shift(hi, edge.sign), by_date=True)
        move = edge.sign * edge.offset.micros
        return Position(_moved(lo, move), _moved(hi, move), by_date=False)

    def _span(self, edge: Edge, case: Case, value: Fact | None) -> tuple[int, int]:
        by_date = edge.by_date
        if edge.anchor == AS_OF:
            at = case.as_of_date if by_date else case.as_of
            return at, at
        if edge.anchor == ADMISSION:
            at = case.admission.start_date if by_date else case.admission.start
            return at, at
        if edge.anchor == VALUE:
            assert value is not None
            if by_date:
                return value.start_date_lo, value.start_date_hi
            return value.start_lo, last_start(value)
        anchor = self._anchors(case, edge.anchor)
        lo, hi = (anchor.date_lo, anchor.date_hi) if by_date else (anchor.lo, anchor.hi)
        match edge.point:
            case "start":
                return lo, lo
            case "end":
                return hi, hi
            case _:
                return lo, hi


def _moved(at: int, by: int) -> int:
    return at if at <= EARLIEST or at >= LATEST else at + by


def inside(window: Resolved, fact: Fact) -> Inside:
    """Whether the named part of a fact lies in the window."""
    overlaps = window.match == "overlaps"
    at_start = window.match == "starts-in"
    after = _after(window.low, fact, at_start=at_start)
    if after is Inside.NO:
        return Inside.NO
    before = _before(window.high, fact, at_start=at_start or overlaps)
    return before if before.value < after.value else after


def _after(edge: Position | None, fact: Fact, *, at_start: bool) -> Inside:
    """Start (or end) of the fact at or after the low edge."""
    if edge is None:
        return Inside.YES
    if edge.by_date:
        lo = fact.start_date_lo if at_start else fact.end_date_lo
        hi = fact.start_date_hi if at_start else fact.end_date_hi
    else:
        lo = fact.start_lo if at_start else fact.end_lo
        hi = last_start(fact) if at_start else last_end(fact)
    if lo >= edge.hi and lo > EARLIEST:
        return Inside.YES
    return Inside.MAY_BE if hi >= edge.lo else Inside.NO


def _before(edge: Position | None, fact: Fact, *, at_start: bool) -> Inside:
    """Start (or end) of the fact at or before the high edge."""
    if edge is None:
        return Inside.YES
    if edge.by_date:
        lo = fact.start_date_lo if at_start else fact.end_date_lo
        hi = fact.start_date_hi if at_start else fact.end_date_hi
    else:
        lo = fact.start_lo if at_start else fact.end_lo
        hi = last_start(fact) if at_start else last_end(fact)
    if hi <= edge.lo:
        return Inside.YES
    return Inside.MAY_BE if lo <= edge.hi else Inside.NO


def distance(one: Fact, other: Fact, limit: Duration) -> Truth:
    """Whether two facts start no further apart than a limit (closed)."""
    if limit.is_hours:
        near = max(0, one.start_lo - last_start(other), other.start_lo - last_start(one))
        far = max(last_start(one) - other.start_lo, last_start(other) - one.start_lo)
        return _within(near <= limit.micros, far <= limit.micros)
    first, second = sorted((one, other), key=lambda fact: fact.start_date_lo)
    near_ok = second.start_date_lo <= limit.shift(first.start_date_hi, 1)
    far_ok = max(first.start_date_hi, second.start_date_hi) <= limit.shift(
        min(first.start_date_lo, second.start_date_lo), 1
    )
    return _within(near_ok, far_ok)


def _within(near: bool, far: bool) -> Truth:  # noqa: FBT001 - two answers of one comparison
    if far:
        return Truth.TRUE
    return Truth.UNKNOWN if near else Truth.FALSE


def last_inside(window: CompiledWindow, fact: Fact, case: Case) -> int | None:
    """The last local date of as_of on which the fact is still inside, where time alone ends it."""
    edge = window.low
    if edge is None or edge.anchor != AS_OF or window.window is None:
        return None
    at_start = window.window.match == "starts-in"
    if edge.by_date:
        at = fact.start_date_hi if at_start else fact.end_date_hi
        return last_day(at, edge)
    at = last_start(fact) if at_start else last_end(fact)
    return _last_day_by_hours(at, edge, case)


def last_day(at: int, edge: Edge) -> int | None:
    """The last date d for which d minus the offset is still at or before ``at``."""
    assert edge.offset is not None
    if at >= DATE_LATEST:
        return None
    day = edge.offset.shift(at, -edge.sign)
    while edge.offset.shift(day + 1, edge.sign) <= at:
        day += 1
    return day


def _last_day_by_hours(at: int, edge: Edge, case: Case) -> int | None:
    if at >= LATEST:
        return None
    micros = edge.offset.micros if edge.offset is not None else 0
    return local_date(at - edge.sign * micros, case.zone)
