"""The tables of the ledger as they are now; migrations/ leads to them from any earlier schema.

Times are instants: microseconds since 1970-01-01T00:00Z.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

LEDGER_SCHEMA = 3
"""Number of the newest migration; a ledger with a higher one is refused by name."""

METADATA = MetaData()

SCHEMA_INFO = Table("schema_info", METADATA, Column("number", Integer, primary_key=True))
"""One row per migration that ran; the highest number counts."""

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("study", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("study_version", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("outcome_fingerprint", String, nullable=False),
    Column("alert_fingerprint", String, nullable=False),
    Column("study_hash", String, nullable=False),
    Column("basis_hash", String, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("body", Text),
    UniqueConstraint("run", "patient", "study", "attempt", "as_of", name="one_decision_per_run"),
    Index("decisions_of_patient", "patient", "study", "id"),
)
"""Append-only: no method changes a row. ``body`` is kept for listed patients only."""

SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("key", String, primary_key=True),
    Column("patient", String, nullable=False),
    Column("study", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reference", String, nullable=False),
    Column("status", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("state", String, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("subjects_of_patient", "patient", "study"),
)
"""What we last wrote: the memory that tells a person's deletion from a proposal never made."""

ANSWERS = Table(
    "answers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("study", String, nullable=False),
    Column("question", String, nullable=False),
    Column("value", String, nullable=False),
    Column("who", String, nullable=False),
    Column("role", String, nullable=False),
    Column("document", String, nullable=False),
    Column("given_at", BigInteger, nullable=False),
    Column("facts_schema", Integer, nullable=False),
    Column("fact", Text, nullable=False),
    UniqueConstraint(
        "kind", "patient", "study", "question", "value", "who", "given_at", name="answer_once"
    ),
    Index("answers_of_patient", "study", "patient"),
    Index("answers_by_patient", "patient", "study"),
)
"""Given by people, never changed: a newer answer is a newer row."""

DECLINES = Table(
    "declines",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("patient", String, nullable=False),
    Column("study", String, nullable=False),
    Column("who", String, nullable=False),
    Column("role", String, nullable=False),
    Column("declined_at", BigInteger, nullable=False),
    UniqueConstraint("patient", "study", name="declined_once"),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String, nullable=False),
    Column("what", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("purpose", String, nullable=False),
    Index("audit_of_patient", "patient"),
)

CARDS = Table(
    "cards",
    METADATA,
    Column("card", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("encounter", String, nullable=False),
    Column("who", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("shown_at", BigInteger, nullable=False),
    Index("cards_of_patient", "patient", "study"),
)
"""Alerts that a person was shown; ``card`` is the id by which feedback names one."""

DISMISSALS = Table(
    "dismissals",
    METADATA,
    Column("card", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("who", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("dismissed_at", BigInteger, nullable=False),
    Index("dismissals_of_patient", "patient", "study"),
)
"""One per card: feedback that comes twice changes nothing."""

ACCEPTANCES = Table(
    "acceptances",
    METADATA,
    Column("card", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("who", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Index("acceptances_of_patient", "patient", "study"),
)
"""Cards of which the client said that they were accepted; one row per card, it silences nothing."""

USED_TOKENS = Table(
    "used_tokens",
    METADATA,
    Column("issuer", String, primary_key=True),
    Column("token", String, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)
"""Tokens that were presented once, kept until they expire: workers share it, restarts too."""
