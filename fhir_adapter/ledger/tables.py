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
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

LEDGER_SCHEMA = 4
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
    Column("input", String),
    Column("mappings", String),
    Column("engine", String),
    Column("facts_schema", Integer),
    Column("basis", Boolean),
    Column("declined", Boolean),
    Column("opted_out", Boolean),
    UniqueConstraint("run", "patient", "study", "attempt", "as_of", name="one_decision_per_run"),
    Index("decisions_of_patient", "patient", "study", "id"),
)
"""Append-only, held by a trigger: only retention changes or removes rows. ``body`` and ``input``
(digest of the record that was judged) are kept for listed patients only; with what follows them a
decision can be made again. Empty where the row is of schema 3 or older."""

INPUTS = Table(
    "inputs",
    METADATA,
    Column("digest", String, primary_key=True),
    Column("patient", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
    Index("inputs_of_patient", "patient"),
)
"""Records as they were judged (canonical JSON, compressed), once for all decisions from them."""

RETENTION = Table("retention", METADATA, Column("run", Integer, primary_key=True))
"""A row stands here only inside a transaction of retention: the triggers let that one through."""

COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""Sequence numbers that never come twice, also of rows that are gone since."""

CHANGED = Table(
    "changed",
    METADATA,
    Column("patient", String, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", String, nullable=False),
    Column("worker", String, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Index("changed_due", "due_at", "sequence"),
)
"""One row per patient whose record may have changed, however often that was said."""

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False),
    Column("run", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("study", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("state", String, nullable=False),
    Column("body", Text),
    Column("added_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", String, nullable=False),
    Column("worker", String, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Index("outbox_of_key", "key", "state", "id"),
    Index("outbox_due", "state", "due_at", "id"),
    Index("outbox_of_patient", "patient"),
)
"""Proposals on their way: waiting, done (read back as sent), or superseded by a newer one of the
same key before anybody took it. The body goes when the state is no longer waiting."""

CURSORS = Table(
    "cursors",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""How far a poll has read."""

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
