"""Schema 1: decisions, subjects, answers, declines, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All tables of the first schema."""
    numbers = op.create_table("schema_info", sa.Column("number", sa.Integer, primary_key=True))
    op.bulk_insert(numbers, [{"number": 1}])
    _decisions()
    _subjects()
    _answers()
    _declines()
    _audit()


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("as_of", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("study_version", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("outcome_fingerprint", sa.String, nullable=False),
        sa.Column("alert_fingerprint", sa.String, nullable=False),
        sa.Column("study_hash", sa.String, nullable=False),
        sa.Column("basis_hash", sa.String, nullable=False),
        sa.Column("listed", sa.Boolean, nullable=False),
        sa.Column("body", sa.Text),
        sa.UniqueConstraint(
            "run", "patient", "study", "attempt", "as_of", name="one_decision_per_run"
        ),
    )
    op.create_index("decisions_of_patient", "decisions", ["patient", "study", "id"])


def _subjects() -> None:
    op.create_table(
        "subjects",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reference", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_index("subjects_of_patient", "subjects", ["patient", "study"])


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("question", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("document", sa.String, nullable=False),
        sa.Column("given_at", sa.BigInteger, nullable=False),
        sa.Column("facts_schema", sa.Integer, nullable=False),
        sa.Column("fact", sa.Text, nullable=False),
        sa.UniqueConstraint(
            "kind", "patient", "study", "question", "value", "who", "given_at", name="answer_once"
        ),
    )
    op.create_index("answers_of_patient", "answers", ["study", "patient"])


def _declines() -> None:
    op.create_table(
        "declines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("declined_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("patient", "study", name="declined_once"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
    )
    op.create_index("audit_of_patient", "audit", ["patient"])


def downgrade() -> None:
    """Back to an empty database."""
    for table in ("audit", "declines", "answers", "subjects", "decisions", "schema_info"):
        op.drop_table(table)
