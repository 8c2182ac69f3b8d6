"""Schema 4: changed patients, outbox, cursors, inputs of decisions; decisions are append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MORE = (
    ("input", sa.String),
    ("mappings", sa.String),
    ("engine", sa.String),
    ("facts_schema", sa.Integer),
    ("basis", sa.Boolean),
    ("declined", sa.Boolean),
    ("opted_out", sa.Boolean),
)


def upgrade() -> None:
    """Six tables more, what a decision needs to be made again, and the trigger."""
    for name, kind in _MORE:
        op.add_column("decisions", sa.Column(name, kind))
    op.create_table(
        "inputs",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
    )
    op.create_index("inputs_of_patient", "inputs", ["patient"])
    op.create_table("retention", sa.Column("run", sa.Integer, primary_key=True))
    op.create_table(
        "counters",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    _changed()
    _outbox()
    if op.get_bind().dialect.name == "postgresql":
        _guard_in_postgres()
    else:
        _guard_in_sqlite()
    op.execute("INSERT INTO schema_info (number) VALUES (4)")


def _changed() -> None:
    op.create_table(
        "changed",
        sa.Column("patient", sa.String, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("worker", sa.String, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
    )
    op.create_index("changed_due", "changed", ["due_at", "sequence"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.String, nullable=False),
        sa.Column("worker", sa.String, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
    )
    op.create_index("outbox_of_key", "outbox", ["key", "state", "id"])
    op.create_index("outbox_due", "outbox", ["state", "due_at", "id"])
    op.create_index("outbox_of_patient", "outbox", ["patient"])


def _guard_in_sqlite() -> None:
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER decisions_no_{what.lower()} BEFORE {what} ON decisions"  # noqa: S608 - words of ours
            " WHEN NOT EXISTS (SELECT 1 FROM retention)"
            " BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"
        )


def _guard_in_postgres() -> None:
    op.execute(
        "CREATE FUNCTION decisions_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NOT EXISTS (SELECT 1 FROM retention)"
        " THEN RAISE EXCEPTION 'decisions are append-only'; END IF;"
        " IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE ON decisions"
        " FOR EACH ROW EXECUTE FUNCTION decisions_append_only()"
    )


def downgrade() -> None:
    """Back to schema 3: queue, outbox, cursors and what replays decisions are forgotten."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER decisions_append_only ON decisions")
        op.execute("DROP FUNCTION decisions_append_only()")
    else:
        op.execute("DROP TRIGGER decisions_no_update")
        op.execute("DROP TRIGGER decisions_no_delete")
    for table in ("outbox", "changed", "cursors", "counters", "retention", "inputs"):
        op.drop_table(table)
    for name, _ in _MORE:
        op.drop_column("decisions", name)
    op.execute("DELETE FROM schema_info WHERE number = 4")
