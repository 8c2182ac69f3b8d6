"""Nodes latest, earliest, lowest, highest in SQL: the test on every fact that may be the one.

A candidate is a fact that fewer than n certain members certainly come before; the n-th certain
member is the bound. The same rules as ``evaluate/selection.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.evaluate.cohort.answer import Answer, Slot, newest_of, packed
from fhir_adapter.evaluate.cohort.leaves import NEWEST_IN_WINDOW, leaf
from fhir_adapter.evaluate.cohort.members import TOO_COARSE, UNUSABLE
from fhir_adapter.evaluate.cohort.silence import Silence
from fhir_adapter.evaluate.cohort.values import IS_NUMERIC
from fhir_adapter.evaluate.cohort.windows import shifted
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.tables import VALUE_ROLE
from fhir_adapter.model.truth import Reason

STALE, CONFLICT = Reason.STALE.value, Reason.CONFLICT.value


@dataclass(frozen=True, slots=True)
class _Order:
    """How one selection sorts: the bound among certain members, and who may still be selected."""

    rank: str
    """ORDER BY of the certain members; the n-th of them bounds."""
    bound: str
    first: str
    """Aggregate: the first of them."""
    may_be: str
    """Condition on a fact ``f`` and the bound ``b``."""
    precedes: str
    """Whether ``f`` certainly comes before ``o``."""
    by_time: bool


_ORDERS: dict[type[object], _Order] = {
    tree.Latest: _Order(
        "start_lo DESC", "start_lo", "MAX(start_lo)", "f.start_hi > b.bound",
        "f.start_lo >= o.start_hi", by_time=True,
    ),
    tree.Earliest: _Order(
        "start_hi", "start_hi", "MIN(start_hi)", "f.start_lo < b.bound",
        "o.start_lo >= f.start_hi", by_time=True,
    ),
    tree.Lowest: _Order(
        "CASE WHEN value_hi IS NULL THEN 1 ELSE 0 END, value_hi", "value_hi", "MIN(value_hi)",
        "f.value_lo IS NULL OR b.bound >= f.value_lo",
        "f.value_hi < o.value_lo", by_time=False,
    ),
    tree.Highest: _Order(
        "CASE WHEN value_lo IS NULL THEN 1 ELSE 0 END, value_lo DESC", "value_lo", "MAX(value_lo)",
        "f.value_hi IS NULL OR b.bound <= f.value_hi",
        "f.value_lo > o.value_hi", by_time=False,
    ),
}  # fmt: skip

Selects = tree.Latest | tree.Earliest | tree.Lowest | tree.Highest


def selection(silence: Silence, node: Selects, fresh: Duration | None) -> Answer:
    """One selection node."""
    order = _ORDERS[type(node)]
    table = _table(silence, node, order, fresh)
    take, pin = silence.block.take, silence.block.pin
    problem = pin(silence.problem)
    there, newest = take(table, "patient"), take(table, "newest")
    picked, sure = take(table, "picked"), take(table, "sure")
    true, false, why = take(table, "true_"), take(table, "false_"), take(table, "why")
    found = take(table, "found")
    waiting = pin(f"COALESCE({silence.waiting(newest)}, {STALE})")
    same = f"{take(table, 'spans')} = 1" if order.by_time else "TRUE"
    split = f"CASE WHEN {same} THEN {CONFLICT} ELSE {TOO_COARSE} END"
    open_ = pin(
        f"CASE WHEN {why} = {STALE} THEN {waiting} WHEN {why} IS NOT NULL THEN {why} "
        f"ELSE {split} END"
    )
    any_sure = f"{sure} > 0"
    all_true = f"{any_sure} AND {true} = {picked}"
    all_false = f"{any_sure} AND ({false} = {picked} OR {take(table, 'fails')} = 1)"
    lines = [
        (f"{silence.empty} AND {found} = 0", "0", "0"),
        (f"{problem} IS NOT NULL", "1", problem),
        (all_true, "2", "0"),
        (all_false, "0", "0"),
        (any_sure, "1", open_),
        (f"{picked} > 0", "1", take(table, "doubt")),
    ]
    whole = f"{problem} IS NULL"
    undecided = f"{whole} AND {any_sure} AND NOT ({all_true}) AND NOT ({all_false})"
    evidence = (
        Slot(table=table, facts="of_found", newest="last_found",
             when=pin(f"{problem} IS NOT NULL"), decides="FALSE"),
        Slot(table=table, facts="of_picked", newest="last_picked",
             when=pin(whole), decides=pin(f"(({all_true}) OR ({all_false}))")),
    )  # fmt: skip
    older = (
        Slot(table=table, facts="older", newest="last_older",
             when=pin(f"{undecided} AND {open_} <> {STALE}"), decides="FALSE"),
    )  # fmt: skip
    return leaf(
        silence,
        lines,
        there=there,
        newest=newest,
        evidence=evidence,
        more=older,
        nothing_is_absent=True,
    )


def _table(silence: Silence, node: Selects, order: _Order, fresh: Duration | None) -> str:
    add = silence.shop.script.add
    rows = silence.rows.placed(node.of)
    bound = add("b", _bound(order, rows, node.n))
    tested = add("t", _tested(silence, node, order, fresh, rows, bound))
    fails = _sure_failure(silence, node, order, tested) if node.n > 1 else None
    usable = f"standing = 0 AND {IS_NUMERIC.format(f='t')}"
    group = f"CASE WHEN place = 0 THEN 3 WHEN candidate = 1 THEN 0 WHEN {usable} THEN 1 ELSE 2 END"
    grouped = f"SELECT t.*, {group} AS grp FROM {tested} t"
    picked = "grp = 0"
    columns = {
        "found": "COUNT(CASE WHEN place > 0 THEN 1 END)",
        "picked": f"COUNT(CASE WHEN {picked} THEN 1 END)",
        "sure": f"COUNT(CASE WHEN {picked} AND place = 2 THEN 1 END)",
        "true_": f"COUNT(CASE WHEN {picked} AND truth = 2 THEN 1 END)",
        "false_": f"COUNT(CASE WHEN {picked} AND truth = 0 THEN 1 END)",
        "why": f"MIN(CASE WHEN {picked} AND truth = 1 THEN why END)",
        "doubt": f"MIN(CASE WHEN {picked} THEN CASE WHEN truth = 1 THEN why "
        f"ELSE {TOO_COARSE} END END)",
        "spans": f"CASE WHEN MIN(CASE WHEN {picked} THEN start_lo END) = "
        f"MAX(CASE WHEN {picked} THEN start_lo END) AND MIN(CASE WHEN {picked} THEN start_hi END) "
        f"= MAX(CASE WHEN {picked} THEN start_hi END) THEN 1 ELSE 2 END",
        "of_found": packed("place > 0"),
        "last_found": newest_of("place > 0"),
        "of_picked": packed(picked),
        "last_picked": newest_of(picked),
        "older": "COALESCE(MIN(CASE WHEN grp = 1 THEN seq END), 0)",
        "last_older": "ARG_MIN(last_start, CASE WHEN grp = 1 THEN seq END)",
        "fails": "0",
    }
    said = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    made = f"SELECT patient, {said}, {NEWEST_IN_WINDOW} FROM ({grouped}) AS z GROUP BY patient"
    if fails is None:
        return add("g", made)
    names = ", ".join(f"g.{name}" for name in (*columns, "newest") if name != "fails")
    return add(
        "g",
        f"SELECT g.patient, {names}, CASE WHEN x.patient IS NULL THEN 0 ELSE 1 END AS fails "
        f"FROM ({made}) AS g LEFT JOIN {fails} x ON x.patient = g.patient",
    )


def _bound(order: _Order, rows: str, n: int) -> str:
    """The n-th of the certain members; it has no value where that one has none."""
    if n == 1:
        return (
            f"SELECT patient, {order.first} AS bound FROM {rows} WHERE place = 2 GROUP BY patient"
        )
    return (
        f"SELECT patient, {order.bound} AS bound FROM (SELECT patient, {order.bound}, "
        f"ROW_NUMBER() OVER (PARTITION BY patient ORDER BY {order.rank}) AS n "
        f"FROM {rows} WHERE place = 2) AS s WHERE n = {n}"
    )


def _tested(
    silence: Silence, node: Selects, order: _Order, fresh: Duration | None, rows: str, bound: str
) -> str:
    """Every row with whether it may be selected, and what its test says."""
    joins = [f"LEFT JOIN {bound} b ON b.patient = f.patient"]
    coded = "0"
    if node.test.coded_in is not None:
        joins.append(silence.rows.coded("h", node.test.coded_in, VALUE_ROLE))
        coded = "CASE WHEN h.seq IS NOT NULL THEN 1 ELSE 0 END"
    truth = silence.shop.test(node.test, node.of, "f", coded)
    aged = "NULL"
    if fresh is not None:
        joins.append("JOIN p ON p.patient = f.patient")
        aged = _aged(fresh)
    unusable = "f.standing = 2"
    no_bound = "b.patient IS NULL OR b.bound IS NULL"
    return (
        "SELECT f.patient, f.seq, f.start_lo, f.start_hi, f.last_start, f.value_lo, f.value_hi, "
        "f.standing, f.place, "
        f"CASE WHEN f.place > 0 AND ({no_bound} OR {order.may_be}) THEN 1 ELSE 0 END "
        f"AS candidate, CASE WHEN {unusable} OR {aged} IS NOT NULL THEN 1 ELSE {truth} END "
        f"AS truth, CASE WHEN {unusable} THEN COALESCE(f.standing_reason, {UNUSABLE}) "
        f"WHEN {aged} IS NOT NULL THEN {aged} ELSE {UNUSABLE} END AS why "
        f"FROM {rows} f {' '.join(joins)}"
    )


def _aged(fresh: Duration) -> str:
    """STALE where the fact certainly is too old, too coarse where it may be, else NULL."""
    if fresh.is_hours:
        limit = f"p.as_of - {fresh.micros}"
        sure, perhaps = f"f.start_lo >= {limit}", f"f.last_start >= {limit}"
    else:
        limit = shifted("p.as_of_date", fresh, -1)
        sure, perhaps = f"f.start_date_lo >= {limit}", f"f.start_date_hi >= {limit}"
    return f"CASE WHEN {sure} THEN NULL WHEN {perhaps} THEN {TOO_COARSE} ELSE {STALE} END"


def _sure_failure(silence: Silence, node: Selects, order: _Order, tested: str) -> str:
    """For n > 1, table: patients of whom a fact that certainly is among the n fails the test."""
    return silence.shop.script.add(
        "x",
        "SELECT DISTINCT patient FROM (SELECT f.patient, f.seq, "
        f"COUNT(CASE WHEN o.seq <> f.seq AND NOT COALESCE({order.precedes}, FALSE) THEN 1 END) "
        f"AS ahead FROM {tested} f JOIN {tested} o ON o.patient = f.patient AND o.place > 0 "
        "WHERE f.place = 2 AND f.candidate = 1 AND f.truth = 0 GROUP BY f.patient, f.seq) AS s "
        f"WHERE ahead < {node.n}",
    )
