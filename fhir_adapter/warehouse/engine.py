"""What every engine of the cohort lane does, and the small tables that a statement reads besides.

An engine is given fact tables (in memory, or as Parquet files), then who is judged and as of when,
then statements; it answers with one row per patient for each study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Protocol

from fhir_adapter.ports import Moment, Statements, Told
from fhir_adapter.warehouse.arrow import Table, pa
from fhir_adapter.warehouse.dialects import Dialect, render
from fhir_adapter.warehouse.dictionary import Dictionary


class Engine(Protocol):
    """DuckDB in this process, or Spark wherever it runs: the same tables, the same answers."""

    def tables(self, tables: Mapping[str, Table]) -> None:
        """Fact tables that are in memory."""
        ...

    def files(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Fact tables that are Parquet files."""
        ...

    def moments(self, moments: Iterable[Moment]) -> None:
        """Which patients are judged, and as of when."""
        ...

    def run(self, statements: Statements, dictionary: Dictionary) -> list[Table]:
        """Of each study one row per patient, in the columns of evaluate/cohort/statement.py."""
        ...

    def close(self) -> None:
        """End what was opened for it."""
        ...


Printed = tuple[list[tuple[str, str]], list[str]]
"""Common tables as (name, query) in order, and the query of each study."""


class Printer:
    """Statements as text; those printed last are kept, for parts and runs ask for them again."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect: Dialect = dialect
        self._lock = Lock()
        self._last: tuple[Statements, Printed] | None = None

    def printed(self, statements: Statements) -> Printed:
        """The text of statements in one dialect."""
        with self._lock:
            if self._last is None or self._last[0] is not statements:
                self._last = statements, self._text(statements)
            return self._last[1]

    def _text(self, statements: Statements) -> Printed:
        parts = statements.parts
        tables = [(name, render(tree, self._dialect)) for name, tree in parts.tables.items()]
        return tables, [render(tree, self._dialect) for tree in parts.finals]


def moment_table(moments: Iterable[Moment]) -> Table:
    """Table ``moment``: who is judged."""
    rows = list(moments)
    types = (pa.int32(), pa.int64(), pa.int32(), pa.int32())
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            name: pa.array(list(column), kind)
            for name, column, kind in zip(Moment._fields, columns, types, strict=True)
        }
    )


def input_tables(statement: Told, dictionary: Dictionary) -> dict[str, Table]:
    """Tables ``concept_set`` and ``system_mask``: the codes of a statement in a store's numbers."""
    concepts = enumerate(dictionary.codes, 1)
    systems = ((number, frozenset(names)) for number, names in enumerate(dictionary.systems, 1))
    masks = ("systems", *(f"m{n}" for n in range(statement.masks)))
    return {
        "concept_set": _numbers(("concept", "set_no"), list(statement.concept_sets(concepts))),
        "system_mask": _numbers(masks, list(statement.system_masks(systems))),
    }


def _numbers(names: Sequence[str], rows: Sequence[tuple[int, ...]]) -> Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table(
        {
            name: pa.array(list(column), pa.int64())
            for name, column in zip(names, columns, strict=True)
        }
    )
