"""Where SQLite and PostgreSQL differ; everything else of the ledger is said once for both.

``FOR UPDATE SKIP LOCKED`` is said in the statements themselves: SQLite, which has one writer at a
time, leaves it out by itself.
"""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.dialects import postgresql, sqlite

Insert: TypeAlias = postgresql.Insert | sqlite.Insert

_OPENING = 7_305_198_223_114_906
"""Any number: who brings the schema up holds the advisory lock of this one."""


def is_postgres(engine: Engine | Connection) -> bool:
    """Whether rows are locked one by one; SQLite locks the file."""
    return engine.dialect.name == "postgresql"


def insert(engine: Engine | Connection, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT, of the right dialect."""
    return postgresql.insert(table) if is_postgres(engine) else sqlite.insert(table)


def one_at_a_time(connection: Connection) -> None:
    """Until the transaction ends nobody else opens the ledger; SQLite's BEGIN IMMEDIATE does it."""
    if is_postgres(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _OPENING})


def first_statements(engine: Engine) -> tuple[str, ...]:
    """What every new connection is told."""
    if is_postgres(engine):
        return ("SET lock_timeout = '30s'", "SET client_min_messages = 'warning'")
    return ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON")
