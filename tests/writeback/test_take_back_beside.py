"""A take-back reaches every untouched proposal of the patient, whatever else stands beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback import ServerSink
from tests.writeback.memory_server import MemoryServer
from tests.writeback.proposals import KEY, KEY_SYSTEM, propose, subject, take_back


def put(server: MemoryServer, number: str, key: str = KEY, **elements: Any) -> Resource:
    """As the machine made it, with its Provenance."""
    identifier = [{"system": KEY_SYSTEM, "value": key}]
    made = server.put({**subject(identifier=identifier, **elements), "id": number})
    target = [{"reference": f"ResearchSubject/{number}"}]
    agent = [{"who": {"reference": "Device/d"}}]
    server.put({"resourceType": "Provenance", "id": f"p{number}", "target": target, "agent": agent})
    return made


def statuses(server: MemoryServer) -> dict[str, str]:
    return {one["id"]: one["status"] for one in server.all("ResearchSubject")}


def merged(*, opinion: bool = True) -> Proposal:
    """Of p1, who is p2 too."""
    found = replace(take_back(), patient_ids=("p1", "p2"))
    return found if opinion else replace(found, opinion=None)


def test_the_double_of_one_that_a_person_moved_on_is_taken_back(
    server: MemoryServer, ledger: Ledger
) -> None:
    put(server, "a", status="screening")
    put(server, "b")
    written = ServerSink(server, ledger).send(take_back(), write=True)
    assert statuses(server) == {"a": "screening", "b": "not-registered"}
    assert written.left_to_person
    before = server.writes
    ServerSink(server, ledger).send(take_back(), write=True)
    assert server.writes == before


def test_doubles_that_were_taken_back_are_one_proposal_again(
    server: MemoryServer, ledger: Ledger
) -> None:
    """The double is put away: with one row for both, its next status would look like a person's."""
    put(server, "a")
    put(server, "b")
    ServerSink(server, ledger).send(take_back(), write=True)
    assert statuses(server) == {"a": "ineligible", "b": "not-registered"}
    ServerSink(server, ledger).send(propose("f3"), write=True)
    assert statuses(server) == {"a": "candidate", "b": "not-registered"}


def test_another_id_of_the_patient_is_reached_without_a_ledger(server: MemoryServer) -> None:
    """The person's stays; each that is taken back gets a Provenance of its own."""
    put(server, "a", status="on-study")
    put(server, "b", "k2", individual={"reference": "Patient/p2"})
    put(server, "c", "k3", individual={"reference": "Patient/p2"})
    ServerSink(server, None).send(merged(opinion=False), write=True)
    assert statuses(server) == {"a": "on-study", "b": "ineligible", "c": "ineligible"}
    named = [one["target"][0]["reference"] for one in server.all("Provenance")]
    assert [named.count(f"ResearchSubject/{one}") for one in "abc"] == [1, 2, 2]


def test_a_dry_run_says_so_and_writes_nothing(server: MemoryServer) -> None:
    put(server, "a", status="screening")
    put(server, "b", "k2", individual={"reference": "Patient/p2"})
    written = ServerSink(server, None).send(merged(), write=False)
    assert "ResearchSubject/b" in written.updated
    assert server.writes == 0


def test_a_persons_is_remembered_under_the_key_that_it_carries(
    server: MemoryServer, ledger: Ledger
) -> None:
    put(server, "b", "k2", individual={"reference": "Patient/p2"}, status="screening")
    ServerSink(server, ledger).send(merged(), write=True)
    row = ledger.subject("k2")
    assert row is not None
    assert (row.reference, row.state) == ("ResearchSubject/b", "left-to-person")
    assert [one.key for one in ledger.subjects_of("s1", ["p2"])] == ["k2"]
    assert ledger.subject(KEY) is None


def test_what_an_older_version_remembered_of_another_key_binds_nobody(
    server: MemoryServer, ledger: Ledger
) -> None:
    """It wrote left-to-person under the key of the run, with what it saw of the other record."""
    put(server, "a")
    ledger.remember_subject(
        key=KEY,
        patient="p1",
        study="s1",
        reference="ResearchSubject/b",
        status="candidate",
        fingerprint="f1",
        state="left-to-person",
    )
    ServerSink(server, ledger).send(take_back(), write=True)
    assert statuses(server) == {"a": "ineligible"}


@pytest.mark.parametrize(("narrative", "kept"), [("additional", True), ("generated", False)])
def test_a_narrative_that_says_more_than_the_elements_stays_where_it_is(
    server: MemoryServer, ledger: Ledger, narrative: str, *, kept: bool
) -> None:
    """It is no touch: whoever has died is taken back, with the note."""
    text = {"status": narrative, "div": "<div>called</div>"}
    put(server, "a", text=text)
    ServerSink(server, ledger).send(take_back(), write=True)
    assert statuses(server) == {"a": "ineligible"}
    assert (server.only("ResearchSubject").get("text") == text) is kept
