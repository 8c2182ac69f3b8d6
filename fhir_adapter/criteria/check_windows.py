"""Windows and anchors: no cycles, no edge without meaning, no span that ends before it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fhir_adapter.criteria.finding import Checked, Finding
from fhir_adapter.criteria.site_settings import named_settings, settled_study
from fhir_adapter.criteria.walk import edges_of, parts, used_names
from fhir_adapter.model.criterion import VALUE, Confounder, Window

_EDGE = re.compile(
    r"^(?P<anchor>[a-z][a-z0-9-]*(\.(start|end))?)"
    r"( (?P<sign>[+-]) (?P<count>\d+) (?P<unit>hour|day|week|month|year)s?)?$"
)
_HOURS = {
    "hour": (1, 1),
    "day": (24, 24),
    "week": (168, 168),
    "month": (672, 744),
    "year": (8760, 8784),
}
"""Shortest and longest of each unit, in hours; a day of clock change counts as 24."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    anchor: str
    earliest: int
    latest: int
    """Hours from the anchor, as an interval."""


def window_findings(seen: Checked) -> Iterator[Finding]:
    """Cycles, the edge ``value`` outside a confounder, spans that are empty by construction."""
    yield from _cycles(seen)
    yield from _deadlines(seen)
    unknown = named_settings(seen.study) - {one.name for one in seen.study.site_settings}
    for name in sorted(unknown):
        remedy = "Write a number of days, or list it under site-settings with a default."
        yield seen.error("site-setting-unknown", "", f"an edge names the setting {name}", remedy)
    if not unknown:
        seen = replace(seen, study=settled_study(seen.study, {}).study)
    for where, part in seen.places():
        yield from _value_edges(seen, where, part)
        for window in (item for item in parts(part) if isinstance(item, Window)):
            yield from _empty(seen, where, window)


def _cycles(seen: Checked) -> Iterator[Finding]:
    later = {anchor.name for anchor in seen.study.anchors}
    for anchor in seen.study.anchors:
        for name in sorted(used_names(anchor).anchors & later):
            yield seen.error(
                "anchor-cycle",
                f"anchor {anchor.name}",
                f"the anchor {anchor.name} hangs on {name}, which is not settled before it",
                "An anchor may use only as-of, admission and anchors written above it.",
            )
        later.discard(anchor.name)


def _deadlines(seen: Checked) -> Iterator[Finding]:
    for criterion in seen.study.criteria:
        edge = criterion.deadline
        if edge is None:
            continue
        found = _EDGE.match(edge)
        unit = found["unit"] if found is not None else None
        if unit in (None, "hour") or _read(edge).anchor.split(".")[0] == VALUE:
            yield seen.error(
                "deadline-not-a-day",
                criterion.id,
                f"the deadline `{edge}` is not a day that everybody can look up",
                "Count whole days from an anchor, as in `onset.end + 28 days`.",
            )


def _value_edges(seen: Checked, where: str, part: object) -> Iterator[Finding]:
    inside = {id(w) for c in parts(part) if isinstance(c, Confounder) for w in _on_value(c)}
    if any(id(window) not in inside for window in _on_value(part)):
        yield seen.error(
            "value-edge-misplaced",
            where,
            "an edge hangs on `value` outside a confounder",
            "Only the events of a confounder know a deciding value; use as-of or an anchor.",
        )


def _on_value(part: object) -> Iterator[Window]:
    for window in parts(part):
        if isinstance(window, Window) and any(
            _read(edge).anchor.split(".")[0] == VALUE for edge in edges_of(window)
        ):
            yield window


def _empty(seen: Checked, where: str, window: Window) -> Iterator[Finding]:
    starts = (window.from_, window.or_from)
    ends = (window.to, window.or_to or window.to)
    for start, end in zip(starts, ends, strict=True):
        if start and end and _is_after(_read(start), _read(end)):
            yield seen.error(
                "window-empty",
                where,
                f"the window starts at `{start}`, after its end `{end}`",
                "Exchange `from` and `to`, or mend their signs.",
            )


def _is_after(start: _Edge, end: _Edge) -> bool:
    return start.anchor == end.anchor and start.earliest > end.latest


def _read(edge: str) -> _Edge:
    """An edge of a valid pattern (the struct's own) as an interval of hours from its anchor."""
    found = _EDGE.match(edge)
    if found is None or found["unit"] is None:
        return _Edge(anchor=edge, earliest=0, latest=0)
    count = int(found["count"]) * (1 if found["sign"] == "+" else -1)
    low, high = sorted(count * hours for hours in _HOURS[found["unit"]])
    return _Edge(anchor=found["anchor"], earliest=low, latest=high)
