"""Cards, dismissals and used tokens."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fhir_adapter.ledger import Ledger, StoredCard, open_ledger
from fhir_adapter.model.code import Code
from fhir_adapter.model.vocabulary import YES
from tests.ledger.conftest import StandingClock


def show(ledger: Ledger, card: str = "u/S", patient: str = "p") -> None:
    row = StoredCard(
        card=card, study="S", patient=patient, encounter="e", who="w", fingerprint="f",
        shown_at=ledger.alerts.now(),
    )  # fmt: skip
    ledger.alerts.remember_cards([row])


def test_cards_are_found_by_their_uuid_and_by_patient(ledger: Ledger) -> None:
    show(ledger)
    show(ledger, "u/T")
    show(ledger, "u%/S", patient="q")
    assert [one.card for one in ledger.alerts.cards("u/")] == ["u/S", "u/T"]
    assert ledger.alerts.cards("u_") == (), "no wildcard of the database counts"
    assert len(ledger.alerts.remembered(["p", "old id"], "e").cards) == 2
    assert ledger.alerts.remembered(["nobody"], "e").cards == ()
    assert ledger.alerts.remembered(["p"], "another").cards == ()
    assert ledger.alerts.remembered(["p"], "").cards == (), "no encounter is known"


def test_what_the_hook_needs_of_a_patient_is_read_at_once(ledger: Ledger) -> None:
    ledger.decline(patients=["p"], study="T", who="n", role="coordinator")
    ledger.add_answer(patient="old id", study="S", question=Code("q", "q"), value=YES, who="n",
                      role="coordinator")  # fmt: skip
    show(ledger)
    (card,) = ledger.alerts.cards("u/")
    ledger.alerts.dismiss(card, reason="declined")
    found = ledger.alerts.remembered(["p", "old id"], "e")
    assert (found.answered, found.declined) == ({"S"}, {"T"})
    assert [one.card for one in (*found.cards, *found.dismissals)] == ["u/S", "u/S"]
    assert ledger.alerts.remembered(["q"], "e").answered == frozenset()


def test_reading_does_not_wait_for_who_writes(path: Path, clock: StandingClock) -> None:
    ledger = open_ledger(path, clock)
    show(ledger)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert len(ledger.alerts.remembered(["p"], "e").cards) == 1
    writer.execute("ROLLBACK")
    writer.close()
    ledger.close()


def test_an_acceptance_is_kept_once_and_is_no_dismissal(ledger: Ledger) -> None:
    show(ledger)
    (card,) = ledger.alerts.cards("u/")
    assert ledger.alerts.accept(card)
    assert not ledger.alerts.accept(card)
    (found,) = ledger.alerts.acceptances("u/")
    assert (found.study, found.patient, found.who, found.fingerprint) == ("S", "p", "w", "f")
    assert ledger.alerts.remembered(["p"], "e").dismissals == ()


def test_a_dismissal_is_kept_once(ledger: Ledger) -> None:
    show(ledger)
    (card,) = ledger.alerts.cards("u/")
    assert ledger.alerts.dismiss(card, reason="declined")
    assert not ledger.alerts.dismiss(card, reason="not-now")
    (found,) = ledger.alerts.remembered(["p"], "e").dismissals
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
