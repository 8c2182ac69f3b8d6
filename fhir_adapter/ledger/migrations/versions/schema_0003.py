"""Schema 3: accepted cards; what the hook reads of one patient is found by patient."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TURNED = ("cards", "dismissals")
"""Tables whose index began with the study."""


def upgrade() -> None:
    """One table more, and indexes that begin with the patient."""
    op.create_table(
        "acceptances",
        sa.Column("card", sa.String, primary_key=True),
        sa.Column("study", sa.String, nullable=False),
        sa.Column("patient", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("accepted_at", sa.BigInteger, nullable=False),
    )
    op.create_index("acceptances_of_patient", "acceptances", ["patient", "study"])
    op.create_index("answers_by_patient", "answers", ["patient", "study"])
    for table in _TURNED:
        op.drop_index(f"{table}_of_patient", table_name=table)
        op.create_index(f"{table}_of_patient", table, ["patient", "study"])
    op.execute("INSERT INTO schema_info (number) VALUES (3)")


def downgrade() -> None:
    """Back to schema 2: which cards were accepted is forgotten."""
    for table in _TURNED:
        op.drop_index(f"{table}_of_patient", table_name=table)
        op.create_index(f"{table}_of_patient", table, ["study", "patient"])
    op.drop_index("answers_by_patient", table_name="answers")
    op.drop_table("acceptances")
    op.execute("DELETE FROM schema_info WHERE number = 3")
