"""Rows of a retrieve: how surely each fact lies in the window, and what its tests say.

Table ``r``: every fact of the kinds and codes with its place (0 outside, 1 possibly, 2 surely
inside). Table ``m``: the same with its class: 0 a member, 1 to 14 a possible member for that
reason, FAILED, or OUT.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.evaluate.case import TYPED_IN
from fhir_adapter.evaluate.cohort.answer import newest_of, packed
from fhir_adapter.evaluate.cohort.inputs import Inputs
from fhir_adapter.evaluate.cohort.person import ROW, Person
from fhir_adapter.evaluate.cohort.script import Script, least
from fhir_adapter.evaluate.cohort.values import value_test
from fhir_adapter.evaluate.cohort.windows import UNKNOWN, Windows, WindowTable
from fhir_adapter.evaluate.values import analyte_of
from fhir_adapter.model.criterion import Events, ValueTest
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.mapping import Analyte, UnitTable
from fhir_adapter.model.tables import CONCEPT_ROLE, KIND_NUMBER, VALUE_ROLE
from fhir_adapter.model.truth import Reason

UNUSABLE = Reason.RECORDED_UNUSABLE.value
TOO_COARSE = Reason.DATE_MISSING_OR_TOO_COARSE.value
FAILED, OUT = 20, 100
"""Classes beyond the reasons: certainly in the window and failing a test; not in the window."""
DROPPED = 99
"""Possibly in the window and failing a test: neither a member nor a failure."""
_ENTERED = KIND_NUMBER[Kind.ENTERED]


@dataclass(slots=True)
class Workshop:
    """What every part of a statement is made with."""

    script: Script
    inputs: Inputs
    person: Person
    windows: Windows
    units: UnitTable

    def analyte(self, events: Events) -> Analyte | None:
        """The analyte that the events measure."""
        return analyte_of(self.inputs.sets[events.codes] if events.codes else None, self.units)

    def test(self, test: ValueTest, events: Events, fact: str, coded: str) -> str:
        """A value test with its bounds read in the analyte of the events."""
        return value_test(test, fact, self.analyte(events), coded, self.inputs.word)


class Rows:
    """Makes the tables of retrieves, each once."""

    def __init__(self, shop: Workshop, runs: dict[str, str]) -> None:
        self._shop = shop
        self._runs = runs
        """Anchor -> table of its earlier runs."""

    def window(self, events: Events) -> WindowTable | None:
        """The window's table."""
        return self._shop.windows.table(events.window)

    def every(self, events: Events) -> str:
        """A query of every fact of the kinds and codes, whatever the window."""
        if events.codes is None:
            return self._of_kinds(events.kind)
        kinds = {KIND_NUMBER[k] for k in events.kind} - {
            KIND_NUMBER[Kind.PATIENT], KIND_NUMBER[Kind.ANSWER],
        }  # fmt: skip
        if any(kind in TYPED_IN for kind in events.kind):
            kinds.add(_ENTERED)
        number = self._shop.inputs.number(events.codes)
        listed = ", ".join(map(str, sorted(kinds))) or "0"
        others = self._shop.person.others(events.kind, "rel")
        return f"SELECT * FROM rel WHERE set_no = {number} AND kind IN ({listed}){others}"

    def _of_kinds(self, kinds: tuple[Kind, ...]) -> str:
        """Every code: facts by kind, in the columns of ``rel``."""
        self._shop.inputs.every_code()
        numbers = [KIND_NUMBER[kind] for kind in kinds]
        self._shop.person.any_code(numbers)
        listed = ", ".join(map(str, numbers)) or "0"
        others = self._shop.person.others(kinds, "whichever")
        return f"SELECT * FROM whichever WHERE kind IN ({listed}){others}"

    def placed(self, events: Events) -> str:
        """Table ``r``: every fact with its place."""
        own = self._own(events)
        if events.also is None:
            return self._shop.script.add("r", own)
        first = self._shop.script.add("r", own)
        second = self.placed(events.also)
        better = (
            f"SELECT {_columns()}, GREATEST(f.place, COALESCE(g.place, 0)) AS place "
            f"FROM {first} f LEFT JOIN {second} g ON g.patient = f.patient AND g.seq = f.seq"
        )
        if self.every(events) != self.every(events.also):  # then the second may have others
            better += (
                f" UNION ALL SELECT {_columns('g')}, g.place FROM {second} g LEFT JOIN {first} f "
                "ON f.patient = g.patient AND f.seq = g.seq WHERE f.seq IS NULL"
            )
        return self._shop.script.add("r", better)

    def _own(self, events: Events) -> str:
        window = self.window(events)
        base = self.every(events)
        if window is None:
            made = f"SELECT f.*, 2 AS place FROM ({base}) AS f"
        else:
            made = (
                f"SELECT f.*, {window.place('f', 'w')} AS place FROM ({base}) AS f "
                f"JOIN {window.table} w ON w.patient = f.patient"
            )
        if events.same_day_as is not None:
            made = self._same_day(self._shop.script.add("r", made), events.same_day_as)
        if events.not_in_earlier is not None:
            made = self._not_earlier(self._shop.script.add("r", made), events.not_in_earlier)
        return made

    def _same_day(self, table: str, day: Events) -> str:
        """Surely on such a day, possibly, or not: the place is never better than before."""
        days = self.members(day)
        problem = self._problem_of(day)
        columns = _columns()
        hit = (
            "MAX(CASE WHEN d.c = 0 AND d.start_date_lo = d.start_date_hi "
            "AND f.start_date_lo = f.start_date_hi AND d.start_date_lo = f.start_date_lo "
            "THEN 1 ELSE 0 END)"
        )
        near = (
            f"MAX(CASE WHEN d.c < {FAILED} AND f.start_date_lo <= d.start_date_hi "
            "AND d.start_date_lo <= f.start_date_hi THEN 1 ELSE 0 END)"
        )
        shared = self._shop.script.add(
            "d",
            f"SELECT f.patient, f.seq, {hit} AS hit, {near} AS near FROM {table} f "
            f"JOIN {days} d ON d.patient = f.patient GROUP BY f.patient, f.seq",
        )
        place = (
            "CASE WHEN f.place = 0 THEN 0 WHEN d.hit = 1 THEN f.place "
            "WHEN d.near = 1 OR q.problem IS NOT NULL THEN 1 ELSE 0 END"
        )
        return (
            f"SELECT {columns}, {place} AS place FROM {table} f "
            f"LEFT JOIN {shared} d ON d.patient = f.patient AND d.seq = f.seq "
            f"JOIN {problem} q ON q.patient = f.patient"
        )

    def _problem_of(self, events: Events) -> str:
        """Table: why the members of these events may not be all there are, per patient."""
        window = self.window(events)
        kinds = [k for k in events.kind if k not in (Kind.ANSWER, Kind.ENTERED)]
        first = "w.first_date" if window is not None else "0"
        lacking = [f"p.{self._shop.person.pulled(kind)} >= {first}" for kind in kinds]
        missing = f"CASE WHEN {' OR '.join(lacking)} THEN 1 END" if lacking else "NULL"
        whole = missing
        if window is not None:
            missing = f"COALESCE(w.miss, {missing})"
        join = "" if window is None else f"JOIN {window.table} w ON w.patient = p.patient"
        there = self._shop.script.add(
            "e", f"SELECT DISTINCT patient FROM ({self.every(events)}) AS f"
        )
        return self._shop.script.add(
            "q",
            f"SELECT p.patient, CASE WHEN e.patient IS NULL THEN {whole} ELSE {missing} END "
            f"AS problem FROM p {join} LEFT JOIN {there} e ON e.patient = p.patient",
        )

    def _not_earlier(self, table: str, anchor: str) -> str:
        """Facts of earlier runs are left out; one that only may be of such a run is doubtful."""
        anchor_table = self._shop.windows.anchor(anchor)
        runs = self._runs.get(anchor)
        columns = _columns()
        unknown = f"WHEN a.state = {UNKNOWN} THEN 1"
        if runs is None:
            return (
                f"SELECT {columns}, CASE WHEN f.place = 0 THEN 0 {unknown} ELSE f.place END "
                f"AS place FROM {table} f LEFT JOIN {anchor_table} a ON a.patient = f.patient"
            )
        shared = self._shop.script.add(
            "d",
            "SELECT f.patient, f.seq, "
            "MAX(CASE WHEN u.lo <= f.start_date_lo AND f.start_date_hi <= u.hi THEN 1 ELSE 0 END) "
            "AS inside FROM "
            f"{table} f JOIN {runs} u ON u.patient = f.patient "
            "AND f.start_date_lo <= u.hi AND u.lo <= f.start_date_hi GROUP BY f.patient, f.seq",
        )
        return (
            f"SELECT {columns}, CASE WHEN f.place = 0 THEN 0 {unknown} WHEN d.inside = 1 THEN 0 "
            "WHEN d.inside = 0 THEN 1 ELSE f.place END AS place "
            f"FROM {table} f LEFT JOIN {anchor_table} a ON a.patient = f.patient "
            f"LEFT JOIN {shared} d ON d.patient = f.patient AND d.seq = f.seq"
        )

    def members(self, events: Events) -> str:
        """Table ``m``: the rows of ``r`` with their class ``c``."""
        table = self.placed(events)
        return self._shop.script.add("m", self.classed(events, table))

    def classed(self, events: Events, table: str) -> str:
        """The query behind ``m``, over any table with the columns of ``r``."""
        joins, tests = self._tests(events)
        passes = least(tests) if tests else "2"
        return (
            f"SELECT f.*, CASE WHEN f.place = 0 THEN {OUT} "
            f"WHEN f.standing = 2 THEN COALESCE(f.standing_reason, {UNUSABLE}) "
            f"WHEN {passes} = 0 THEN CASE WHEN f.place = 2 THEN {FAILED} ELSE {DROPPED} END "
            f"WHEN {passes} = 1 THEN {UNUSABLE} WHEN f.place = 1 THEN {TOO_COARSE} ELSE 0 END AS c "
            f"FROM {table} f {joins}"
        )

    def _tests(self, events: Events) -> tuple[str, list[str]]:
        joins: list[str] = []
        tests: list[str] = []
        if events.clinical_status:
            wanted = ("" if status == "not-stated" else status for status in events.clinical_status)
            word = self._shop.inputs.word
            listed = ", ".join(str(word("clinical_status", status)) for status in wanted)
            tests.append(f"CASE WHEN f.clinical_status IN ({listed}) THEN 2 ELSE 0 END")
        for name in ("severity", "criticality", "stage"):
            wanted_value = getattr(events, name)
            if wanted_value is not None:
                number = self._shop.inputs.word(name, wanted_value)
                tests.append(f"CASE WHEN f.{name} = {number} THEN 2 ELSE 0 END")
        if events.coded_as is not None:
            joins.append(self.coded("k", events.coded_as, CONCEPT_ROLE))
            tests.append("CASE WHEN k.seq IS NOT NULL THEN 2 ELSE 0 END")
        if events.value is not None:
            coded = "0"
            if events.value.coded_in is not None:
                joins.append(self.coded("h", events.value.coded_in, VALUE_ROLE))
                coded = "CASE WHEN h.seq IS NOT NULL THEN 1 ELSE 0 END"
            tests.append(self._shop.test(events.value, events, "f", coded))
        return " ".join(joins), tests

    def coded(self, alias: str, name: str, role: int) -> str:
        """A join that finds the facts of ``f`` with a code, or a value, in a set."""
        number = self._shop.inputs.number(name)
        return (
            f"LEFT JOIN (SELECT DISTINCT patient, seq FROM hit WHERE role = {role} "
            f"AND set_no = {number}) {alias} "
            f"ON {alias}.patient = f.patient AND {alias}.seq = f.seq"
        )

    # ------------------------------------------------------------------ what silence reads

    def orders(self, codes: str) -> str:
        """Table: the newest active order of these codes, by local date."""
        number = self._shop.inputs.number(codes)
        return self._shop.script.add(
            "o",
            "SELECT patient, MAX(start_date_lo) AS newest FROM rel "
            f"WHERE set_no = {number} AND kind = {KIND_NUMBER[Kind.SERVICE_REQUEST]} "
            f"AND status = {self._shop.inputs.word('status', 'active')} GROUP BY patient",
        )

    def aside(self, events: Events) -> str | None:
        """Table: facts of these codes that decide nothing (ignored, about another), packed."""
        if events.codes is None:
            return None
        number = self._shop.inputs.number(events.codes)
        kinds = ", ".join(str(KIND_NUMBER[kind]) for kind in events.kind)
        return self._shop.script.add(
            "y",
            _top_three(f"SELECT * FROM aside WHERE set_no = {number} AND kind IN ({kinds})"),
        )


def _columns(fact: str = "f") -> str:
    return ", ".join(f"{fact}.{name}" for name in ("set_no", *ROW, "coded"))


def _top_three(rows: str) -> str:
    return (
        f"SELECT patient, {packed()} AS facts, "
        f"{newest_of()} AS newest FROM ({rows}) AS b GROUP BY patient"
    )
