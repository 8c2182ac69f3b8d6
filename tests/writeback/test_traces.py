"""A new ledger beside an old server: what a person deleted is seen by what stands beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_adapter.client import Found, Params, Saved
from fhir_adapter.errors import ServerBroken, ServerRefused
from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback import Choice, ServerSink, Strategy
from tests.writeback.memory_server import MemoryServer, refusal
from tests.writeback.proposals import (
    DEVICE,
    KEY,
    keep,
    opinion,
    propose,
    provenance,
    subject,
    take_back,
)

OLD = "k0"
CHOICE = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="")


def _drop(server: MemoryServer, kind: str) -> str:
    """A person deletes the only resource of a kind."""
    number = str(server.only(kind)["id"])
    server.kept.pop((kind, number))
    return f"{kind}/{number}"


def _proposed_and_deleted(server: MemoryServer) -> str:
    ServerSink(server, None).send(propose(), write=True)
    return _drop(server, "ResearchSubject")


@pytest.mark.parametrize("without_provenance", [False, True])
def test_a_new_ledger_sees_what_a_person_deleted(
    server: MemoryServer, ledger: Ledger, *, without_provenance: bool
) -> None:
    """HAPI lets nobody delete it before its Provenance: then the opinion alone tells."""
    reference = _proposed_and_deleted(server)
    if without_provenance:
        _drop(server, "Provenance")
        reference = ""
    for fingerprint in ("f2", "f3"):
        written = ServerSink(server, ledger).send(propose(fingerprint), write=True)
        assert (written.created, written.updated) == ((), ())
        assert written.notes == ("gone: somebody deleted the proposal; it is not made again",)
    assert server.all("ResearchSubject") == []
    row = ledger.subject(KEY)
    assert row is not None
    assert (row.state, row.reference) == ("gone", reference)


def test_without_any_ledger_a_deletion_is_seen_too(server: MemoryServer) -> None:
    _proposed_and_deleted(server)
    dry = ServerSink(server, None).send(propose(), write=False)
    assert (dry.created, len(dry.notes)) == ((), 1)
    ServerSink(server, None).send(propose(), write=True)
    assert server.all("ResearchSubject") == []


@pytest.mark.parametrize("proposal", [keep(), take_back()])
def test_who_is_not_to_be_proposed_is_not_looked_for(
    server: MemoryServer, ledger: Ledger, proposal: Proposal
) -> None:
    _proposed_and_deleted(server)
    ServerSink(server, ledger).send(proposal, write=True)
    assert ledger.subject(KEY) is None


def test_a_search_that_lags_behind_is_no_deletion_to_a_new_ledger(
    server: MemoryServer, ledger: Ledger
) -> None:
    """The Provenance names it, and it can be read."""
    ServerSink(server, None).send(propose(), write=True)
    server.change("ResearchSubject", identifier=[], individual={"reference": "Patient/x"})
    assert ServerSink(server, ledger).send(propose(), write=True).left_to_person
    assert len(server.all("ResearchSubject")) == 1


def test_what_was_deleted_before_a_merge_is_seen_under_the_key_of_the_other_id(
    server: MemoryServer, ledger: Ledger
) -> None:
    said = {**opinion("f1"), "identifier": [{**opinion("f1")["identifier"][0], "value": OLD}]}
    server.put({**said, "id": "o"})
    merged = replace(propose(), patient_ids=("p1", "p0"), other_keys=(OLD,))
    assert "gone" in ServerSink(server, ledger).send(merged, write=True).notes[0]
    assert server.all("ResearchSubject") == []


def test_a_server_that_answers_with_every_opinion_hides_nobody(
    server: MemoryServer, ledger: Ledger
) -> None:
    """It ignores the identifier that is asked for."""
    said = {**opinion("f0"), "identifier": [{"system": "o", "value": "of another patient"}]}
    other = server.put({**said, "id": "o", "subject": {"reference": "Patient/other"}})
    server.ignores = frozenset(("identifier",))
    written = ServerSink(server, ledger).send(propose(), write=True)
    made = {one.split("/")[0] for one in written.created}
    assert made >= {"ResearchSubject", "GuidanceResponse"}
    assert server.kept["GuidanceResponse", "o"] == other
    again = ServerSink(server, ledger).send(propose("f2"), write=True)
    assert [one.split("/")[0] for one in again.updated] == ["GuidanceResponse"]
    assert server.kept["GuidanceResponse", "o"] == other


def test_a_server_without_opinions_loses_nobody(server: MemoryServer, ledger: Ledger) -> None:
    """A deletion is not seen there: better than a patient who is never proposed."""
    _proposed_and_deleted(server)
    choice = replace(CHOICE, left_out=frozenset(("GuidanceResponse",)))
    ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert len(server.all("ResearchSubject")) == 1


def test_opinions_that_may_not_be_searched_keep_nobody_from_being_proposed(
    server: MemoryServer, ledger: Ledger
) -> None:
    _proposed_and_deleted(server)
    server.refused_search = {"GuidanceResponse": 403}
    with pytest.raises(ServerRefused):  # it wants to write the opinion, after the ResearchSubject
        ServerSink(server, ledger).send(propose(), write=True)
    assert len(server.all("ResearchSubject")) == 1


def test_a_search_for_opinions_that_fails_leaves_it_open(
    server: MemoryServer, ledger: Ledger
) -> None:
    _proposed_and_deleted(server)
    server.refused_search = {"GuidanceResponse": 500}
    with pytest.raises(ServerBroken):
        ServerSink(server, ledger).send(propose(), write=True)
    assert server.all("ResearchSubject") == []


def _task() -> Proposal:
    task = {
        "resourceType": "Task",
        "identifier": [{"system": "task-key", "value": KEY}],
        "status": "requested",
        "_status": propose().subject["_status"],  # type: ignore[index] # it is there
        "intent": "proposal",
        "for": {"reference": "Patient/p1"},
        "output": [{"valueReference": {"reference": "GuidanceResponse/{id}"}}],
    }
    return replace(propose(), stand_in=task)


STAND_IN = replace(CHOICE, strategy=Strategy.STAND_IN, stand_in="Task")


def test_a_deleted_task_is_seen_by_its_provenance(server: MemoryServer, ledger: Ledger) -> None:
    ServerSink(server, None, choice=STAND_IN).send(_task(), write=True)
    reference = _drop(server, "Task")
    written = ServerSink(server, ledger, choice=STAND_IN).send(_task(), write=True)
    assert "gone" in written.notes[0]
    row = ledger.subject(KEY)
    assert row is not None
    assert (row.state, row.reference, server.all("Task")) == ("gone", reference, [])


def test_an_opinion_without_its_provenance_is_no_deleted_task(
    server: MemoryServer, ledger: Ledger
) -> None:
    """Nothing says that it stood beside a Task; only the ledger would."""
    ServerSink(server, None, choice=STAND_IN).send(_task(), write=True)
    _drop(server, "Task")
    _drop(server, "Provenance")
    ServerSink(server, ledger, choice=STAND_IN).send(_task(), write=True)
    assert len(server.all("Task")) == 1


def test_an_opinion_beside_a_task_is_no_deleted_research_subject(
    server: MemoryServer, ledger: Ledger
) -> None:
    """The server has learned ResearchSubject since."""
    ServerSink(server, None, choice=STAND_IN).send(_task(), write=True)
    ServerSink(server, ledger).send(propose(), write=True)
    assert len(server.all("ResearchSubject")) == 1


def test_a_persons_provenance_names_nothing_of_ours(server: MemoryServer, ledger: Ledger) -> None:
    server.put({**DEVICE, "id": "d"})
    server.put({**opinion("f1"), "id": "o"})
    targets = [{"reference": "GuidanceResponse/o"}, {"reference": "ResearchSubject/theirs"}]
    agent = [{"who": {"reference": "Practitioner/1"}}]
    server.put({**provenance(), "id": "p", "target": targets, "agent": agent})
    ServerSink(server, ledger).send(propose(), write=True)
    row = ledger.subject(KEY)
    assert row is not None
    assert (row.state, row.reference) == ("gone", "")


@pytest.mark.parametrize("status", [412, 422])
def test_a_new_ledger_sees_the_deleted_task_of_a_server_that_demands_consent(
    ledger: Ledger, status: int
) -> None:
    """The ledger has the try of a ResearchSubject by then; the history does not reach back."""
    server = MemoryServer(demands=status)
    ServerSink(server, None).send(_task(), write=True)
    reference = _drop(server, "Task")
    server.past.clear()
    for _ in range(2):
        written = ServerSink(server, ledger).send(_task(), write=True)
        assert "gone" in " ".join(written.notes)
    row = ledger.subject(KEY)
    assert row is not None
    assert (row.state, row.reference, server.all("Task")) == ("gone", reference, [])


@pytest.mark.parametrize("conditional", [True, False])
def test_what_another_process_writes_meanwhile_was_not_deleted(
    server: MemoryServer, ledger: Ledger, *, conditional: bool
) -> None:
    """ResearchSubject and opinion come between our search for the one and that for the other."""
    asked = server.search

    def search(kind: str, params: Params) -> Found:
        if kind == "GuidanceResponse" and not server.all(kind):
            server.put({**subject(), "id": "rs"})
            server.put({**opinion("f1"), "id": "gr"})
        return asked(kind, params)

    server.search = search  # type: ignore[method-assign] # one method replaced
    way = Strategy.CONDITIONAL_CREATE if conditional else Strategy.SEARCH_THEN_CREATE
    form = replace(CHOICE, strategy=way)
    written = ServerSink(server, ledger, choice=form).send(propose(), write=True)
    assert not any("gone" in note for note in written.notes)
    row = ledger.subject(KEY)
    assert row is not None
    assert (row.state, row.reference) == ("proposed", "ResearchSubject/rs")
    assert len(server.all("ResearchSubject")) == 1


@pytest.mark.parametrize("with_ledger", [True, False])
@pytest.mark.parametrize("nth", range(3), ids=["Device", "Task", "opinion"])
def test_a_task_that_failed_on_its_way_is_made_though_no_ledger_remembers(
    ledger: Ledger, nth: int, *, with_ledger: bool
) -> None:
    """The opinion follows the Task: alone it means that somebody deleted the other."""
    server = MemoryServer(demands=412)
    create = server.create
    kind = ("Device", "Task", "GuidanceResponse")[nth]

    def failing(resource: Resource, *, if_none_exist: Params | None = None) -> Saved:
        if resource["resourceType"] == kind:
            raise refusal(500, kind)
        return create(resource, if_none_exist=if_none_exist)

    server.create = failing  # type: ignore[method-assign] # one method replaced
    with pytest.raises(ServerBroken):
        ServerSink(server, None).send(_task(), write=True)
    server.create = create  # type: ignore[method-assign] # one method replaced
    known = ledger if with_ledger else None
    written = ServerSink(server, known).send(_task(), write=True)
    assert not any("gone" in note for note in written.notes)
    assert server.only("Task")["status"] == "requested"
