"""The file behind the ledger: opened, guarded, brought to the present schema.

kill -9 safety: write-ahead log, ``synchronous=FULL``, and every call that writes a transaction
that begins IMMEDIATE, so that two processes queue for the lock instead of failing half-way.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from sqlite3 import Connection as DbapiConnection

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger.tables import LEDGER_SCHEMA, SCHEMA_INFO

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_SECONDS = 30
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_DATABASE_REMEDY = "Check the ledger setting, the free space and the rights of the folder."


def open_engine(address: str) -> Engine:
    """The engine of a ``sqlite:///`` address, its file made (mode 0600) and at today's schema."""
    url = _url(address)
    _make_file(Path(str(url.database)))
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _LOCK_SECONDS}, pool_size=8
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
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
    except SQLAlchemyError as error:
        raise SettingInvalid(
            f"ledger-fault: the ledger could not be used ({type(error).__name__})",
            where="ledger",
            remedy=_DATABASE_REMEDY,
        ) from None


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        url = URL.create("unreadable")
    usable = url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}
    if not usable:
        raise SettingInvalid(
            "ledger-fault: the ledger's address is not one of a SQLite file",
            where="ledger",
            remedy="Write it as sqlite:///folder/ledger.sqlite.",
        )
    return url


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


def _on_connect(connection: DbapiConnection, _record: object) -> None:
    connection.isolation_level = None
    with closing(connection.cursor()) as cursor:
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")


def _on_begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _bring_up(connection: Connection) -> None:
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
    """0 for an empty file; a file with other tables is not a ledger."""
    names = inspect(connection).get_table_names()
    if not names:
        return 0
    if SCHEMA_INFO.name in names:
        return int(connection.scalar(select(func.max(SCHEMA_INFO.c.number))) or 0)
    raise SettingInvalid(
        "ledger-foreign: the file is a database but not a ledger",
        where="ledger",
        remedy="Name another file: this one is left as it is.",
    )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
