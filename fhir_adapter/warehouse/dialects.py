"""Statements as text: a sqlglot tree in the words of one engine.

Two functions of local dates (ordinals) are written in each engine's own date arithmetic; all else
is common SQL. Names are quoted, so that no engine takes one for a word of its own.
"""

from __future__ import annotations

from typing import Literal

from sqlglot import exp, parse_one

Dialect = Literal["duckdb", "spark"]

_EPOCH = "DATE '0001-01-01'"
_TEMPLATES: dict[Dialect, dict[str, str]] = {
    "duckdb": {
        "DAY": f"CAST({_EPOCH} + CAST({{0}} - 1 AS INT) AS DATE)",
        "SHIFT_MONTHS": f"DATE_DIFF('day', {_EPOCH}, "
        "CAST({day} + TO_MONTHS(CAST({1} AS INT)) AS DATE)) + 1",
    },
    "spark": {
        "DAY": f"DATE_ADD({_EPOCH}, CAST({{0}} - 1 AS INT))",
        "SHIFT_MONTHS": f"DATEDIFF(ADD_MONTHS({{day}}, CAST({{1}} AS INT)), {_EPOCH}) + 1",
    },
}
_YEARS = (
    "CAST(YEAR({on}) - YEAR({born}) - CASE WHEN MONTH({on}) * 100 + DAYOFMONTH({on}) "
    "< MONTH({born}) * 100 + DAYOFMONTH({born}) THEN 1 ELSE 0 END AS INT)"
)


def render(tree: object, dialect: Dialect, *, pretty: bool = False) -> str:
    """A statement in one engine's dialect; ``pretty`` for an auditor's eyes."""
    assert isinstance(tree, exp.Query)
    # copying a tree is most of the work: DuckDB prints what holds no function of ours as it stands
    as_it_stands = dialect == "duckdb" and not any(map(_is_own, tree.find_all(exp.Anonymous)))
    mine = tree if as_it_stands else tree.transform(_own, dialect)
    if dialect == "spark":  # which decides by itself what to keep
        for table in mine.find_all(exp.CTE):
            table.set("materialized", None)
    return mine.sql(dialect, identify=True, pretty=pretty, copy=False)


def steps(tree: object, dialect: Dialect) -> tuple[list[tuple[str, str]], str]:
    """The statement's common tables as (name, query), in order, and the query that reads them."""
    assert isinstance(tree, exp.Query)
    tables = [(table.alias, render(table.this, dialect)) for table in tree.ctes]
    common = tree.args.pop("with_", None)  # set aside: copying it is most of the work
    try:
        return tables, render(tree, dialect)
    finally:
        tree.set("with_", common)


def _is_own(node: exp.Expr) -> bool:
    return str(node.this).upper() in ("SHIFT_MONTHS", "YEARS_BETWEEN")


def _own(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    if not isinstance(node, exp.Anonymous) or not _is_own(node):
        return node
    name = str(node.this).upper()
    one, two = (part.transform(_own, dialect).sql(dialect) for part in node.expressions)
    words = _TEMPLATES[dialect]
    if name == "SHIFT_MONTHS":
        text = words["SHIFT_MONTHS"].format(one, two, day=words["DAY"].format(one))
    else:
        text = _YEARS.format(born=words["DAY"].format(one), on=words["DAY"].format(two))
    return parse_one(text, dialect=dialect)
