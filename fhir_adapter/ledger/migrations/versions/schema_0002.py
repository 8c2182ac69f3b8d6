"""Schema 2: cards shown, dismissals, tokens already used by clients of the hook."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three tables more."""
    op.create_table(
        "cards",
        sa.Column("card", sa.String, primary_key=True),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("encounter", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("shown_at", sa.BigInteger, nullable=False),
    )
    op.create_index("cards_of_patient", "cards", ["study", "patient"])
    op.create_table(
        "dismissals",
        sa.Column("card", sa.String, primary_key=True),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("dismissed_at", sa.BigInteger, nullable=False),
    )
    op.create_index("dismissals_of_patient", "dismissals", ["study", "patient"])
    op.create_table(
        "used_tokens",
        sa.Column("issuer", sa.String, primary_key=True),
        sa.Column("token", sa.String, primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO schema_info (number) VALUES (2)")


def downgrade() -> None:
    """Back to schema 1: cards, dismissals and used tokens are forgotten."""
    op.drop_table("used_tokens")
    op.drop_table("dismissals")
    op.drop_table("cards")
    op.execute("DELETE FROM schema_info WHERE number = 2")
