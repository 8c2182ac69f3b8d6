"""A statement under construction: named common table expressions, each of them said once.

Every part is written in the small SQL that all engines share (CASE, LEAST, joins, GROUP BY,
ROW_NUMBER) and parsed into a sqlglot tree; ``warehouse/`` prints it in an engine's dialect. Names
are unique in the whole statement: sqlglot hoists nested ones when it writes for Spark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp, parse_one

from fhir_adapter.evaluate.cohort.pruning import prune

_PINNED = re.compile(r"\bx(\d+)\b")
_NAMES = re.compile(r"\b[a-z_]+\d*\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A statement as trees: its common tables in order, and the queries that read them."""

    tables: dict[str, exp.Expr]
    finals: list[exp.Expr]

    def only(self, number: int) -> Parts:
        """One of the queries, and the tables that it needs."""
        final = self.finals[number]
        needed = _read(final)
        for name, query in reversed(self.tables.items()):
            if name in needed:
                needed |= _read(query)
        tables = {name: query for name, query in self.tables.items() if name in needed}
        return Parts(tables=tables, finals=[final])


def _read(query: exp.Expr) -> set[str]:
    return {table.name for table in query.find_all(exp.Table)}


class Script:
    """The common table expressions of one statement, in the order of their dependence."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.blocks: dict[str, Block] = {}
        """Tables that are a block, with a row for everybody."""

    def add(self, prefix: str, text: str) -> str:
        """A name for this query; equal queries share one."""
        known = self._names.get(text)
        if known is None:
            known = self._names[text] = f"{prefix}{len(self._texts)}"
            self._texts[known] = text
        return known

    def block(self, prefix: str, block: Block, columns: dict[str, str]) -> str:
        """A table of what a block says of everybody."""
        name = self.add(prefix, block.query(columns))
        self.blocks[name] = block
        return name

    def promise(self, name: str) -> None:
        """A place for a table whose text is only known when all others are."""
        self._texts[name] = ""

    def fulfil(self, name: str, text: str) -> None:
        """The text of a promised table; what it reads and was added since stands before it."""
        later = list(self._texts).index(name)
        reads = _NAMES.findall(text)
        for one in list(self._texts)[later + 1 :]:
            if one in reads:
                self._texts = _before(self._texts, one, name)
        self._texts[name] = text

    def is_window(self, name: str) -> bool:
        """Whether a table holds the edges of a window."""
        return name.rstrip("0123456789") == "w"

    def select(self, finals: list[str], first: dict[str, str]) -> Parts:
        """The tables in order, ``first`` before everything that was added, and who reads them.

        What is read once stands where it is read; what is read more often is a table of its own,
        and so is every criterion, for the eyes of an auditor and the plan of an engine.
        """
        tables = {name: parse_one(text) for name, text in {**first, **self._texts}.items()}
        last = [parse_one(final) for final in finals]
        _inline(tables, last)
        prune(tables, last)
        return Parts(tables=tables, finals=last)


def _before(texts: dict[str, str], one: str, other: str) -> dict[str, str]:
    """The same tables, ``one`` directly before ``other``."""
    moved: dict[str, str] = {}
    for name, text in texts.items():
        if name == other:
            moved[one] = texts[one]
        if name != one:
            moved[name] = text
    return moved


_TABLES_OF_THEIR_OWN = ("p", "hit", "rel", "criterion_", "pair_", "pointer_", "cls", "told")


def _inline(trees: dict[str, exp.Expr], finals: list[exp.Expr]) -> None:
    """Replace every table that is read once, and once only, by its query."""
    readers: dict[str, list[exp.Table]] = {}
    for query in (*trees.values(), *finals):
        for table in query.find_all(exp.Table):
            readers.setdefault(table.name, []).append(table)
    for name in list(trees):
        found = readers.get(name, [])
        if name.rstrip("0123456789") in _TABLES_OF_THEIR_OWN:
            continue
        if len(found) != 1 and not _is_filter(trees[name]):
            continue
        query = trees.pop(name)
        for place, table in enumerate(found, 1):
            again = query if place == len(found) else query.copy()
            alias = exp.TableAlias(this=_alias(table))
            table.replace(exp.Subquery(this=again, alias=alias))


def _is_filter(query: exp.Expr) -> bool:
    """Whether a query only picks rows of one table: cheaper to say again than to keep."""
    heavy = (exp.Join, exp.Group, exp.Window, exp.Union, exp.Distinct)
    return not any(query.find(kind) for kind in heavy)


def _alias(table: exp.Table) -> exp.Identifier:
    return exp.to_identifier(table.alias or table.name)


def least(parts: list[str]) -> str:
    """LEAST of one or more."""
    return parts[0] if len(parts) == 1 else f"LEAST({', '.join(parts)})"


def greatest(parts: list[str]) -> str:
    """GREATEST of one or more."""
    return parts[0] if len(parts) == 1 else f"GREATEST({', '.join(parts)})"


def either(parts: list[str]) -> str:
    """OR of none or more."""
    return f"({' OR '.join(parts)})" if parts else "FALSE"


def every(parts: list[str]) -> str:
    """AND of none or more."""
    return f"({' AND '.join(parts)})" if parts else "TRUE"


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


@dataclass(slots=True)
class Block:
    """One row per patient: joined relations, and expressions worked out layer by layer.

    ``take`` brings in a column of a joined relation; ``pin`` names an expression, so that those
    above it refer to it and do not repeat it.
    """

    _joins: dict[str, str] = field(default_factory=dict[str, str])
    _base: dict[str, str] = field(default_factory=dict[str, str])
    _pins: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    _by_text: dict[str, str] = field(default_factory=dict[str, str])

    def take(self, relation: str, column: str) -> str:
        """A column of ``p`` (the patients) or of a relation with at most one row per patient."""
        name = f"{relation}_{column}"
        if name not in self._base:
            self._base[name] = f"{relation}.{column}"
            if relation != "p":
                self._joins[relation] = f"LEFT JOIN {relation} ON {relation}.patient = p.patient"
        return name

    def pin(self, expression: str) -> str:
        """A column that holds an expression; equal ones share it."""
        known = self._by_text.get(expression)
        if known is not None:
            return known
        below = [self._pins[f"x{n}"][1] for n in _PINNED.findall(expression)]
        name = f"x{len(self._pins)}"
        self._pins[name] = (expression, 1 + max(below, default=0))
        self._by_text[expression] = name
        return name

    @property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """(relation, column) of all that was taken."""
        found = (column.split(".", 1) for column in self._base.values())
        return tuple((relation, column) for relation, column in found)

    def query(self, columns: dict[str, str], people: str = "p") -> str:
        """The block as a query: the patient and these columns (name -> expression).

        ``people``: a query in the columns of ``p`` that holds only some.
        """
        base = "".join(f", {column} AS {name}" for name, column in self._base.items())
        of = "p" if people == "p" else f"{people} AS p"
        inner = f"SELECT p.patient AS patient{base} FROM {of} {' '.join(self._joins.values())}"
        for layer in range(1, 1 + max((at for _, at in self._pins.values()), default=0)):
            here = ", ".join(f"{e} AS {n}" for n, (e, at) in self._pins.items() if at == layer)
            inner = f"SELECT *, {here} FROM ({inner}) AS l{layer}"
        outer = "".join(f", {expression} AS {name}" for name, expression in columns.items())
        return f"SELECT patient{outer} FROM ({inner}) AS b"
