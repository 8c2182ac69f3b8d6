"""Node unless-confounded in SQL: a deciding value under a confounder needs a person.

The deciding values of the test become rows (patient, slot); each confounder is looked for around
each of them. The rules of ``evaluate/confounders.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.errors import StudyInvalid
from fhir_adapter.evaluate.cohort.answer import (
    PACK,
    Answer,
    Slot,
    bits_of,
    merged,
    newest_of,
    packed,
    pinned,
    shown,
)
from fhir_adapter.evaluate.cohort.members import Rows, Workshop
from fhir_adapter.evaluate.cohort.script import Block, every
from fhir_adapter.evaluate.cohort.windows import WindowTable
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.criterion import Confounder, Events
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.truth import Reason

_LAST_REASON = max(reason.value for reason in Reason)
_CONFOUNDED, _NOT_RETRIEVED = Reason.CONFOUNDED.value, Reason.NOT_RETRIEVED.value
_PERSONS_WORD = (Kind.ANSWER, Kind.ENTERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfounded:
    """One node: ``values`` is the table of its test alone, ``test`` the same in this block."""

    block: Block
    shop: Workshop
    rows: Rows
    node: tree.UnlessConfounded
    test: Answer
    values: str
    """Table (patient, slot, seq, start ...): the deciding values, slot by slot."""
    slots: int

    def answer(self) -> Answer:
        """The test's answer; UNKNOWN (confounded, or not-retrieved) when it is in doubt."""
        take, pin = self.block.take, self.block.pin
        reasons: list[str] = []
        beside: list[Slot] = []
        for item in self.node.by:
            table = self._around(item)
            touches = self._touches(item)
            for slot in range(self.slots):
                reason = pin(f"CASE WHEN {touches} THEN {take(table, f'why{slot}')} END")
                reasons.append(reason)
                beside.append(
                    Slot(
                        table=table,
                        facts=f"facts{slot}",
                        newest=f"last{slot}",
                        when=pin(f"{reason} = {_CONFOUNDED}"),
                        decides="FALSE",
                    )
                )
        if not reasons:
            return self.test
        doubts = pin(" | ".join(bits_of(reason) for reason in reasons))
        doubted = f"{doubts} <> 0"
        return pinned(
            self.block,
            Answer(
                truth=f"CASE WHEN {doubted} THEN 1 ELSE {self.test.truth} END",
                opens=merged(
                    [
                        (self.node.question or "", doubts),
                        *(
                            (question, f"CASE WHEN {doubted} THEN 0 ELSE {mask} END")
                            for question, mask in self.test.opens
                        ),
                    ]
                ),
                assumed="FALSE"
                if self.test.assumed == "FALSE"
                else f"NOT ({doubted}) AND {self.test.assumed}",
                evidence=(*self.test.evidence, *beside),
            ),
        )

    def _touches(self, item: Confounder) -> str:
        match item.doubts:
            case "both":
                return f"{self.test.truth} <> 1"
            case "true":
                return f"{self.test.truth} = 2"
            case "false":  # exhaustive
                return f"{self.test.truth} = 0"

    def _around(self, item: Confounder) -> str:
        """Table: per slot, why the value is in doubt and the confounder's facts."""
        window = self.shop.windows.table(item.by.window, self.values)
        members = self._members(item.by, window)
        found = self.shop.script.add(
            "z",
            f"SELECT patient, slot, COUNT(1) AS found, {packed()} AS facts, "
            f"{newest_of()} AS last FROM ({members}) AS y WHERE c <= {_LAST_REASON} "
            "GROUP BY patient, slot",
        )
        join, problem = self._problem(item.by, window)
        wide = ", ".join(
            f"MAX(CASE WHEN v.slot = {slot} THEN CASE WHEN f.found > 0 THEN {_CONFOUNDED} "
            f"ELSE {problem} END END) AS why{slot}, "
            f"MAX(CASE WHEN v.slot = {slot} THEN f.facts END) AS facts{slot}, "
            f"MAX(CASE WHEN v.slot = {slot} THEN f.last END) AS last{slot}"
            for slot in range(self.slots)
        )
        return self.shop.script.add(
            "z",
            f"SELECT v.patient, {wide} FROM {self.values} v JOIN p ON p.patient = v.patient {join} "
            f"LEFT JOIN {found} f ON f.patient = v.patient AND f.slot = v.slot GROUP BY v.patient",
        )

    def _members(self, events: Events, window: WindowTable | None) -> str:
        """A query of the confounder's facts around each value, with their class."""
        if window is None or not window.on_value:
            table = self.rows.members(events)
            return (
                f"SELECT v.slot, m.* FROM {self.values} v JOIN {table} m ON m.patient = v.patient"
            )
        _refuse_more_than_a_window(events)
        base = self.rows.every(events)
        placed = (
            f"SELECT f.*, w.slot, {window.place('f', 'w')} AS place FROM ({base}) AS f "
            f"JOIN {window.table} w ON w.patient = f.patient"
        )
        return self.rows.classed(events, self.shop.script.add("z", placed))

    def _problem(self, events: Events, window: WindowTable | None) -> tuple[str, str]:
        """(joins, reason) why the confounder may be there unseen; NULL where it may not."""
        there = self.shop.script.add(
            "e", f"SELECT DISTINCT patient FROM ({self.rows.every(events)}) AS f"
        )
        joins = [f"LEFT JOIN {there} e ON e.patient = v.patient"]
        first, missing = "0", ""
        if window is not None:
            slot = " AND w.slot = v.slot" if window.on_value else ""
            joins.append(f"JOIN {window.table} w ON w.patient = v.patient{slot}")
            first, missing = "w.first_date", "w.miss"
        kinds = [kind for kind in events.kind if kind not in _PERSONS_WORD]
        lacking = [f"p.{self.shop.person.pulled(kind)} >= {first}" for kind in kinds]
        cut = f"CASE WHEN {' OR '.join(lacking)} THEN {_NOT_RETRIEVED} END" if lacking else "NULL"
        if not missing:
            return " ".join(joins), cut
        empty = f"CASE WHEN w.emp = 1 THEN NULL ELSE COALESCE({missing}, {cut}) END"
        return " ".join(joins), f"CASE WHEN e.patient IS NULL THEN {cut} ELSE {empty} END"


def _refuse_more_than_a_window(events: Events) -> None:
    """A day, an episode or a second retrieve around each value has no SQL: said, not dropped."""
    if events.also or events.same_day_as or events.not_in_earlier:
        raise StudyInvalid(
            "a confounder whose window hangs on the value cannot also have also, same-day-as or "
            "not-in-earlier in SQL",
            remedy="Write it as two confounders, or judge by the record lane (`screen`).",
        )


def deciding_values(shop: Workshop, test: Answer, block: Block) -> tuple[str, int]:
    """(table, slots): the deciding values of a test, one row per patient and slot.

    ``block`` holds the test and nothing else; three slots per piece of evidence.
    """
    deciders = [slot for slot in test.evidence if slot.decides != "FALSE"]
    columns = {
        f"facts{number}": shown(
            block, slot.only(block, every([f"{test.truth} <> 1", slot.decides]))
        )
        for number, slot in enumerate(deciders)
    }
    if not columns:
        empty = "SELECT p.patient, 0 AS slot, CAST(0 AS BIGINT) AS seq FROM p WHERE FALSE"
        return _dated(shop, shop.script.add("z", empty)), 0
    table = shop.script.block("z", block, columns)
    rows = " UNION ALL ".join(
        f"SELECT patient, {3 * number + place} AS slot, "
        f"{_digit(f'facts{number}', place)} AS seq FROM {table}"
        for number in range(len(deciders))
        for place in range(3)
    )
    return _dated(shop, shop.script.add("z", f"SELECT * FROM ({rows}) AS u WHERE seq > 0")), (
        3 * len(deciders)
    )


def _digit(column: str, place: int) -> str:
    if place == 0:
        return f"{column} & {PACK - 1}"
    return f"({column} >> {20 * place}) & {PACK - 1}"


def _dated(shop: Workshop, values: str) -> str:
    return shop.script.add(
        "z",
        "SELECT v.patient, v.slot, v.seq, f.start_lo, f.last_start, f.start_date_lo, "
        f"f.start_date_hi FROM {values} v JOIN fact f "
        "ON f.patient = v.patient AND f.seq = v.seq",
    )
