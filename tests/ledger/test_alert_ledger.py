"""Cards, dismissals and used tokens; and the way from schema 1 and back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.ledger.database import _config
from tests.ledger.conftest import StandingClock


def show(ledger: Ledger, card: str = "u/S", patient: str = "p") -> None:
    ledger.alerts.remember_card(
        card=card, study="S", patient=patient, encounter="e", who="w", fingerprint="f"
    )


def test_cards_are_found_by_their_uuid_and_by_patient(ledger: Ledger) -> None:
    show(ledger)
    show(ledger, "u/T")
    show(ledger, "u%/S", patient="q")
    assert [one.card for one in ledger.alerts.cards("u/")] == ["u/S", "u/T"]
    assert ledger.alerts.cards("u_") == (), "no wildcard of the database counts"
    assert len(ledger.alerts.cards_of("S", ["p", "old id"])) == 2
    assert ledger.alerts.cards_of("other", ["p"]) == ()


def test_a_dismissal_is_kept_once(ledger: Ledger) -> None:
    show(ledger)
    (card,) = ledger.alerts.cards("u/")
    assert ledger.alerts.dismiss(card, reason="declined")
    assert not ledger.alerts.dismiss(card, reason="not-now")
    (found,) = ledger.alerts.dismissals_of("S", ["p"])
    assert (found.reason, found.fingerprint, found.who) == ("declined", "f", "w")


def test_a_token_is_used_once_and_forgotten_when_it_is_over(
    ledger: Ledger, clock: StandingClock
) -> None:
    later = 2**60
    assert ledger.alerts.use_token("iss", "t", expires_at=later)
    assert not ledger.alerts.use_token("iss", "t", expires_at=later)
    assert ledger.alerts.use_token("other", "t", expires_at=later)
    assert ledger.alerts.use_token("iss", "old", expires_at=1)
    assert ledger.alerts.use_token("iss", "old", expires_at=1), "an expired one is no replay"


def test_one_step_back_and_up_again_keeps_what_schema_1_held(
    path: Path, clock: StandingClock
) -> None:
    first = open_ledger(path, clock)
    first.decline(patient="p", study="S", who="n", role="coordinator")
    show(first)
    first.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        command.downgrade(_config(connection), "0001")
    engine.dispose()
    database = sqlite3.connect(path)
    names = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    numbers = [row[0] for row in database.execute("SELECT number FROM schema_info")]
    database.close()
    assert "cards" not in names
    assert numbers == [1]
    second = open_ledger(path, clock)
    assert second.declined("S", ["p"]) == {"p"}
    assert second.alerts.cards("u/") == ()
    show(second)
    second.close()
