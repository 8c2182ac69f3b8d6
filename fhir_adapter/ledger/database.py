"""The database behind the ledger: opened, guarded, brought to the present schema.

kill -9 safety: every call is one transaction. SQLite: write-ahead log, ``synchronous=FULL``, and
whoever writes begins IMMEDIATE, so that two processes queue for the lock instead of failing
half-way. PostgreSQL: its own log, and row locks.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger.address import connecting, url_of, with_password
from fhir_adapter.ledger.dialect import first_statements, one_at_a_time
from fhir_adapter.ledger.tables import LEDGER_SCHEMA, SCHEMA_INFO

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_SECONDS = 30
_DATABASE_REMEDY = (
    "Check the ledger setting; of a file the free space and the rights of its folder, of a "
    "database that it runs, takes this account and speaks TLS as the address says."
)


def open_engine(address: str, *, password: str = "") -> Engine:
    """The engine of an address (ledger/address.py) at today's schema; a file is made (0600)."""
    url = url_of(address)
    engine = _file(url) if url.drivername == "sqlite" else _database(with_password(url, password))
    _tell(engine)
    try:
        with transaction(engine) as connection:
            _bring_up(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


_READS = "fhir_adapter_reads"


def reading(engine: Engine) -> AbstractContextManager[Connection]:
    """One moment of the ledger, read without waiting for whoever writes."""
    return transaction(engine.execution_options(**{_READS: True}))


@contextmanager
def transaction(engine: Engine) -> Generator[Connection]:
    """One transaction; a database error comes out as ours, without statement and parameters."""
    try:
        with engine.begin() as connection:
            yield connection
    except (SQLAlchemyError, OSError) as error:
        raise SettingInvalid(
            f"ledger-fault: the ledger could not be used ({type(error).__name__})",
            where="ledger",
            remedy=_DATABASE_REMEDY,
        ) from None


def _file(url: URL) -> Engine:
    _make_file(Path(str(url.database)))
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _LOCK_SECONDS}, pool_size=8
    )
    event.listen(engine, "begin", _on_begin)
    return engine


def _database(url: URL) -> Engine:
    how = connecting(url)
    try:
        return create_engine(
            url.set(query={}),
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=8,
            connect_args=how,
        )
    except ModuleNotFoundError:
        raise SettingInvalid(
            "ledger-fault: the driver for PostgreSQL is not installed",
            where="ledger",
            remedy="pip install 'fhir-adapter[postgres]'",
        ) from None


def _tell(engine: Engine) -> None:
    """Each new connection hears first what its dialect needs; we begin transactions ourselves."""
    first = first_statements(engine)

    def on_connect(connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.isolation_level = None
        with closing(connection.cursor()) as cursor:
            for statement in first:
                cursor.execute(statement)
        connection.commit()

    event.listen(engine, "connect", on_connect)


def _make_file(path: Path) -> None:
    """Created for its owner only; SQLite gives its -wal and -shm files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise SettingInvalid(
            f"ledger-fault: the ledger's file cannot be made ({type(error).__name__})",
            where="ledger",
            remedy="Create its folder and give this account the right to write there.",
        ) from None


def _on_begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _bring_up(connection: Connection) -> None:
    one_at_a_time(connection)
    number = _schema_of(connection)
    if number > LEDGER_SCHEMA:
        raise SettingInvalid(
            f"ledger-newer: the ledger has schema {number}, this version reads up to"
            f" {LEDGER_SCHEMA}",
            where="ledger",
            remedy="Install the fhir-adapter that wrote it, or a newer one.",
        )
    if number < LEDGER_SCHEMA:
        command.upgrade(_config(connection), "head")


def _schema_of(connection: Connection) -> int:
    """0 for an empty database; one with other tables is not a ledger."""
    names = set(inspect(connection).get_table_names())
    if names <= {"alembic_version"}:
        return 0
    if SCHEMA_INFO.name in names:
        return int(connection.scalar(select(func.max(SCHEMA_INFO.c.number))) or 0)
    raise SettingInvalid(
        "ledger-foreign: the database is there and is not a ledger",
        where="ledger",
        remedy="Name another one: this one is left as it is.",
    )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
