"""Statements as text: a sqlglot tree in the words of one engine.

Two functions of local dates (ordinals) and two that pick the first three of a group are written
in each engine's own words; all else is common SQL. Names are quoted, so that no engine takes one
for a word of its own.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

from sqlglot import exp, parse_one

Dialect = Literal["duckdb", "spark"]

_EPOCH = "DATE '0001-01-01'"
_TEMPLATES: dict[Dialect, dict[str, str]] = {
    "duckdb": {
        "DAY": f"CAST({_EPOCH} + CAST({{0}} - 1 AS INT) AS DATE)",
        "SHIFT_MONTHS": f"DATE_DIFF('day', {_EPOCH}, "
        "CAST({day} + TO_MONTHS(CAST({1} AS INT)) AS DATE)) + 1",
        "KEY": "LIST_EXTRACT(MIN(CAST({0} AS BIGINT), 3), {place})",
        "BESIDE": "LIST_EXTRACT(ARG_MIN({1}, CAST({0} AS BIGINT), 3), {place})",
    },
    "spark": {
        "DAY": f"DATE_ADD({_EPOCH}, CAST({{0}} - 1 AS INT))",
        "SHIFT_MONTHS": f"DATEDIFF(ADD_MONTHS({{day}}, CAST({{1}} AS INT)), {_EPOCH}) + 1",
        "KEY": "GET(SORT_ARRAY(COLLECT_LIST(CAST({0} AS BIGINT))), {place} - 1)",
        "BESIDE": "GET(SORT_ARRAY(COLLECT_LIST(CASE WHEN {0} IS NOT NULL "
        "THEN STRUCT({0} AS k, {1} AS v) END)), {place} - 1).v",
    },
}
_BITS = 20
_LOW = 2**_BITS - 1
_YEARS = (
    "CAST(YEAR({on}) - YEAR({born}) - CASE WHEN MONTH({on}) * 100 + DAYOFMONTH({on}) "
    "< MONTH({born}) * 100 + DAYOFMONTH({born}) THEN 1 ELSE 0 END AS INT)"
)


def render(tree: object, dialect: Dialect, *, pretty: bool = False) -> str:
    """A statement in one engine's dialect; ``pretty`` for an auditor's eyes."""
    assert isinstance(tree, exp.Query)
    kept = [(table, table.args.get("materialized")) for table in tree.find_all(exp.CTE)]
    # a copy of a tree costs more than all the rest: it is changed, printed and changed back
    with _in_words_of(tree, dialect):
        if dialect == "spark":  # which decides by itself what to keep
            for table, _ in kept:
                table.set("materialized", None)
        try:
            return tree.sql(dialect, identify=True, pretty=pretty, copy=False)
        finally:
            for table, materialized in kept:
                table.set("materialized", materialized)


@contextmanager
def _in_words_of(tree: exp.Query, dialect: Dialect) -> Generator[None]:
    """Our own functions in the words of an engine, as long as it lasts."""
    own = [node for node in tree.find_all(exp.Anonymous) if _is_own(node)]
    changed: list[tuple[exp.Expr, exp.Expr]] = []
    try:
        for node in reversed(own):  # what stands inside another comes first
            words = _words(node, dialect).copy()
            node.replace(words)
            changed.append((words, node))
        yield
    finally:
        for words, function in reversed(changed):
            words.replace(function)


def _is_own(node: exp.Expr) -> bool:
    return str(node.this).upper() in (
        "SHIFT_MONTHS",
        "YEARS_BETWEEN",
        "FIRST_THREE",
        "LATEST_OF_THREE",
    )


def _words(node: exp.Anonymous, dialect: Dialect) -> exp.Expr:
    parts = tuple(part.sql(dialect, identify=True) for part in node.expressions)
    return _parsed(str(node.this).upper(), parts, dialect)


@lru_cache(maxsize=4096)
def _parsed(name: str, parts: tuple[str, ...], dialect: Dialect) -> exp.Expr:
    words = _TEMPLATES[dialect]
    if name == "FIRST_THREE":
        text = _first_three(words["KEY"], parts[0])
    elif name == "LATEST_OF_THREE":
        text = _latest_of_three(words["KEY"], words["BESIDE"], *parts)
    elif name == "SHIFT_MONTHS":
        text = words["SHIFT_MONTHS"].format(*parts, day=words["DAY"].format(parts[0]))
    else:
        text = _YEARS.format(born=words["DAY"].format(parts[0]), on=words["DAY"].format(parts[1]))
    return parse_one(f"({text})", dialect=dialect)


def _first_three(template: str, key: str) -> str:
    """The low bits of the three least keys that share the high bits of the least, packed.

    Zero where there is none; ``evaluate/cohort/answer.py`` says what a key is.
    """
    keys = [template.format(key, place=place) for place in (1, 2, 3)]
    parts = [f"COALESCE({keys[0]} & {_LOW}, 0)"]
    for place, one in enumerate(keys[1:], 1):
        same = f"{one} >> {_BITS} = {keys[0]} >> {_BITS}"
        parts.append(f"CASE WHEN {same} THEN ({one} & {_LOW}) << {_BITS * place} ELSE 0 END")
    return " + ".join(parts)


def _latest_of_three(template: str, beside: str, key: str, value: str) -> str:
    """The greatest value that stands beside one of those three keys; NULL where there is none."""
    keys = [template.format(key, place=place) for place in (1, 2, 3)]
    values = [beside.format(key, value, place=place) for place in (1, 2, 3)]
    others = (
        f"CASE WHEN {one} >> {_BITS} = {keys[0]} >> {_BITS} THEN {other} END"
        for one, other in zip(keys[1:], values[1:], strict=True)
    )
    return f"GREATEST({', '.join((values[0], *others))})"
