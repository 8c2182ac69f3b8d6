"""Killed after any write and run again: everything stands once, and a take-back still works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback import ServerSink
from tests.writeback.memory_server import Fault, MemoryServer
from tests.writeback.proposals import KEY, propose, take_back

WRITES = ("Device", "ResearchSubject", "GuidanceResponse", "Provenance")


def _killed() -> None:
    raise KeyboardInterrupt


def _on(_: int) -> Fault:
    return lambda: None


def _targets(server: MemoryServer) -> set[str]:
    named = [target for one in server.all("Provenance") for target in one["target"]]
    return {str(target["reference"]) for target in named}


def _reference(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


@pytest.mark.parametrize("nth", range(4), ids=WRITES)
def test_a_first_proposal_killed_after_any_write_is_finished_by_the_next_run(
    server: MemoryServer, ledger: Ledger, nth: int
) -> None:
    server.after["create"] = [*map(_on, range(nth)), _killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(propose(), write=True)

    ServerSink(server, ledger).send(propose(), write=True)

    assert [len(server.all(kind)) for kind in WRITES[:3]] == [1, 1, 1]
    ours = {_reference(server.only(kind)) for kind in WRITES[1:3]}
    assert ours <= _targets(server)
    before = server.writes
    ServerSink(server, ledger).send(propose(), write=True)
    assert server.writes == before
    assert ServerSink(server, ledger).send(take_back(), write=True).deleted


def test_an_opinion_killed_before_its_provenance_gets_one_from_the_next_run(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, ledger).send(_judged("f1", day=3), write=True)
    server.after["update"] = [_killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(_judged("f2", day=4), write=True)

    ServerSink(server, ledger).send(_judged("f2", day=5), write=True)

    assert len(server.all("Provenance")) == 2
    last = ledger.subject(KEY)
    assert last is not None
    assert last.fingerprint == "f2"
    before = server.writes
    ServerSink(server, ledger).send(_judged("f2", day=6), write=True)
    assert server.writes == before


def test_a_kill_after_the_provenance_does_not_double_it(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, ledger).send(_judged("f1", day=3), write=True)
    server.after["create"] = [_killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(_judged("f2", day=4), write=True)

    ServerSink(server, ledger).send(_judged("f2", day=5), write=True)

    assert len(server.all("Provenance")) == 2


def test_where_provenance_cannot_be_searched_nothing_is_added(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, None).send(propose(), write=True)
    server.no_search = frozenset(("Provenance",))
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert written.created == ()


def test_a_provenance_without_a_usable_time_covers_nothing_that_is_dated(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, None).send(_judged("f1", day=3), write=True)
    server.change("Provenance", recorded="lately")
    written = ServerSink(server, ledger).send(_judged("f1", day=4), write=True)
    assert [one.split("/")[0] for one in written.created] == ["Provenance"]


def _judged(fingerprint: str, *, day: int) -> Proposal:
    """A proposal of one run: its opinion and Provenance carry the time of that run."""
    made, when = propose(fingerprint), f"2026-11-{day:02}T00:00:00Z"
    assert made.opinion is not None
    assert made.provenance is not None
    return replace(
        made,
        opinion={**made.opinion, "occurrenceDateTime": when},
        provenance={**made.provenance, "recorded": when},
    )
