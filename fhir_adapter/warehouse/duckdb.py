"""DuckDB: the embedded engine of the cohort lane.

It runs a statement over fact tables: in memory for a few records, over Parquet for a store. Its
errors quote values of patients; they are wrapped, and only the kind of failure is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from fhir_adapter.errors import WarehouseFault
from fhir_adapter.ports import Moment, Statements
from fhir_adapter.warehouse.arrow import Table
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.engine import Printer, input_tables, moment_table
from fhir_adapter.warehouse.manifest import broken_file

_PRINTER = Printer("duckdb")
_QUOTED = re.compile(r'"([a-z_]+\d*)"')


class Engine:
    """One DuckDB connection with the tables of one run."""

    def __init__(self, *, memory_limit: str = "", threads: int = 0) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET preserve_insertion_order = false")
        if memory_limit:
            self._connection.execute(f"SET memory_limit = '{memory_limit}'")
        if threads:
            self._connection.execute(f"SET threads = {threads}")

    def tables(self, tables: Mapping[str, Table]) -> None:
        """Fact tables that are in memory."""
        for name, table in tables.items():
            self._connection.register(name, table)

    def files(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Fact tables that are Parquet files."""
        for name, found in paths.items():
            listed = ", ".join("'" + path.replace("'", "''") + "'" for path in found)
            try:
                self._connection.execute(
                    f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet([{listed}])"  # noqa: S608 - paths of our own store
                )
            except duckdb.Error:
                raise broken_file() from None

    def moments(self, moments: Iterable[Moment]) -> None:
        """Which patients are judged, and as of when."""
        self._connection.register("moment", moment_table(moments))

    def run(self, statements: Statements, dictionary: Dictionary) -> list[Table]:
        """Of each study one row per patient, in the columns of evaluate/cohort/statement.py.

        The common tables are made one after the other: DuckDB takes eight times as long to plan
        hundreds of them as one query (docs/decisions/0003-one-statement.md).
        """
        self.tables(input_tables(statements, dictionary))
        return self._run(*_PRINTER.printed(statements))

    def _run(self, tables: Sequence[tuple[str, str]], finals: Sequence[str]) -> list[Table]:
        made: dict[str, None] = {}
        try:
            for (name, query), done in zip(tables, _last_readers(tables, finals), strict=True):
                self._connection.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {query}')
                made[name] = None
                for other in done:  # memory is bounded by what is still to be read
                    self._connection.execute(f'DROP TABLE "{other}"')
                    del made[other]
            return [self._connection.sql(last).to_arrow_table() for last in finals]
        except duckdb.Error as error:
            raise WarehouseFault(
                f"DuckDB could not run the statement ({type(error).__name__})",
                where="cohort lane",
                remedy="Give it more memory or disk; else report it with the run id.",
            ) from None
        finally:
            for name in made:
                self._connection.execute(f'DROP TABLE IF EXISTS "{name}"')

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def _last_readers(
    tables: Sequence[tuple[str, str]], finals: Sequence[str]
) -> list[tuple[str, ...]]:
    """For each table, those before it that nothing after it reads."""
    names = {name for name, _ in tables}
    waiting = {name for final in finals for name in _QUOTED.findall(final)}
    found: list[tuple[str, ...]] = []
    for name, query in reversed(tables):
        read = (names & set(_QUOTED.findall(query))) - {name}
        found.append(tuple(sorted(read - waiting)))
        waiting |= read
    return found[::-1]
