"""Named anchors in SQL: episodes and events as uncertain instants, one row per patient.

Columns: state (0 there, 1 known not to be, 2 not known), reason, lo, hi, date_lo, date_hi, and the
packed evidence. The walk of ``evaluate/anchors.py`` becomes windows over the values in time: values
below the bound after the g-th value at it form one stretch, which may end the run.
"""

from __future__ import annotations

from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.cohort.answer import PACK, lowest, newest_of, packed
from fhir_adapter.evaluate.cohort.members import FAILED, OUT, TOO_COARSE, Rows, Workshop
from fhir_adapter.evaluate.cohort.script import Block
from fhir_adapter.evaluate.cohort.silence import Silence
from fhir_adapter.evaluate.cohort.windows import NONE, PRESENT, UNKNOWN, shifted
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, EARLIEST, LATEST, Duration
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.tables import KIND_NUMBER, VALUE_ROLE
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import anchor_code

_LAST_REASON = max(reason.value for reason in Reason)
_COLUMNS = ("lo", "hi", "date_lo", "date_hi", "facts", "last")


class Anchors:
    """Makes the table of each named anchor, and of an episode's earlier runs."""

    def __init__(self, shop: Workshop, study: str, anchors: tuple[tree.Anchor, ...]) -> None:
        self._shop = shop
        self._study = study
        self._anchors = {anchor.name: anchor for anchor in anchors}
        self._made: dict[str, str] = {}
        self.runs: dict[str, str] = {}
        self.rows: Rows = Rows(shop, self.runs)

    def table(self, name: str) -> str:
        """The table of one anchor."""
        if name not in self._made:
            anchor = self._anchors[name]
            make = self._event if isinstance(anchor, tree.EventAnchor) else self._episode
            self._made[name] = make(anchor)  # type: ignore[arg-type] # told apart above
        return self._made[name]

    # ------------------------------------------------------------------ shared parts

    def _by_hand(self, name: str) -> str:
        """Table: the newest entry of a person who has set the anchor."""
        number = self._shop.inputs.exact(anchor_code(self._study, name))
        return self._shop.script.add(
            "a",
            "SELECT patient, start_lo AS lo, last_start AS hi, start_date_lo AS date_lo, "
            "start_date_hi AS date_hi, seq AS facts, last_start AS last FROM "
            "(SELECT *, ROW_NUMBER() OVER (PARTITION BY patient "
            "ORDER BY known_from DESC, start_lo DESC, seq DESC) AS n FROM rel "
            f"WHERE set_no = {number} AND kind = {KIND_NUMBER[Kind.ANSWER]}) AS s WHERE n = 1",
        )

    def _silence(self, block: Block, anchor: tree.Anchor) -> Silence:
        absence = Absence("unknown", reopen_outside=False, known_kinds=anchor.of.kind)
        return Silence(
            block=block, shop=self._shop, rows=self.rows, events=anchor.of, absence=absence
        )

    def _finish(
        self, block: Block, anchor: tree.Anchor, found: str, state: str, reason: str, extra: str
    ) -> str:
        """The anchor's table: a person's entry first, else what the facts say."""
        hand = self._by_hand(anchor.name)
        by_hand = f"{block.take(hand, 'patient')} IS NOT NULL"
        there = f"{state} = {PRESENT}"
        columns = {
            "state": f"CASE WHEN {by_hand} THEN {PRESENT} ELSE {state} END",
            "reason": f"CASE WHEN {by_hand} OR {state} <> {UNKNOWN} THEN NULL ELSE {reason} END",
        }
        unknown = {
            "lo": EARLIEST, "hi": LATEST, "date_lo": DATE_EARLIEST, "date_hi": DATE_LATEST,
        }  # fmt: skip
        for name in ("lo", "hi", "date_lo", "date_hi"):
            columns[name] = (
                f"CASE WHEN {by_hand} THEN {block.take(hand, name)} "
                f"WHEN {there} THEN {block.take(found, name)} ELSE {unknown[name]} END"
            )
        columns["facts"] = f"CASE WHEN {by_hand} THEN {block.take(hand, 'facts')} ELSE {extra} END"
        columns["last"] = (
            f"CASE WHEN {by_hand} THEN {block.take(hand, 'last')} "
            f"ELSE {block.take(found, 'last')} END"
        )
        return self._shop.script.add("a", block.query(columns))

    # ------------------------------------------------------------------ episodes

    def _episode(self, anchor: tree.Episode) -> str:
        walked = self._walk(anchor)
        block = Block()
        silence = self._silence(block, anchor)
        problem = block.pin(silence.problem)
        absent = silence.answer(block.take(walked, "newest"))
        why = block.pin(f"COALESCE({lowest(absent.opens[0][1])}, {Reason.NEVER_RECORDED.value})")
        usable = f"COALESCE({block.take(walked, 'usable')}, 0) > 0"
        state = block.pin(
            f"CASE WHEN {problem} IS NOT NULL OR NOT ({usable}) THEN {UNKNOWN} "
            f"WHEN {block.take(walked, 'running')} = 1 THEN {PRESENT} ELSE {NONE} END"
        )
        reason = f"COALESCE({problem}, {why})"
        facts = f"CASE WHEN {state} = {UNKNOWN} THEN 0 ELSE {block.take(walked, 'facts')} END"
        made = self._finish(block, anchor, walked, state, reason, facts)
        self.runs[anchor.name] = self._earlier(anchor, made)
        return made

    def _walk(self, anchor: tree.Episode) -> str:
        """Table: the run that goes on at as_of, or the newest value below the bound."""
        add = self._shop.script.add
        rows = self.rows.placed(anchor.of)
        joins, coded = "", "0"
        if anchor.bound.coded_in is not None:
            joins = self.rows.coded("h", anchor.bound.coded_in, VALUE_ROLE)
            coded = "CASE WHEN h.seq IS NOT NULL THEN 1 ELSE 0 END"
        truth = self._shop.test(anchor.bound, anchor.of, "f", coded)
        tested = add(
            "v",
            f"SELECT *, SUM(CASE WHEN truth = 2 THEN 1 ELSE 0 END) OVER (PARTITION BY patient "
            "ORDER BY start_lo, start_hi, seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) "
            "AS g, ROW_NUMBER() OVER (PARTITION BY patient ORDER BY start_lo, start_hi, seq) AS k "
            "FROM (SELECT f.patient, f.seq, f.start_lo, f.start_hi, f.last_start, "
            f"f.start_date_lo, f.start_date_hi, {truth} AS truth FROM {rows} f {joins} "
            "WHERE f.place > 0 AND f.standing = 0) AS s WHERE truth <> 1",
        )
        self._tested = tested
        stretch = add("v", self._stretches(anchor, tested))
        starts = add("v", self._starts(tested, stretch))
        limit = shifted("f.start_date_lo", Duration.parse(anchor.look_back), -1)
        last = (
            "SELECT patient, MAX(g) AS g, COUNT(1) AS usable, MAX(CASE WHEN truth = 0 THEN k END) "
            f"AS below, MAX(start_lo) AS newest FROM {tested} GROUP BY patient"
        )
        run = "SELECT patient, MAX(k) AS k FROM " + starts + " GROUP BY patient"
        bounded = f"(b.k IS NOT NULL AND b.start_date_hi >= {limit})"
        running = "l.g > 0 AND COALESCE(e.ended, 0) = 0"
        in_order = (
            "CASE WHEN f.start_lo IS NULL THEN 0 WHEN "
            + bounded
            + f" THEN b.seq + f.seq * {PACK} ELSE f.seq END"
        )
        return add(
            "v",
            f"SELECT l.patient, l.usable, l.newest, CASE WHEN {running} THEN 1 ELSE 0 END "
            f"AS running, CASE WHEN {bounded} THEN b.start_lo ELSE {EARLIEST} END AS lo, "
            f"f.last_start AS hi, CASE WHEN {bounded} THEN b.start_date_lo ELSE {DATE_EARLIEST} "
            f"END AS date_lo, f.start_date_hi AS date_hi, "
            f"CASE WHEN {running} THEN {in_order} ELSE COALESCE(n.seq, 0) END AS facts, "
            f"CASE WHEN NOT ({running}) THEN n.last_start WHEN {bounded} "
            "THEN GREATEST(f.last_start, b.last_start) ELSE f.last_start END AS last "
            f"FROM ({last}) AS l LEFT JOIN {stretch} e ON e.patient = l.patient AND e.g = l.g "
            f"LEFT JOIN ({run}) AS s ON s.patient = l.patient "
            f"LEFT JOIN {tested} f ON f.patient = s.patient AND f.k = s.k "
            f"LEFT JOIN {starts} t ON t.patient = s.patient AND t.k = s.k "
            f"LEFT JOIN {tested} b ON b.patient = t.patient AND b.k = t.before "
            f"LEFT JOIN {tested} n ON n.patient = l.patient AND n.k = l.below",
        )

    def _stretches(self, anchor: tree.Episode, tested: str) -> str:
        """Values below the bound after the g-th at it: since when, and whether they end it."""
        over = "PARTITION BY patient, g ORDER BY k"
        lasted = (
            f"{shifted('since', Duration.parse(anchor.ends_after), 1)} <= start_date_lo "
            f"AND n >= {anchor.ends_with}"
        )
        return (
            f"SELECT patient, g, MIN(since) AS since, MAX(CASE WHEN {lasted} THEN 1 ELSE 0 END) "
            f"AS ended FROM (SELECT patient, g, start_date_lo, ROW_NUMBER() OVER ({over}) AS n, "
            f"FIRST_VALUE(start_date_hi) OVER ({over}) AS since FROM {tested} "
            "WHERE truth = 0 AND g > 0) AS s GROUP BY patient, g"
        )

    def _starts(self, tested: str, stretch: str) -> str:
        """The first value at the bound of every run, with the last one below before it."""
        return (
            "SELECT f.patient, f.k, f.g, f.start_date_lo, f.before FROM (SELECT *, MAX(CASE WHEN "
            "truth = 0 THEN k END) OVER (PARTITION BY patient ORDER BY k ROWS BETWEEN UNBOUNDED "
            f"PRECEDING AND 1 PRECEDING) AS before FROM {tested}) AS f LEFT JOIN {stretch} e "
            "ON e.patient = f.patient AND e.g = f.g - 1 "
            "WHERE f.truth = 2 AND (f.g = 1 OR COALESCE(e.ended, 0) = 1)"
        )

    def _earlier(self, anchor: tree.Episode, made: str) -> str:
        """Table: local dates, both closed, of runs that ended before; none where set by hand."""
        stretch = self._shop.script.add("v", self._stretches(anchor, self._tested))
        starts = self._shop.script.add("v", self._starts(self._tested, stretch))
        hand = self._by_hand(anchor.name)
        return self._shop.script.add(
            "u",
            "SELECT s.patient, s.start_date_lo AS lo, MIN(e.since) AS hi FROM "
            "(SELECT *, LEAD(g) OVER (PARTITION BY patient ORDER BY k) AS next "
            f"FROM {starts}) AS s "
            f"JOIN {stretch} e ON e.patient = s.patient AND e.ended = 1 AND e.g >= s.g "
            "AND (s.next IS NULL OR e.g < s.next) "
            f"JOIN {made} a ON a.patient = s.patient AND a.state <> {UNKNOWN} "
            f"LEFT JOIN {hand} h ON h.patient = s.patient WHERE h.patient IS NULL "
            "GROUP BY s.patient, s.k, s.start_date_lo",
        )

    # ------------------------------------------------------------------ events

    def _event(self, anchor: tree.EventAnchor) -> str:
        """The span in which the selected event starts: all that may be it widen the interval."""
        picked = self._picked(anchor)
        block = Block()
        silence = self._silence(block, anchor)
        there = block.take(picked, "patient")
        empty = f"({silence.empty} AND {block.take(picked, 'inside')} = 0)"
        problem = block.pin(
            f"CASE WHEN {there} IS NULL THEN {silence.not_whole} WHEN {empty} THEN NULL "
            f"ELSE {silence.problem} END"
        )
        absent = silence.answer(block.take(picked, "newest"))
        why = block.pin(lowest(absent.opens[0][1]))
        members = f"COALESCE({block.take(picked, 'members')}, 0)"
        recorded = f"({there} IS NOT NULL AND ({block.take(picked, 'failed')} > 0 OR {empty}))"
        state = block.pin(
            f"CASE WHEN {problem} IS NOT NULL THEN {UNKNOWN} "
            f"WHEN {members} = 0 AND ({recorded} OR {absent.truth} = 0) THEN {NONE} "
            f"WHEN {members} = 0 THEN {UNKNOWN} WHEN {block.take(picked, 'sure')} = 0 "
            f"THEN {UNKNOWN} ELSE {PRESENT} END"
        )
        reason = f"COALESCE({problem}, CASE WHEN {members} = 0 THEN {why} ELSE {TOO_COARSE} END)"
        shown = f"{problem} IS NULL AND {members} > 0"
        facts = f"CASE WHEN {shown} THEN {block.take(picked, 'facts')} ELSE 0 END"
        return self._finish(block, anchor, picked, state, reason, facts)

    def _picked(self, anchor: tree.EventAnchor) -> str:
        add = self._shop.script.add
        members = self.rows.members(anchor.of)
        latest = anchor.pick == "latest"
        bound = "MAX(start_lo)" if latest else "MIN(start_hi)"
        bounds = add(
            "b", f"SELECT patient, {bound} AS bound FROM {members} WHERE c = 0 GROUP BY patient"
        )
        may_be = (
            f"f.start_hi > COALESCE(b.bound, {EARLIEST})"
            if latest
            else "(b.bound IS NULL OR f.start_lo < b.bound)"
        )
        candidate = f"CASE WHEN f.c <= {_LAST_REASON} AND {may_be} THEN 1 ELSE 0 END"
        cand = "may = 1"
        return add(
            "v",
            f"SELECT patient, COUNT(CASE WHEN c <= {_LAST_REASON} THEN 1 END) AS members, "
            f"COUNT(CASE WHEN c = 0 THEN 1 END) AS sure, "
            f"COUNT(CASE WHEN c = {FAILED} THEN 1 END) AS failed, "
            f"COUNT(CASE WHEN c < {OUT} THEN 1 END) AS inside, "
            "MAX(CASE WHEN place > 0 THEN start_lo END) AS newest, "
            f"MIN(CASE WHEN {cand} THEN start_lo END) AS lo, "
            f"MAX(CASE WHEN {cand} THEN last_start END) AS hi, "
            f"MIN(CASE WHEN {cand} THEN start_date_lo END) AS date_lo, "
            f"MAX(CASE WHEN {cand} THEN start_date_hi END) AS date_hi, "
            f"{packed(cand)} AS facts, "
            f"{newest_of(cand)} AS last "
            f"FROM (SELECT f.*, {candidate} AS may FROM {members} f "
            f"LEFT JOIN {bounds} b ON b.patient = f.patient) AS z GROUP BY patient",
        )
