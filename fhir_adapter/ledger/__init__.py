"""Durable state: changed patients, decisions, the outbox, people's answers and declines, audit.

SQLite with write-ahead log, or PostgreSQL; the only room with SQLAlchemy and alembic. Every call is
one transaction, so a process that is killed loses nothing and doubles nothing. Errors and log lines
never hold a parameter of a statement.
"""

from __future__ import annotations

from fhir_adapter.ledger.changes import ChangedPatient, ChangedPatients, Mark
from fhir_adapter.ledger.inputs import Basis, Judged, unpacked
from fhir_adapter.ledger.ledger import Ledger, open_ledger
from fhir_adapter.ledger.outbox import Outbox, OutboxCounts, Outgoing
from fhir_adapter.ledger.retention import Access, AccessReport, Purged, Retention
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
from fhir_adapter.ledger.workers import at_work, worker_of

__all__ = [
    "LEDGER_SCHEMA",
    "Access",
    "AccessReport",
    "Basis",
    "ChangedPatient",
    "ChangedPatients",
    "Judged",
    "Ledger",
    "LedgerCounts",
    "Mark",
    "Outbox",
    "OutboxCounts",
    "Outgoing",
    "Purged",
    "Remembered",
    "Retention",
    "StoredCard",
    "StoredDecision",
    "StoredDismissal",
    "StoredSubject",
    "SubjectState",
    "at_work",
    "open_ledger",
    "unpacked",
    "worker_of",
]
