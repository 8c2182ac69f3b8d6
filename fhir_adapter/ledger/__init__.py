"""Durable state: decisions, what was written for whom, people's answers and declines, audit.

SQLite with write-ahead log; the only room with SQLAlchemy and alembic. Every call is one
transaction, so a process that is killed loses nothing and doubles nothing. Errors and log lines
never hold a parameter of a statement.
"""

from __future__ import annotations

from fhir_adapter.ledger.ledger import Ledger, open_ledger
from fhir_adapter.ledger.rows import (
    LedgerCounts,
    Remembered,
    StoredCard,
    StoredDecision,
    StoredDismissal,
    StoredSubject,
    SubjectState,
)
from fhir_adapter.ledger.tables import LEDGER_SCHEMA

__all__ = [
    "LEDGER_SCHEMA",
    "Ledger",
    "LedgerCounts",
    "Remembered",
    "StoredCard",
    "StoredDecision",
    "StoredDismissal",
    "StoredSubject",
    "SubjectState",
    "open_ledger",
]
