"""Node score in SQL, by the rules of ``evaluate/score.py``: per item a range of points, then sums.

For every item the facts that may be the latest of its first source that has any; a missing, stale
or unusable item is its whole range. Steps are data (mappings/calculators) and become CASE lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.cohort.answer import (
    Answer,
    Slot,
    bits_of,
    decided,
    lowest,
    newest_of,
    packed,
    pinned,
)
from fhir_adapter.evaluate.cohort.members import UNUSABLE, Rows, Workshop
from fhir_adapter.evaluate.cohort.script import Block, greatest, least
from fhir_adapter.evaluate.cohort.silence import Silence
from fhir_adapter.evaluate.cohort.values import IS_NUMERIC, bounds_of, number
from fhir_adapter.evaluate.cohort.windows import shifted
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.calculator import Calculator, Item, StepTable
from fhir_adapter.model.criterion import Events, ValueTest
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.quantity import Quantity
from fhir_adapter.model.tables import CONCEPT_ROLE, VALUE_ROLE
from fhir_adapter.model.truth import Reason

_CONFLICT, _STALE = Reason.CONFLICT.value, Reason.STALE.value
_NONE = 99
"""No reason: larger than every reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """One score node in one block."""

    block: Block
    shop: Workshop
    rows: Rows
    absence: Absence
    node: tree.Score
    calculator: Calculator

    def answer(self) -> Answer:
        """The recorded score where there is one and it does not contradict; else the interval."""
        computed = self._computed()
        if self.node.recorded is None:
            return computed
        return self._beside(computed, self.node.recorded)

    # ------------------------------------------------------------------ the items

    def _silence(self, events: Events) -> Silence:
        return Silence(
            block=self.block, shop=self.shop, rows=self.rows, events=events, absence=self.absence
        )

    def _latest(self, events: Events) -> str:
        """Table: the facts in the window that may be the latest."""
        rows = self.rows.placed(events)
        add = self.shop.script.add
        bound = add(
            "b",
            f"SELECT patient, MAX(start_lo) AS bound FROM {rows} WHERE place = 2 GROUP BY patient",
        )
        return add(
            "c",
            f"SELECT f.* FROM {rows} f LEFT JOIN {bound} b ON b.patient = f.patient "
            "WHERE f.place > 0 AND (b.bound IS NULL OR f.start_hi > b.bound)",
        )

    def _source(self, events: Events, item: Item) -> str:
        """Table: the candidates of one source with their points."""
        joins, low, high = self._points(item)
        table = self._latest(events)
        return self.shop.script.add(
            "c",
            "SELECT f.patient, f.seq, f.start_lo, f.last_start, f.start_date_lo, f.start_date_hi, "
            f"CASE WHEN f.standing <> 0 THEN COALESCE(f.standing_reason, {UNUSABLE}) END AS why, "
            f"{low} AS points_lo, {high} AS points_hi FROM {table} f {joins}",
        )

    def _points(self, item: Item) -> tuple[str, str, str]:
        """(joins, lowest, highest) points of a fact ``f``; NULL where it cannot be scored."""
        joins: list[str] = []
        low: list[str] = []
        high: list[str] = []
        for place, entry in enumerate(item.coded):
            found: list[str] = []
            for role, letter in ((CONCEPT_ROLE, "k"), (VALUE_ROLE, "h")):
                alias = f"{letter}{place}"
                joins.append(self.rows.coded(alias, entry.codes, role))
                found.append(f"{alias}.seq IS NOT NULL")
            low.append(f"WHEN {' OR '.join(found)} THEN {entry.lo}")
            high.append(f"WHEN {' OR '.join(found)} THEN {entry.hi}")
        for condition, ends in self._stepped(item):
            low.append(f"WHEN {condition} THEN {least(ends)}")
            high.append(f"WHEN {condition} THEN {greatest(ends)}")
        if not low:
            return "", "CAST(NULL AS INT)", "CAST(NULL AS INT)"
        return " ".join(joins), f"CASE {' '.join(low)} END", f"CASE {' '.join(high)} END"

    def _stepped(self, item: Item) -> list[tuple[str, list[str]]]:
        """(condition, points at either end) for each printed unit: the reported one comes first."""
        numeric = IS_NUMERIC.format(f="f")
        units = dict.fromkeys(table.unit for table in item.tables)
        lines: list[tuple[str, list[str]]] = []
        for column in ("reported_unit", "unit"):
            for unit in units:
                tables = [table for table in item.tables if table.unit == unit]
                ends = [
                    end
                    for table in tables
                    for end in _ends(table, self.shop.inputs.word("reported_unit", unit))
                ]
                number = self.shop.inputs.word(column, unit)
                lines.append((f"{numeric} AND f.{column} = {number}", ends))
        return lines

    # ------------------------------------------------------------------ the interval

    def _computed(self) -> Answer:
        """The sum over all completions, tested as a whole."""
        take, pin = self.block.take, self.block.pin
        chosen = [self._chosen(entry) for entry in self.node.inputs]
        oldest = self._oldest([table for table, _, _ in chosen])
        ranges: dict[str, tuple[str, str]] = {}
        reasons: list[str] = []
        slots: list[Slot] = []
        by_name = {item.name: item for item in self.calculator.items}
        for entry, (table, picked, reason) in zip(self.node.inputs, chosen, strict=True):
            item = by_name[entry.item]
            kept = self._kept(table, oldest)
            some = f"COALESCE({take(kept, 'kept')}, 0) > 0 AND {picked} > 0"
            scored = f"{some} AND {take(kept, 'unscored')} = 0"
            ranges[item.name] = (
                pin(f"CASE WHEN {scored} THEN {take(kept, 'lo')} ELSE {item.lo} END"),
                pin(f"CASE WHEN {scored} THEN {take(kept, 'hi')} ELSE {item.hi} END"),
            )
            reasons.append(
                pin(
                    f"CASE WHEN {scored} THEN {_NONE} WHEN {some} THEN "
                    f"COALESCE({take(kept, 'why')}, {UNUSABLE}) WHEN {picked} > 0 THEN {_STALE} "
                    f"ELSE {reason} END"
                )
            )
            slots.append(
                Slot(table=kept, facts="newest", newest="last", when=pin(some), decides="FALSE")
            )  # fmt: skip
        items = [
            ranges.get(item.name, (str(item.lo), str(item.hi))) for item in self.calculator.items
        ]
        low = pin(" + ".join(low for low, _ in items))
        high = pin(" + ".join(high for _, high in items))
        truth = pin(_whole(self.node.test, low, high))
        first = pin(least(reasons) if reasons else str(_NONE))
        why = f"CASE WHEN {first} = {_NONE} THEN {_CONFLICT} ELSE {first} END"
        mask = f"CASE WHEN {truth} = 1 THEN {bits_of(f'({why})')} ELSE 0 END"
        return pinned(self.block, Answer(truth=truth, opens=(("", mask),), evidence=tuple(slots)))

    def _chosen(self, entry: tree.ScoreInput) -> tuple[str, str, str]:
        """(table, number of the source picked or 0, reason why none) of one item."""
        item = next(item for item in self.calculator.items if item.name == entry.item)
        tables = [
            f"SELECT *, {place} AS source FROM {self._source(events, item)}"
            for place, events in enumerate(entry.of, start=1)
        ]
        add, take = self.shop.script.add, self.block.take
        union = add("c", " UNION ALL ".join(tables))
        choice = self._choice(entry)
        table = add(
            "c",
            f"SELECT u.* FROM {union} u JOIN {choice} s ON s.patient = u.patient "
            "AND s.source = u.source",
        )
        return table, take(choice, "source"), take(choice, "why")

    def _choice(self, entry: tree.ScoreInput) -> str:
        """Table: which source has facts in the window, best first; else why none has."""
        block = Block()
        lines: list[str] = []
        whys: list[str] = []
        for place, events in enumerate(entry.of, start=1):
            silence = replace(self._silence(events), block=block)
            problem = block.pin(silence.problem)
            seen = self.shop.script.add(
                "c",
                "SELECT patient, MAX(CASE WHEN place > 0 THEN start_lo END) AS newest, "
                "COUNT(CASE WHEN place > 0 THEN 1 END) AS found FROM "
                f"{self.rows.placed(events)} GROUP BY patient",
            )
            found = f"{problem} IS NULL AND COALESCE({block.take(seen, 'found')}, 0) > 0"
            lines.append(f"WHEN {found} THEN {place}")
            absent = silence.answer(block.take(seen, "newest"))
            quiet = f"COALESCE({lowest(absent.opens[0][1])}, {Reason.NEVER_RECORDED.value})"
            whys.append(block.pin(f"COALESCE({problem}, {quiet})"))
        source = f"CASE {' '.join(lines)} ELSE 0 END"
        return self.shop.script.block("c", block, {"source": source, "why": least(whys)})

    def _oldest(self, tables: list[str]) -> str | None:
        """Table: the local date before which an item is missing, by the spread."""
        if self.node.spread is None or not tables:
            return None
        union = " UNION ALL ".join(f"SELECT patient, start_date_lo FROM {t}" for t in tables)
        limit = shifted("newest", Duration.parse(self.node.spread), -1)
        return self.shop.script.add(
            "c",
            f"SELECT patient, {limit} AS oldest FROM (SELECT patient, MAX(start_date_lo) AS newest "
            f"FROM ({union}) AS u GROUP BY patient) AS z",
        )

    def _kept(self, table: str, oldest: str | None) -> str:
        join = "" if oldest is None else f"JOIN {oldest} o ON o.patient = f.patient"
        where = "" if oldest is None else "WHERE f.start_date_hi >= o.oldest"
        return self.shop.script.add(
            "c",
            "SELECT patient, COUNT(1) AS kept, MIN(points_lo) AS lo, MAX(points_hi) AS hi, "
            "COUNT(CASE WHEN why IS NOT NULL OR points_lo IS NULL THEN 1 END) AS unscored, "
            "MIN(why) AS why, MIN(seq) AS newest, ARG_MIN(last_start, seq) AS last "
            f"FROM (SELECT f.* FROM {table} f {join} {where}) AS z GROUP BY patient",
        )

    # ------------------------------------------------------------------ the recorded score

    def _beside(self, computed: Answer, events: Events) -> Answer:
        take, pin = self.block.take, self.block.pin
        table = self._latest(events)
        truth = self.shop.test(self.node.test, Events(kind=()), "f", "0")
        summed = self.shop.script.add(
            "c",
            "SELECT patient, COUNT(1) AS found, COUNT(CASE WHEN place = 2 THEN 1 END) AS sure, "
            "COUNT(CASE WHEN truth = 2 THEN 1 END) AS true_, "
            "COUNT(CASE WHEN truth = 0 THEN 1 END) AS false_, "
            f"MIN(CASE WHEN truth = 1 THEN why END) AS why, {packed()} AS facts, "
            f"{newest_of()} AS last FROM (SELECT f.patient, f.seq, f.place, f.last_start, "
            f"CASE WHEN f.standing <> 0 THEN 1 ELSE {truth} END AS truth, "
            f"CASE WHEN f.standing <> 0 THEN COALESCE(f.standing_reason, {UNUSABLE}) "
            f"ELSE {UNUSABLE} END AS why FROM {table} f) AS z GROUP BY patient",
        )
        found = take(summed, "found")
        there = pin(f"COALESCE({take(summed, 'sure')}, 0) > 0")
        said = pin(
            f"CASE WHEN {take(summed, 'true_')} = {found} THEN 2 "
            f"WHEN {take(summed, 'false_')} = {found} THEN 0 ELSE 1 END"
        )
        own = computed.truth
        conflict = pin(f"{there} AND {decided(own)} AND {decided(said)} AND {said} <> {own}")
        result = pin(
            f"CASE WHEN NOT {there} THEN {own} WHEN {conflict} THEN 1 "
            f"WHEN {own} = 1 THEN {said} ELSE {own} END"
        )
        why = f"COALESCE({take(summed, 'why')}, {_CONFLICT})"
        ours = " | ".join(mask for _, mask in computed.opens)
        mask = (
            f"CASE WHEN {result} <> 1 THEN 0 WHEN {conflict} THEN {1 << _CONFLICT} "
            f"WHEN {there} THEN {bits_of(f'({why})')} ELSE {ours} END"
        )
        slot = Slot(table=summed, facts="facts", newest="last")
        leads = f"{there} AND ({own} = 1 OR {conflict})"
        follows = f"{there} AND NOT ({own} = 1 OR {conflict})"
        return pinned(
            self.block,
            Answer(
                truth=result,
                opens=(("", mask),),
                evidence=(
                    slot.only(self.block, leads),
                    *computed.evidence,
                    replace(slot.only(self.block, follows), decides="FALSE"),
                ),
            ),
        )


def _ends(table: StepTable, unit: int) -> list[str]:
    """Points at the lower and upper end of a fact's value, as reported where that is the unit."""
    reported = (
        f"f.reported_unit = {unit} AND (f.reported_lo IS NOT NULL OR f.reported_hi IS NOT NULL)"
    )
    ends: list[str] = []
    for side, unbounded in (("lo", table.steps[0].points), ("hi", table.steps[-1].points)):
        as_sent = _steps(table, f"f.reported_{side}", unbounded)
        canonical = _steps(table, f"f.value_{side}", unbounded)
        ends.append(f"CASE WHEN {reported} THEN {as_sent} ELSE {canonical} END")
    return ends


def _steps(table: StepTable, value: str, unbounded: int) -> str:
    lines = [f"WHEN {value} IS NULL THEN {unbounded}"]
    for step in table.steps:
        if step.upper is None:
            lines.append(f"WHEN TRUE THEN {step.points}")
        else:
            sign = "<=" if step.closed else "<"
            lines.append(f"WHEN {value} {sign} {number(step.upper)} THEN {step.points}")
    return f"CASE {' '.join(lines)} ELSE {table.steps[-1].points} END"


def _whole(test: ValueTest, low: str, high: str) -> str:
    """The test on a computed range: one value somewhere inside it."""
    parts: list[str] = []
    for operator, printed in bounds_of(test):
        bound = number(_bound(printed))
        match operator:
            case "at-least":
                sure, never = f"{low} >= {bound}", f"{high} < {bound}"
            case "more-than":
                sure, never = f"{low} > {bound}", f"{high} <= {bound}"
            case "at-most":
                sure, never = f"{high} <= {bound}", f"{low} > {bound}"
            case _:
                sure, never = f"{high} < {bound}", f"{low} >= {bound}"
        parts.append(f"CASE WHEN {sure} THEN 2 WHEN {never} THEN 0 ELSE 1 END")
    return least(parts) if parts else "2"


def _bound(printed: tuple[str, ...]) -> Decimal:
    """The bound printed without unit, else the first."""
    quantities = [Quantity.parse(item) for item in printed]
    plain = [quantity for quantity in quantities if quantity.unit == "1"]
    return (plain[-1] if plain else quantities[0]).value
