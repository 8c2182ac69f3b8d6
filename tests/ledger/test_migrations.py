"""Every migration goes up and one step back with rows in place, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger import LEDGER_SCHEMA, Ledger
from fhir_adapter.ledger.address import url_of, with_password
from fhir_adapter.ledger.database import _config
from fhir_adapter.ledger.tables import METADATA
from tests.ledger.conftest import Place, StandingClock

_DECISION = (
    "INSERT INTO decisions (run, patient, study, attempt, as_of, recorded_at, study_version,"
    " outcome, outcome_fingerprint, alert_fingerprint, study_hash, basis_hash, listed, body)"
    " VALUES ('r', 'p', 's', 1, 7, 8, '1', 'candidate', 'o', 'a', 'h', 'b', true, '{}')"
)
_OUTGOING = (
    "INSERT INTO outbox VALUES (1, 'k', 'r', 'p', 's', 'o', 'waiting', '{}', 1, 1, 0, 0, '', '', 0)"
)
ROWS = {
    "0001": (
        _DECISION,
        "INSERT INTO subjects VALUES ('k', 'p', 's', 1, 'R/1', 'candidate', 'o', 'proposed', 9)",
        "INSERT INTO answers VALUES (1, 'a', 'p', 's', 'q', 'yes', 'w', 'r', '', 1, 1, '{}')",
        "INSERT INTO declines VALUES (1, 'p', 's', 'w', 'r', 1)",
        "INSERT INTO audit (at, who, what, patient, purpose) VALUES (1, 'w', 'read', 'p', 'x')",
    ),
    "0002": (
        "INSERT INTO cards VALUES ('c/s', 's', 'p', 'e', 'w', 'f', 1)",
        "INSERT INTO dismissals VALUES ('c/s', 's', 'p', 'w', 'f', 'declined', 1)",
        "INSERT INTO used_tokens VALUES ('iss', 't', 1)",
    ),
    "0003": ("INSERT INTO acceptances VALUES ('c/s', 's', 'p', 'w', 'f', 1)",),
    "0004": (
        "INSERT INTO inputs VALUES ('d', 'p', '', 1)",
        "INSERT INTO counters VALUES ('changed', 4)",
        "INSERT INTO changed VALUES ('p', 4, 'poll', 1, 1, 1, 0, '', '', 0)",
        _OUTGOING,
        "INSERT INTO cursors VALUES ('poll', '7', 1)",
    ),
}
"""What a ledger of that schema may hold, beside what the ones before may."""
REVISIONS = tuple(ROWS)


def engine_of(place: Place) -> Engine:
    url = with_password(url_of(place.address), place.password)
    how = {} if place.server is None else {"connect_args": {"ssl_context": False}}
    return create_engine(url, **how)


def migrate(place: Place, to: str, *, up: bool) -> None:
    engine = engine_of(place)
    with engine.begin() as connection:
        (command.upgrade if up else command.downgrade)(_config(connection), to)
    engine.dispose()


def count(place: Place, table: str) -> Any:
    return place.execute(f"SELECT count(*) FROM {table}")[0][0]


def fill(place: Place, revision: str) -> dict[str, int]:
    """Rows of this schema and of all before; table -> how many."""
    for number in REVISIONS[: REVISIONS.index(revision) + 1]:
        for statement in ROWS[number]:
            place.execute(statement)
    there = REVISIONS[: REVISIONS.index(revision) + 1]
    tables = [line.split("INTO ")[1].split()[0] for one in there for line in ROWS[one]]
    return {table: count(place, table) for table in tables}


def test_there_are_rows_for_every_migration() -> None:
    assert int(REVISIONS[-1]) == len(REVISIONS) == LEDGER_SCHEMA


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_migration_goes_up_one_step_back_and_up_again_and_keeps_what_was_there(
    place: Place, revision: str, clock: StandingClock
) -> None:
    before = REVISIONS[: REVISIONS.index(revision)]
    held: dict[str, int] = {}
    if before:
        migrate(place, before[-1], up=True)
        held = fill(place, before[-1])
    migrate(place, revision, up=True)
    for statement in ROWS[revision]:
        place.execute(statement)

    migrate(place, before[-1] if before else "base", up=False)

    assert {table: count(place, table) for table in held} == held
    if before:
        assert count(place, "schema_info") == len(before)
    ledger = place.open(clock)
    assert ledger.status().schema == LEDGER_SCHEMA
    ledger.close()
    assert {table: count(place, table) for table in held} == held


def test_the_migrations_lead_to_the_tables_that_the_code_uses(ledger: Ledger, place: Place) -> None:
    engine = engine_of(place)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()
    assert differences == []


def test_what_schema_3_recorded_is_read_and_has_nothing_to_be_made_again_from(
    place: Place, clock: StandingClock
) -> None:
    migrate(place, "0003", up=True)
    fill(place, "0003")
    ledger = place.open(clock)
    stored = ledger.last_decision("p", "s")
    ledger.close()
    assert stored is not None
    assert (stored.body, stored.on, stored.record) == (b"{}", None, None)


def test_a_ledger_of_a_newer_schema_is_refused_by_name(
    ledger: Ledger, place: Place, clock: StandingClock
) -> None:
    place.execute(f"INSERT INTO schema_info VALUES ({LEDGER_SCHEMA + 1})")
    with pytest.raises(SettingInvalid, match=f"ledger-newer: .* schema {LEDGER_SCHEMA + 1}"):
        place.open(clock)


def test_a_database_of_somebody_else_is_refused_and_left_alone(
    place: Place, clock: StandingClock
) -> None:
    place.execute("CREATE TABLE shopping (item TEXT)")
    with pytest.raises(SettingInvalid, match="ledger-foreign"):
        place.open(clock)
    assert count(place, "shopping") == 0


@pytest.mark.parametrize(
    "statement", ["UPDATE decisions SET outcome = 'not-now'", "DELETE FROM decisions"]
)
def test_the_database_itself_refuses_to_change_a_decision(
    ledger: Ledger, place: Place, statement: str
) -> None:
    place.execute(_DECISION)
    with pytest.raises(Exception, match="append-only"):
        place.execute(statement)
    assert place.execute("SELECT outcome FROM decisions") in ([("candidate",)], [["candidate"]])
