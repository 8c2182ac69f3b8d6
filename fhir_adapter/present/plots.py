"""A small plot per deciding laboratory value: results over time, the bound, the onset.

Drawn as SVG by the page's template from these numbers; nothing runs in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from zoneinfo import ZoneInfo

from fhir_adapter.model.dates import EARLIEST
from fhir_adapter.present.rows import local_time, number

WIDTH, HEIGHT = 320, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 18
_MARGIN = 0.04
"""Share of the time axis left free at both ends, so that no result lies on the frame."""
_HEADROOM = Decimal("1.15")
_LABEL_HEIGHT = 11
_LABEL_WIDTH = 88
_MOST = 60
_DIGITS = Context(prec=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Results of one analyte in its canonical unit, and the bounds that criteria test."""

    title: str
    unit: str
    values: Sequence[tuple[int, Decimal, str]]
    """Instant, canonical value, value as sent."""
    bounds: Sequence[tuple[Decimal, str]]
    """Canonical bound, and the criterion that tests it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One result in the drawing."""

    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One bound in the drawing."""

    y: float
    label: str
    x: float
    """Where its label begins: beside another label that would lie on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Everything that the template draws."""

    title: str
    unit: str
    points: tuple[Point, ...]
    lines: tuple[Line, ...]
    onset: tuple[float, float] | None
    """From and to where an onset may lie; the same twice where only its latest moment is known."""
    onset_says: str
    """The same in words; empty where nothing is known of an onset."""
    newest: Point
    """Where the newest value is written."""
    low: str
    high: str
    first: str
    last: str
    summary: str
    """The same in words, for who cannot see it."""


def plot(
    series: Series, *, as_of: int, onset: tuple[int, int] | None, zone: ZoneInfo
) -> Plot | None:
    """A drawing of the newest results up to as_of; None where there are none."""
    values = sorted(series.values)[-_MOST:]
    if not values:
        return None
    first, last = values[0][0], max(as_of, values[-1][0])
    spare = int((last - first) * _MARGIN)
    scale = _Scale(
        first - spare, last + spare, [v for _, v, _ in values] + [v for v, _ in series.bounds]
    )
    lines = _apart([(scale.y(value), label) for value, label in series.bounds])
    return Plot(
        title=series.title,
        unit="" if series.unit == "1" else series.unit,
        points=tuple(
            Point(x=scale.x(at), y=scale.y(value), label=f"{sent} on {local_time(at, zone)}")
            for at, value, sent in values
        ),
        lines=lines,
        onset=None if onset is None else _drawn(onset, last, scale),
        onset_says="" if onset is None else _says(onset, last, zone),
        newest=_beside(scale.x(values[-1][0]), scale.y(values[-1][1]), values[-1][1], lines),
        low=number(_DIGITS.plus(scale.low)),
        high=number(_DIGITS.plus(scale.high)),
        first=local_time(first, zone)[:10],
        last=local_time(last, zone)[:10],
        summary=f"{series.title}: {len(values)} results, newest {values[-1][2]}",
    )


def _apart(bounds: Sequence[tuple[float, str]]) -> tuple[Line, ...]:
    """Lines whose labels do not lie on each other: the next label stands further right."""
    found: list[Line] = []
    for y, label in sorted(bounds):
        near = [one.x for one in found if abs(one.y - y) < _LABEL_HEIGHT]
        found.append(
            Line(y=y, label=label, x=max(near, default=4 - _LABEL_WIDTH + _LEFT) + _LABEL_WIDTH)
        )
    return tuple(found)


def _beside(x: float, y: float, value: Decimal, lines: Sequence[Line]) -> Point:
    """The newest value on the inner side of its dot, off the bounds and their labels."""
    height = y + 3
    for line in sorted(lines, key=lambda one: one.y):
        if height - _LABEL_HEIGHT < line.y < height + 1:  # never across: it says which side
            height = line.y - 2 if y < line.y else line.y + _LABEL_HEIGHT
    inner = 6 if x < WIDTH / 2 else -6
    return Point(x=x + inner, y=height, label=number(_DIGITS.plus(value)))


def _drawn(onset: tuple[int, int], last: int, scale: _Scale) -> tuple[float, float] | None:
    """Where it is drawn: a start that nobody knows shades nothing."""
    start, end = onset
    if start > EARLIEST:
        return scale.x(start), scale.x(end)
    return (scale.x(end), scale.x(end)) if end <= last else None


def _says(onset: tuple[int, int], last: int, zone: ZoneInfo) -> str:
    """What the drawing shows of an onset, with its days; an end after as_of is left out."""
    start = local_time(onset[0], zone)[:10] if onset[0] > EARLIEST else ""
    end = local_time(onset[1], zone)[:10] if onset[1] <= last else ""
    if not start:
        return f"line: onset by {end}, start not known" if end else "onset at an unknown time"
    if end in ("", start):
        return f"shaded: onset, {'' if end else 'from '}{start}"
    return f"shaded: onset, from {start} until {end}"


class _Scale:
    def __init__(self, first: int, last: int, values: Sequence[Decimal]) -> None:
        self._first, self._span = first, max(1, last - first)
        self.low, top = min(Decimal(0), *values), max(values)
        self.high = top * _HEADROOM if top > self.low else self.low + 1

    def x(self, at: int) -> float:
        """Position of an instant, kept inside the frame."""
        share = min(1.0, max(0.0, (at - self._first) / self._span))
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: Decimal) -> float:
        """Position of a value, from the top."""
        share = float((value - self.low) / (self.high - self.low))
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
