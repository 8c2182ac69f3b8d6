"""Races, lost answers, habits of servers, and what is not proved by reading back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_adapter.client import Saved
from fhir_adapter.errors import (
    AdapterError,
    ServerBroken,
    ServerUnreachable,
    WriteConflict,
    WriteUnverified,
)
from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import Resource
from fhir_adapter.writeback import Choice, ServerSink, Strategy
from tests.writeback.memory_server import MemoryServer, broken, lost
from tests.writeback.proposals import KEY, propose, subject, take_back

SEARCHING = Choice(strategy=Strategy.SEARCH_THEN_CREATE, reason="")


def _other_writer(server: MemoryServer) -> Any:
    def create() -> None:
        server.put({**subject(), "id": "other"})

    return create


def test_a_race_that_was_lost_is_not_an_error(server: MemoryServer, ledger: Ledger) -> None:
    server.before["create"] = [lambda: None, _other_writer(server)]
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert server.only("ResearchSubject")["id"] == "other"
    assert not any(one.startswith("ResearchSubject/n") for one in written.created)


def test_a_race_lost_to_a_person_leaves_what_stands(server: MemoryServer, ledger: Ledger) -> None:
    def person() -> None:
        server.put({**subject(status="screening"), "id": "other"})

    server.before["create"] = [lambda: None, person]
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert "race: another writer created it first" in written.notes
    assert server.only("ResearchSubject")["status"] == "screening"


def test_a_412_on_create_is_settled_by_searching(server: MemoryServer, ledger: Ledger) -> None:
    def two() -> None:
        _other_writer(server)()
        server.put({**subject(), "id": "third"})

    server.before["create"] = [lambda: None, two]
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert "race: another writer created it first" in written.notes


def test_a_409_on_create_with_nothing_there_is_a_conflict(server: MemoryServer) -> None:
    server.before["create"] = [lambda: None, broken(409)]
    with pytest.raises(WriteConflict):
        ServerSink(server, None).send(propose(), write=True)


def test_twins_made_on_a_server_without_conditions_are_reported(
    server: MemoryServer, ledger: Ledger
) -> None:
    server.before["create"] = [lambda: None, _other_writer(server)]
    written = ServerSink(server, ledger, choice=SEARCHING).send(propose(), write=True)
    assert "duplicate: ResearchSubject/other stands beside it" in written.notes


@pytest.mark.parametrize("method", ["create", "update"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_lost_answer_is_looked_into_and_asked_once_more(
    server: MemoryServer, ledger: Ledger, method: str, place: str
) -> None:
    sink = ServerSink(server, ledger)
    if method == "update":
        sink.send(propose("f0"), write=True)
    getattr(server, place)[method] = [lost]
    sink.send(propose(), write=True)
    assert len(server.all("Device")) == 1
    assert len(server.all("ResearchSubject")) == 1
    assert server.only("GuidanceResponse")["requestIdentifier"]["value"] == "f1"


def test_what_a_person_deleted_before_its_lost_answer_was_looked_into_is_not_made_again(
    server: MemoryServer, ledger: Ledger
) -> None:
    def lost_and_deleted() -> None:
        server.kept.pop(("ResearchSubject", server.only("ResearchSubject")["id"]))
        lost()

    server.after["create"] = [lambda: None, lost_and_deleted]
    sink = ServerSink(server, ledger)
    with pytest.raises(ServerUnreachable):
        sink.send(propose(), write=True)
    assert "gone" in sink.send(propose(), write=True).notes[0]
    assert server.all("ResearchSubject") == []


def test_a_provenance_whose_answer_was_lost_is_not_doubled(server: MemoryServer) -> None:
    server.after["create"] = [lambda: None, lambda: None, lambda: None, lost]
    written = ServerSink(server, None).send(propose(), write=True)
    assert len(server.all("Provenance")) == 1
    assert len(written.created) == 4


def test_a_server_that_stays_away_is_an_error(server: MemoryServer) -> None:
    server.before["create"] = [lost, lost]
    with pytest.raises(ServerUnreachable):
        ServerSink(server, None).send(propose(), write=True)


@pytest.mark.parametrize(
    ("method", "status", "calls"),
    [("create", 422, 1), ("create", 500, 2), ("update", 422, 1), ("update", 503, 2)],
)
def test_only_a_transient_refusal_is_asked_again(
    server: MemoryServer, method: str, status: int, calls: int
) -> None:
    sink = ServerSink(server, None)
    if method == "update":
        sink.send(propose("f0"), write=True)
    server.asked.clear()
    server.before[method] = [broken(status), broken(status)]
    with pytest.raises(ServerBroken):
        sink.send(propose(), write=True)
    assert server.asked[method] == calls


def test_a_person_who_comes_in_between_wins(server: MemoryServer, ledger: Ledger) -> None:
    sink = ServerSink(server, ledger)
    sink.send(propose(), write=True)

    def person() -> None:
        server.change("ResearchSubject", status="screening")

    server.before["update"] = [person]
    written = sink.send(take_back(), write=True)
    assert written.left_to_person
    assert server.only("ResearchSubject")["status"] == "screening"


def test_a_change_that_is_no_touch_is_settled_by_reading_again(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = ServerSink(server, ledger)
    sink.send(propose(), write=True)
    server.before["update"] = [lambda: server.change("ResearchSubject")]
    sink.send(take_back(), write=True)
    assert server.only("ResearchSubject")["status"] == "ineligible"


def test_what_does_not_settle_is_a_conflict(server: MemoryServer, ledger: Ledger) -> None:
    sink = ServerSink(server, ledger)
    sink.send(propose(), write=True)
    server.before["update"] = [lambda: server.change("ResearchSubject")] * 2
    with pytest.raises(WriteConflict, match="each time"):
        sink.send(take_back(), write=True)


def test_what_a_person_deletes_in_between_is_gone(server: MemoryServer, ledger: Ledger) -> None:
    sink = ServerSink(server, ledger)
    sink.send(propose(), write=True)
    number = server.only("ResearchSubject")["id"]
    server.before["read"] = [lambda: server.kept.pop(("ResearchSubject", number))]
    written = sink.send(take_back(), write=True)
    assert "gone" in written.notes[0]
    row = ledger.subject(KEY)
    assert row is not None
    assert row.state == "gone"


def test_an_opinion_that_changed_meanwhile_is_written_again(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = ServerSink(server, ledger)
    sink.send(propose("f0"), write=True)
    server.before["update"] = [lambda: server.change("GuidanceResponse")]
    sink.send(propose(), write=True)
    assert server.only("GuidanceResponse")["requestIdentifier"]["value"] == "f1"


def test_an_opinion_that_another_writer_made_first_is_left(
    server: MemoryServer, ledger: Ledger
) -> None:
    def other() -> None:
        made = propose("other").opinion or {}
        server.put({**made, "id": "o1", "performer": {"reference": "Device/n1"}})

    server.before["create"] = [lambda: None, lambda: None, other]
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert "GuidanceResponse/o1" in written.unchanged


def _changed_status(resource: Resource) -> Resource:
    return {**resource, "status": "canary"} if "study" in resource else resource


def test_what_reads_back_otherwise_is_named_by_its_path_only(server: MemoryServer) -> None:
    server.mangle = _changed_status
    with pytest.raises(WriteUnverified, match=r"ResearchSubject\.status: read back") as caught:
        ServerSink(server, None).send(propose(), write=True)
    assert "canary" not in str(caught.value)


def test_what_cannot_be_read_back_is_unverified(server: MemoryServer) -> None:
    server.after["create"] = [server.kept.clear]
    with pytest.raises(WriteUnverified, match="cannot be read back"):
        ServerSink(server, None).send(propose(), write=True)


def _habits(resource: Resource) -> Resource:
    """Strips versions of references, trims decimals, keeps tags, makes its own narrative."""
    kept = {**resource, "text": {"status": "generated", "div": "<div>own</div>"}}
    kept["meta"] = {**resource["meta"], "tag": [{"code": "old"}]}
    if "individual" in kept:
        kept["individual"] = {"reference": "Patient/p1"}
        kept["extension"] = [{**kept["extension"][0], "valueDecimal": 1.5}]
    return kept


def test_the_habits_of_servers_are_no_difference(server: MemoryServer, ledger: Ledger) -> None:
    server.mangle = _habits
    url = propose().subject["_status"]["extension"][0]["url"]  # type: ignore[index] # it is there
    elements: Resource = {
        "individual": {"reference": "Patient/p1/_history/3"},
        "extension": [{"url": url, "valueDecimal": Decimal("1.50")}],
    }
    sink = ServerSink(server, ledger)
    sink.send(propose(**elements), write=True)
    server.asked.clear()
    sink.send(propose(**elements), write=True)
    assert server.writes == 0


@pytest.mark.parametrize(
    "choice", [None, Choice(strategy=SEARCHING.strategy, reason="", if_match=False)]
)
def test_a_server_without_versions_is_written_to_as_well(
    server: MemoryServer, ledger: Ledger, choice: Choice | None
) -> None:
    server.versions = False
    sink = ServerSink(server, ledger, choice=choice)
    sink.send(propose(), write=True)
    sink.send(propose("f2"), write=True)
    sink.send(take_back("f3"), write=True)
    assert server.only("ResearchSubject")["status"] == "ineligible"


def test_a_search_that_is_not_whole_stops_before_any_create(server: MemoryServer) -> None:
    server.incomplete = True
    with pytest.raises(ServerBroken, match="cut-short"):
        ServerSink(server, None).send(propose(), write=True)
    assert server.writes == 0


class _Silent(MemoryServer):
    """Answers a create with nothing: neither body nor Location."""

    def create(self, resource: Resource, *, if_none_exist: Any = None) -> Saved:
        super().create(resource, if_none_exist=if_none_exist)
        kind = str(resource["resourceType"])
        return Saved(resource_type=kind, id="", version="", created=True, resource=None)


def test_a_create_without_an_answer_is_found_by_its_identifier() -> None:
    server = _Silent()
    written = ServerSink(server, None).send(propose(), write=True)
    assert len(written.created) == 4


def test_no_fault_quotes_the_patient(server: MemoryServer) -> None:
    server.mangle = _changed_status
    with pytest.raises(AdapterError) as caught:
        ServerSink(server, None).send(propose(), write=True)
    assert "p1" not in repr(caught.value)
