"""Windows in SQL: edges per patient, and how surely a fact lies between them.

The same rules as ``evaluate/windows.py``: edges are closed, hours and bare anchors compare
instants, days and longer compare local dates. A place is 0 outside, 1 possibly and 2 surely inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhir_adapter.evaluate.cohort.script import Script, least
from fhir_adapter.evaluate.windows import Edge
from fhir_adapter.model.criterion import ADMISSION, AS_OF, VALUE, Window
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, EARLIEST, LATEST, Duration
from fhir_adapter.model.truth import Reason

AnchorTable = Callable[[str], str]
"""Name of an anchor -> the table that holds it, one row per patient."""

PRESENT, NONE, UNKNOWN = 0, 1, 2
"""States of an anchor."""


@dataclass(frozen=True, slots=True)
class Side:
    """One edge of a window, as columns of the window's table or as expressions."""

    lo: str
    hi: str
    by_date: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTable:
    """A window for every patient: a table with its edges, or none where it has no bounds."""

    table: str
    match: str
    low: tuple[tuple[str, Side], ...]
    """(condition, edge): the first whose condition holds; empty where there is no bound."""
    high: tuple[tuple[str, Side], ...]
    on_value: bool = False

    def place(self, fact: str, window: str) -> str:
        """How surely a fact (an alias) lies in the window (an alias, or the value's own)."""
        starts = self.match == "starts-in"
        parts = [
            self._edge(self.low, lambda side: _after(side, fact, window, at_start=starts)),
            self._edge(
                self.high,
                lambda side: _before(
                    side, fact, window, at_start=starts or self.match == "overlaps"
                ),
            ),
        ]
        inside = least([part for part in parts if part] or ["2"])
        return f"CASE WHEN {window}.miss IS NOT NULL OR {window}.emp = 1 THEN 0 ELSE {inside} END"

    def _edge(self, choices: tuple[tuple[str, Side], ...], say: Callable[[Side], str]) -> str:
        if not choices:
            return ""
        *conditional, (_, last) = choices
        if not conditional:
            return say(last)
        cases = " ".join(f"WHEN {condition} THEN {say(side)}" for condition, side in conditional)
        return f"CASE {cases} ELSE {say(last)} END"


def _after(side: Side, fact: str, window: str, *, at_start: bool) -> str:
    lo, hi = _span(side, fact, at_start=at_start)
    sure = f"{lo} >= {window}.{side.hi} AND {lo} > {EARLIEST}"
    return f"CASE WHEN {sure} THEN 2 WHEN {hi} >= {window}.{side.lo} THEN 1 ELSE 0 END"


def _before(side: Side, fact: str, window: str, *, at_start: bool) -> str:
    lo, hi = _span(side, fact, at_start=at_start)
    sure = f"{hi} <= {window}.{side.lo}"
    return f"CASE WHEN {sure} THEN 2 WHEN {lo} <= {window}.{side.hi} THEN 1 ELSE 0 END"


def _span(side: Side, fact: str, *, at_start: bool) -> tuple[str, str]:
    point = "start" if at_start else "end"
    if side.by_date:
        return f"{fact}.{point}_date_lo", f"{fact}.{point}_date_hi"
    return f"{fact}.{point}_lo", f"{fact}.last_{point}"


def shifted(date: str, by: Duration, sign: int) -> str:
    """A local date this far on or back; unknown bounds stay, months clamp."""
    if by.unit in ("day", "week"):
        days = sign * by.amount * (7 if by.unit == "week" else 1)
        moved = f"{date} + {days}" if days >= 0 else f"{date} - {-days}"
    else:
        months = sign * by.amount * (12 if by.unit == "year" else 1)
        moved = f"SHIFT_MONTHS({date}, {months})"
    inside = f"LEAST(GREATEST({moved}, {DATE_EARLIEST + 1}), {DATE_LATEST - 1})"
    outside = f"{date} <= {DATE_EARLIEST} OR {date} >= {DATE_LATEST}"
    return f"CASE WHEN {outside} THEN {date} ELSE {inside} END"


def moved(at: str, micros: int) -> str:
    """An instant this far on or back; unknown bounds stay."""
    sign = "+" if micros >= 0 else "-"
    there = f"{at} {sign} {abs(micros)}"
    return f"CASE WHEN {at} <= {EARLIEST} OR {at} >= {LATEST} THEN {at} ELSE {there} END"


class Windows:
    """Makes window tables, each once."""

    def __init__(self, script: Script, anchor: AnchorTable) -> None:
        self._script = script
        self.anchor: AnchorTable = anchor
        self.admission: bool = False
        """Some window hangs on the current stay."""

    def table(self, window: Window | None, values: str = "") -> WindowTable | None:
        """The table of a window; around a value: one row per row of the table ``values``."""
        if window is None or (window.from_ is None and window.to is None):
            return None
        low = _parsed(window.from_), _parsed(window.or_from)
        high = _parsed(window.to), _parsed(window.or_to)
        on_value = any(e is not None and e.anchor == VALUE for e in (low[0], high[0]))
        columns: dict[str, str] = {}
        joins: dict[str, str] = {}
        sides = [
            self._choices(name, edge, other, columns, joins)
            for name, (edge, other) in (("low", low), ("high", high))
        ]
        columns |= self._state(window, [e for e in (low[0], high[0]) if e is not None], joins)
        columns["first_date"] = _first_date(sides[0], columns)
        said = "".join(f", {expression} AS {name}" for name, expression in columns.items())
        source = f"{values} v JOIN p ON p.patient = v.patient" if on_value else "p"
        key = "v.patient, v.slot" if on_value else "p.patient"
        text = f"SELECT {key}{said} FROM {source} {' '.join(joins.values())}"
        return WindowTable(
            table=self._script.add("w", text),
            match=window.match,
            low=sides[0],
            high=sides[1],
            on_value=on_value,
        )

    def _choices(
        self,
        name: str,
        edge: Edge | None,
        when_open: Edge | None,
        columns: dict[str, str],
        joins: dict[str, str],
    ) -> tuple[tuple[str, Side], ...]:
        if edge is None:
            return ()
        usual = self._side(name, edge, columns, joins)
        if when_open is None:
            return () if usual is None else (("TRUE", usual),)
        other = self._side(f"or_{name}", when_open, columns, joins)
        anchor = self._joined(edge.anchor, joins)
        columns[f"{name}_open"] = (
            f"CASE WHEN COALESCE({anchor}.lo, {EARLIEST}) <= {EARLIEST} THEN 1 ELSE 0 END"
        )
        assert usual is not None
        assert other is not None
        return ((f"w.{name}_open = 1", other), ("TRUE", usual))

    def _side(
        self, name: str, edge: Edge, columns: dict[str, str], joins: dict[str, str]
    ) -> Side | None:
        if edge.anchor == AS_OF and edge.offset is None:
            if name.endswith("high"):
                return None
            columns[f"{name}_lo"] = columns[f"{name}_hi"] = "p.as_of"
            return Side(f"{name}_lo", f"{name}_hi", by_date=False)
        lo, hi = self._span(edge, joins)
        if edge.offset is not None and edge.by_date:
            lo, hi = shifted(lo, edge.offset, edge.sign), shifted(hi, edge.offset, edge.sign)
        elif edge.offset is not None:
            by = edge.sign * edge.offset.micros
            lo, hi = moved(lo, by), moved(hi, by)
        columns[f"{name}_lo"], columns[f"{name}_hi"] = lo, hi
        return Side(f"{name}_lo", f"{name}_hi", by_date=edge.by_date)

    def _span(self, edge: Edge, joins: dict[str, str]) -> tuple[str, str]:
        date = "_date" if edge.by_date else ""
        if edge.anchor == AS_OF:
            return f"p.as_of{date}", f"p.as_of{date}"
        if edge.anchor == ADMISSION:
            self.admission = True
            return f"p.admission{date}", f"p.admission{date}"
        if edge.anchor == VALUE:
            return (
                ("v.start_date_lo", "v.start_date_hi") if date else ("v.start_lo", "v.last_start")
            )
        anchor = self._joined(edge.anchor, joins)
        lo, hi = f"{anchor}.{'date_' if date else ''}lo", f"{anchor}.{'date_' if date else ''}hi"
        return (lo, hi) if not edge.point else ((lo, lo) if edge.point == "start" else (hi, hi))

    def _joined(self, name: str, joins: dict[str, str]) -> str:
        table = self.anchor(name)
        joins[table] = f"LEFT JOIN {table} ON {table}.patient = p.patient"
        return table

    def _state(self, window: Window, edges: list[Edge], joins: dict[str, str]) -> dict[str, str]:
        """Why the window is not known, or that it holds nothing: the first edge that says so."""
        named = [e.anchor for e in edges if e.anchor not in (AS_OF, VALUE)]
        missing: list[str] = []
        empty: list[str] = []
        never = Reason.NEVER_RECORDED.value
        for name in dict.fromkeys(named):
            if name == ADMISSION:
                missing.append(f"WHEN p.stay_unread = 1 THEN {Reason.NOT_RETRIEVED.value}")
                continue
            anchor = self._joined(name, joins)
            absent = f"{anchor}.state <> {PRESENT}"
            reason = f"COALESCE({anchor}.reason, {never})"
            if window.without_anchor == "empty":
                gone = f"{absent} AND {reason} = {never}"
                missing.append(f"WHEN {gone} THEN NULL")
                empty.append(f"WHEN {gone} THEN 1 WHEN {absent} THEN 0")
            missing.append(f"WHEN {absent} THEN {reason}")
        return {
            "miss": f"CASE {' '.join(missing)} END" if missing else "CAST(NULL AS INT)",
            "emp": f"CASE {' '.join(empty)} ELSE 0 END" if empty else "0",
        }


def _first_date(low: tuple[tuple[str, Side], ...], columns: dict[str, str]) -> str:
    """The earliest local date that the window can reach: what an incomplete pull may lack."""
    known = f"({columns['miss']}) IS NULL AND ({columns['emp']}) = 0"
    cases = [
        f"WHEN {known} AND {_said(condition, columns)} THEN {columns[side.lo]}"
        for condition, side in low
        if side.by_date
    ]
    return f"CASE {' '.join(cases)} ELSE {DATE_EARLIEST} END" if cases else str(DATE_EARLIEST)


def _said(condition: str, columns: dict[str, str]) -> str:
    return f"({columns['low_open']}) = 1" if condition != "TRUE" else "TRUE"


def _parsed(text: str | None) -> Edge | None:
    return Edge.parse(text) if text else None
