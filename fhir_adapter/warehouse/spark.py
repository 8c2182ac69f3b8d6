"""Spark: the cohort lane where a network's tables outgrow one machine, or lie with a cluster.

Any session will do: a cluster's or Sail's by Spark Connect, or one in this process. The statement's
common tables are made one after the other, as in DuckDB; each comes to this process as Arrow and
goes back as a temporary view (docs/decisions/0004-spark.md says why). pyspark, an extra, is
imported when a session is asked for.

Errors of Spark quote values of patients; they are wrapped, and only the kind of failure is said.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from fhir_adapter.errors import ServerUnreachable, SettingInvalid, WarehouseFault
from fhir_adapter.ports import Moment, Statements
from fhir_adapter.warehouse.arrow import Table
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.engine import Printer, input_tables, moment_table
from fhir_adapter.warehouse.rows import SCHEMAS

Session = Any
"""A pyspark session; pyspark is an extra, and nothing of it is imported for its types."""

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # what overflows is an error, never NULL
}
_PRINTER = Printer("spark")
_PORT = 15002
_REMOTE = re.compile(r"sc://(?P<host>\[[^]/]+\]|[^:/;]+)(:(?P<port>\d+))?(/.*)?")
_ANSWER_SECONDS = 10


class SparkEngine:
    """One Spark session with the tables of one run."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._views: dict[str, None] = {}
        for name, value in SETTINGS.items():
            session.conf.set(name, value)

    def tables(self, tables: Mapping[str, Table]) -> None:
        """Fact tables that are in memory."""
        for name, table in tables.items():
            self._put(name, table)

    def files(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Fact tables that are Parquet files: any address that the session can read."""
        for name, found in paths.items():
            schema = _schema(SCHEMAS[name])
            self._view(name, self._session.read.schema(schema).parquet(*found))

    def moments(self, moments: Iterable[Moment]) -> None:
        """Which patients are judged, and as of when."""
        self._put("moment", moment_table(moments))

    def run(self, statements: Statements, dictionary: Dictionary) -> list[Table]:
        """Of each study one row per patient, in the columns of evaluate/cohort/statement.py."""
        tables, finals = _PRINTER.printed(statements)
        try:
            self.tables(input_tables(statements, dictionary))
            for name, query in tables:
                self._put(name, self._session.sql(query).toArrow())
            return [self._session.sql(last).toArrow() for last in finals]
        except Exception as error:  # noqa: BLE001 - of pyspark, gRPC, py4j: all quote values
            raise WarehouseFault(
                f"Spark could not run the statement ({_kind(error)})",
                where="cohort lane",
                remedy="See the log of the Spark server; else report it with the run id.",
            ) from None
        finally:
            self._drop([name for name, _ in tables])

    def close(self) -> None:
        """Take the views of this run away; the session is whoever's it was."""
        self._drop(list(self._views))

    def _put(self, name: str, table: Table) -> None:
        schema = _schema(table.schema)  # none is inferred of a table without rows
        self._view(name, self._session.createDataFrame(table, schema))

    def _view(self, name: str, frame: Any) -> None:
        frame.createOrReplaceTempView(name)
        self._views[name] = None

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._views:
                del self._views[name]
                self._session.catalog.dropTempView(name)


def connect(remote: str) -> Session:
    """A session with ``sc://host:port`` (Spark Connect), or ``local[*]`` in this process.

    SettingInvalid where the extra is not installed or the address is none; ServerUnreachable where
    nobody answers there.
    """
    try:
        sql: Any = import_module("pyspark.sql")
    except ImportError:
        raise SettingInvalid(
            "Spark's client is not installed",
            where="--engine spark",
            remedy="Install it: pip install 'fhir-adapter[spark]' (pyspark itself for local[*]).",
        ) from None
    builder: Any = sql.SparkSession.builder
    over_network = remote.startswith("sc:")
    if over_network:
        _hold_reachable(remote)
    try:
        named = builder.remote(remote) if over_network else builder.master(remote)
        session = named.getOrCreate()
        session.sql("SELECT 1").collect()
    except Exception as error:  # noqa: BLE001 - of pyspark, gRPC, py4j, Java
        raise ServerUnreachable(
            f"no Spark session could be opened ({_kind(error)})",
            where="spark_remote",
            remedy="Check the address and that server's log; local[*] needs pyspark and Java 17.",
        ) from None
    return session


def _hold_reachable(remote: str) -> None:
    """Spark's own client tries for minutes before it says that nobody is there."""
    found = _REMOTE.fullmatch(remote)
    if found is None:
        raise SettingInvalid(
            "the address of the Spark server cannot be read",
            where="spark_remote",
            remedy="Write sc://host:port, as the Spark Connect server prints it.",
        )
    address = found["host"].strip("[]"), int(found["port"] or _PORT)
    try:
        socket.create_connection(address, timeout=_ANSWER_SECONDS).close()
    except OSError:
        raise ServerUnreachable(
            "no Spark Connect server answers at that address",
            where="spark_remote",
            remedy="Start it, or mend spark_remote (sc://host:port).",
        ) from None


def _schema(arrow: Any) -> Any:
    types: Any = import_module("pyspark.sql.pandas.types")
    return types.from_arrow_schema(arrow)


def _kind(error: Exception) -> str:
    """The class of an error, and Spark's own name for it: neither holds a value."""
    condition = getattr(error, "getCondition", lambda: None)()
    return f"{type(error).__name__}, {condition}" if condition else type(error).__name__
