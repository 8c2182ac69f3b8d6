"""How alembic runs a migration here: on the connection and in the transaction it is given."""

from __future__ import annotations

from alembic import context

from fhir_adapter.ledger.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
