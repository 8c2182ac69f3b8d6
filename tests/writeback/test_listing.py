"""The screening List: ours comes and goes, what people did to it stays, and nothing comes twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fhir_adapter.errors import ServerUnreachable, WriteConflict
from fhir_adapter.ledger import Ledger
from fhir_adapter.present.resources import screening_list
from fhir_adapter.writeback import Choice, Listed, Listing, Sender, Strategy
from tests.writeback.memory_server import MemoryServer

CHOICE = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="")
A, B, C = "ResearchSubject/a", "ResearchSubject/b", "ResearchSubject/c"
HEAD = screening_list(b"key", "registry|NCT1", title="Pre-screening: NCT1", device="us")
NOW = "2026-11-03T10:00:00+01:00"


@pytest.fixture
def listing(server: MemoryServer, ledger: Ledger) -> Listing:
    return made(server, ledger)


def made(server: MemoryServer, ledger: Ledger) -> Listing:
    return Listing(
        sender=Sender(client=server, choice=CHOICE, write=True), memory=ledger, head=HEAD
    )


def items(server: MemoryServer) -> list[str]:
    entries: list[Any] = server.only("List").get("entry", [])
    return [entry["item"]["reference"] for entry in entries]


def show(listing: Listing, *proposed: str) -> Listed:
    return listing.show(proposed, now=NOW)


def person_keeps(server: MemoryServer, entries: Sequence[Any], **more: Any) -> None:
    server.change("List", entry=list(entries) or None, **more)


def test_what_is_proposed_comes_on_it_and_goes_from_it(
    server: MemoryServer, listing: Listing
) -> None:
    assert show(listing, A, B) == Listed(entries=2, changed=True)
    assert (items(server), server.only("List")["mode"]) == ([A, B], "working")
    assert show(listing, B, C) == Listed(entries=2, changed=True)
    assert items(server) == [B, C]
    assert show(listing) == Listed(entries=0, changed=True)
    assert "entry" not in server.only("List"), "FHIR has no empty arrays"


def test_nothing_is_sent_while_nothing_changes(server: MemoryServer, listing: Listing) -> None:
    assert show(listing) == Listed()
    assert not listing.is_due([])
    assert listing.is_due([A])
    show(listing, A)
    asked, writes = server.asked.total(), server.writes
    assert not listing.is_due([A])
    assert server.asked.total() == asked, "that is known without the server"
    assert show(listing, A) == Listed(entries=1)
    assert server.writes == writes


def test_it_names_no_patient_and_is_the_same_for_study_and_installation() -> None:
    again = screening_list(b"key", "registry|NCT1", title="another", device="us")
    other = screening_list(b"other", "registry|NCT1", title="", device="us")
    assert again["identifier"] == HEAD["identifier"] != other["identifier"]
    assert "subject" not in HEAD


def test_what_a_person_took_off_does_not_come_back(server: MemoryServer, listing: Listing) -> None:
    show(listing, A, B)
    person_keeps(server, [e for e in server.only("List")["entry"] if e["item"]["reference"] == B])
    for _ in range(2):
        show(listing, A, B, C)
        assert items(server) == [B, C]
    assert not listing.is_due([A, B, C])


def test_what_a_person_added_or_marked_stays(server: MemoryServer, listing: Listing) -> None:
    show(listing, A, B)
    first, second = server.only("List")["entry"]
    own = {"item": {"display": "somebody from the other ward"}}
    marked = {**first, "flag": {"text": "called"}}
    person_keeps(server, [marked, second, own], note=[{"text": "for Monday"}])
    show(listing, C)
    found = server.only("List")
    assert found["entry"][:2] == [marked, own]
    assert found["entry"][2]["item"]["reference"] == C
    assert found["note"] == [{"text": "for Monday"}]


@pytest.mark.parametrize("element", [{"status": "retired"}, {"mode": "snapshot"}])
def test_a_list_that_a_person_closed_is_left_alone(
    server: MemoryServer, listing: Listing, element: dict[str, str]
) -> None:
    show(listing, A)
    server.change("List", **element)
    assert "closed" in show(listing, A, B).note
    assert items(server) == [A]


def test_a_list_that_a_person_deleted_is_not_made_again(
    server: MemoryServer, listing: Listing
) -> None:
    show(listing, A)
    server.kept.pop(("List", server.only("List")["id"]))
    assert "not made again" in show(listing, A, B).note
    assert server.all("List") == []


def test_a_new_ledger_goes_on_with_the_list_that_stands(
    server: MemoryServer, listing: Listing
) -> None:
    show(listing, A, B)
    listing.memory.set_cursor(listing._name, "{}")
    assert show(listing, B, C) == Listed(entries=2, changed=True)
    assert items(server) == [A, B, C], "whose A was cannot be known any more"


def test_two_who_write_at_once_lose_nothing(
    server: MemoryServer, listing: Listing, ledger: Ledger
) -> None:
    show(listing, A)

    def meanwhile() -> None:
        entry = {"item": {"reference": "Patient/by-hand"}}
        person_keeps(server, [*server.only("List")["entry"], entry])

    server.before["update"] = [meanwhile]
    show(made(server, ledger), A, B)
    assert items(server) == [A, "Patient/by-hand", B]


def test_who_loses_each_time_says_so(server: MemoryServer, listing: Listing) -> None:
    show(listing, A)

    def conflict() -> None:
        raise WriteConflict("412", where="List", remedy="")

    server.before["update"] = [conflict, conflict]
    assert "next run" in show(listing, A, B).note
    assert listing.is_due([A, B])
    show(listing, A, B)
    assert items(server) == [A, B]


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("method", ["create", "update"])
def test_a_run_that_is_killed_at_the_write_is_gone_on_with(
    server: MemoryServer, listing: Listing, at: str, method: str
) -> None:
    if method == "update":
        show(listing, A)

    def killed() -> None:
        raise KeyboardInterrupt

    getattr(server, at)[method] = [killed]
    with pytest.raises(KeyboardInterrupt):
        show(listing, A, B)
    assert listing.is_due([A, B])
    assert show(listing, A, B).entries == 2
    assert items(server) == [A, B]
    assert show(listing, B).entries == 1, "what a killed run put on it is ours to take off"
    assert items(server) == [B]


def test_another_run_that_made_it_first_is_joined(
    server: MemoryServer, listing: Listing, ledger: Ledger
) -> None:
    def other() -> None:
        server.put({**HEAD, "id": "other", "entry": [{"item": {"reference": A}}]})

    server.before["create"] = [other]
    assert show(listing, A, B).entries == 2
    assert items(server) == [A, B]


def test_a_server_that_does_not_answer_leaves_it_due(
    server: MemoryServer, listing: Listing
) -> None:
    def lost() -> None:
        raise ServerUnreachable("no answer", where="List", remedy="")

    server.before["search"] = [lost]
    with pytest.raises(ServerUnreachable):
        show(listing, A)
    assert listing.is_due([A])
