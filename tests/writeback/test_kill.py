"""Killed after any write and run again: everything stands once, and a take-back still works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_adapter.errors import ServerBroken
from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback import Choice, ServerSink, Strategy
from tests.writeback.memory_server import Fault, MemoryServer
from tests.writeback.proposals import KEY, keep, propose, take_back

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
    ServerSink(server, ledger).send(take_back(), write=True)
    assert server.only("ResearchSubject")["status"] == "ineligible"


@pytest.mark.parametrize(
    ("when", "nth"), [("after", 1), ("after", 2), ("after", 3), ("before", 2), ("before", 3)]
)
def test_who_does_not_fit_any_more_when_the_next_run_comes_is_taken_back(
    server: MemoryServer, ledger: Ledger, when: str, nth: int
) -> None:
    """The create has no Provenance yet: that is written first, and shows that nobody signed."""
    getattr(server, when)["create"] = [*map(_on, range(nth)), _killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(propose(), write=True)

    written = ServerSink(server, ledger).send(take_back(), write=True)

    assert not written.left_to_person
    assert server.only("ResearchSubject")["status"] == "ineligible"
    assert _reference(server.only("ResearchSubject")) in _targets(server)
    before = server.writes
    ServerSink(server, ledger).send(take_back(), write=True)
    assert server.writes == before


def test_a_person_who_signed_what_a_killed_run_created_keeps_it(
    server: MemoryServer, ledger: Ledger
) -> None:
    _killed_on_the_subject(server, ledger)
    target = [{"reference": _reference(server.only("ResearchSubject"))}]
    agent = [{"who": {"reference": "Practitioner/1"}}]
    server.put({"resourceType": "Provenance", "id": "x", "target": target, "agent": agent})
    assert ServerSink(server, ledger).send(take_back(), write=True).left_to_person
    assert server.only("ResearchSubject")["status"] == "candidate"


def test_where_a_search_shows_no_provenance_at_all_one_is_written_and_no_more(
    server: MemoryServer, ledger: Ledger
) -> None:
    """Nothing shows that nobody signed: it stays, and the Provenances do not pile up."""
    _killed_on_the_subject(server, ledger)
    server.lagging = frozenset(("Provenance",))
    for _ in range(3):
        assert ServerSink(server, ledger).send(take_back(), write=True).left_to_person
    assert server.only("ResearchSubject")["status"] == "candidate"
    assert len(server.all("Provenance")) == 2, "of the ResearchSubject, and of the opinion"


def _killed_on_the_subject(server: MemoryServer, ledger: Ledger) -> None:
    server.after["create"] = [_on(0), _killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(propose(), write=True)
    assert len(server.all("ResearchSubject")) == 1


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


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("then", ["take-back", "propose"])
def test_a_take_back_killed_on_the_way_is_still_ours(
    server: MemoryServer, ledger: Ledger, when: str, then: str
) -> None:
    """Neither the form before it nor the one after it is taken for a person's word."""
    ServerSink(server, ledger).send(propose(), write=True)
    getattr(server, when)["update"] = [_killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(take_back(), write=True)

    wanted = take_back() if then == "take-back" else propose("f3")
    written = ServerSink(server, ledger).send(wanted, write=True)

    assert not written.left_to_person
    status = "ineligible" if then == "take-back" else "candidate"
    assert server.only("ResearchSubject")["status"] == status
    row = ledger.subject(KEY)
    assert row is not None
    assert row.status == status


def test_a_proposal_made_again_and_killed_on_the_way_is_still_ours(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, ledger).send(propose(), write=True)
    ServerSink(server, ledger).send(take_back(), write=True)
    server.after["update"] = [_killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(propose("f3"), write=True)
    assert not ServerSink(server, ledger).send(take_back("f4"), write=True).left_to_person
    assert server.only("ResearchSubject")["status"] == "ineligible"


def test_a_person_s_word_in_a_killed_take_back_stays(server: MemoryServer, ledger: Ledger) -> None:
    ServerSink(server, ledger).send(propose(), write=True)
    server.before["update"] = [_killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(take_back(), write=True)
    server.change("ResearchSubject", status="eligible")
    assert ServerSink(server, ledger).send(take_back(), write=True).left_to_person
    assert server.only("ResearchSubject")["status"] == "eligible"


def _killed_after_the_create(server: MemoryServer, ledger: Ledger) -> None:
    server.after["create"] = [_on(0), _killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(propose(), write=True)


@pytest.mark.parametrize("first", ["propose", "keep", "take-back"])
def test_what_a_person_deleted_before_the_ledger_heard_of_it_is_not_made_again(
    server: MemoryServer, ledger: Ledger, first: str
) -> None:
    _killed_after_the_create(server, ledger)
    reference = _reference(server.only("ResearchSubject"))
    server.kept.pop(("ResearchSubject", server.only("ResearchSubject")["id"]))
    proposals = {"propose": propose(), "keep": keep(), "take-back": take_back()}
    for proposal in (proposals[first], propose("f3")):
        written = ServerSink(server, ledger).send(proposal, write=True)
        assert "gone" in written.notes[0]
    assert server.all("ResearchSubject") == []
    row = ledger.subject(KEY)
    assert row is not None
    assert (row.state, row.reference) == ("gone", reference)


@pytest.mark.parametrize("then", ["propose", "keep"])
def test_a_create_that_never_arrived_is_made(
    server: MemoryServer, ledger: Ledger, then: str
) -> None:
    server.before["create"] = [_on(0), _killed]
    with pytest.raises(KeyboardInterrupt):
        ServerSink(server, ledger).send(propose(), write=True)
    if then == "keep":
        assert ServerSink(server, ledger).send(keep(), write=True).created == ()
        assert server.asked["history"] == 1
    ServerSink(server, ledger).send(propose(), write=True)
    assert (len(server.all("ResearchSubject")), server.asked["history"]) == (1, 1)


def test_a_create_that_a_search_does_not_show_yet_is_found_by_the_history(
    server: MemoryServer, ledger: Ledger
) -> None:
    _killed_after_the_create(server, ledger)
    made = server.only("ResearchSubject")
    server.change("ResearchSubject", identifier=[], individual={"reference": "Patient/x"})
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert [one["id"] for one in server.all("ResearchSubject")] == [made["id"]]
    assert written.left_to_person, "it is not as we sent it"


@pytest.mark.parametrize("how", [404, 403, "not offered"])
def test_where_the_server_tells_no_history_nobody_is_lost(
    server: MemoryServer, ledger: Ledger, how: int | str
) -> None:
    """What a person deleted in the moment of the kill comes back; no patient vanishes."""
    _killed_after_the_create(server, ledger)
    server.kept.pop(("ResearchSubject", server.only("ResearchSubject")["id"]))
    choice = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="", history=how != "not offered")
    server.history_refused = how if isinstance(how, int) else 0
    ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert len(server.all("ResearchSubject")) == 1


def test_a_history_that_fails_leaves_it_open(server: MemoryServer, ledger: Ledger) -> None:
    _killed_after_the_create(server, ledger)
    server.kept.pop(("ResearchSubject", server.only("ResearchSubject")["id"]))
    server.history_refused = 500
    with pytest.raises(ServerBroken):
        ServerSink(server, ledger).send(propose(), write=True)
    assert server.all("ResearchSubject") == []


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
