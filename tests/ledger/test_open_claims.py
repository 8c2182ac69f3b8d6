"""PostgreSQL, SKIP LOCKED: a claim whose transaction is open keeps no other worker waiting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fhir_adapter.ledger import Ledger
from fhir_adapter.ledger.changes import SECOND
from fhir_adapter.model.decision import Decision, Outcome
from tests.ledger.conftest import Place, StandingClock
from tests.servers.postgres_for_tests import PASSWORD, Postgres
from tests.writeback.proposals import propose

T = 1_800_000_000 * SECOND
TWO = ("p", "q")


def two_changed(ledger: Ledger) -> Callable[[], list[str]]:
    for second, patient in enumerate(TWO):
        ledger.changed.mark_changed(patient, "poll", T + second)
    return lambda: [one.patient for one in ledger.changed.claim("second", T + 60 * SECOND, 1)]


def two_in_the_outbox(ledger: Ledger) -> Callable[[], list[str]]:
    for patient in TWO:
        decision = Decision(
            patient=patient, study="s", study_version="1", as_of=1, outcome=Outcome.CANDIDATE
        )
        made = replace(propose(), key=patient, patient=patient)
        ledger.record_decision(decision, run="r", listed=True, proposal=made)
    return lambda: [one.proposal.patient for one in ledger.outbox.take("second")]


@pytest.mark.servers
@pytest.mark.untraced
@pytest.mark.parametrize(
    ("table", "two"), [("changed", two_changed), ("outbox", two_in_the_outbox)]
)
def test_a_second_worker_waits_for_no_open_claim_and_gets_another_patient(
    server: Postgres,
    clock: StandingClock,
    table: str,
    two: Callable[[Ledger], Callable[[], list[str]]],
) -> None:
    name = server.new_database()
    place = Place(address=server.address(name), password=PASSWORD, server=server, database=name)
    ledger = place.open(clock)
    claim = two(ledger)
    # the pool outside: where the second does wait, the end of the first lets it go
    with ThreadPoolExecutor(1) as pool:
        first = f"SELECT patient FROM {table} WHERE patient = 'p' FOR UPDATE"
        with server.held(name, first) as held:
            second = pool.submit(claim).result(10)
        assert (held, second) == ([("p",)], ["q"])
        assert claim() == ["p"], "the first was rolled back"
    ledger.close()
