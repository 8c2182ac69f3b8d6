"""A Task or a document where no ResearchSubject may stand: once, kept up, never over a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_adapter.errors import ServerBroken
from fhir_adapter.ledger import Ledger
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.present.stand_ins import stand_in
from fhir_adapter.writeback import Choice, ServerSink, Strategy
from tests.writeback.memory_server import MemoryServer, refusal
from tests.writeback.proposals import KEY, opinion, propose, take_back

SET_BY = f"{BASE}/StructureDefinition/status-set-by"
PERSON = {"extension": [{"url": SET_BY, "valueCode": "person"}]}


def by(proposal: Proposal, kind: str = "Task", **more: Any) -> Proposal:
    """The same with what stands for the ResearchSubject."""
    made = stand_in(
        kind,
        key=KEY,
        patient="p1",
        study="ResearchStudy/s1",
        outcome="candidate",
        sentence="Candidate.",
        opinion=opinion("f"),
        stands=proposal.action == "propose",
    )
    return replace(proposal, stand_in={**made, **more})


def choice(kind: str = "Task", **more: Any) -> Choice:
    return Choice(strategy=Strategy.STAND_IN, reason="no ResearchSubject", stand_in=kind, **more)


@pytest.fixture
def sink(server: MemoryServer, ledger: Ledger) -> ServerSink:
    return ServerSink(server, ledger, choice=choice())


def kinds(references: tuple[str, ...]) -> list[str]:
    return [one.split("/")[0] for one in references]


def test_a_task_stands_for_it_and_links_to_the_opinion(
    server: MemoryServer, sink: ServerSink
) -> None:
    written = sink.send(by(propose()), write=True)
    assert kinds(written.created) == ["Device", "Task", "GuidanceResponse", "Provenance"]
    task = server.only("Task")
    assert (task["status"], task["intent"], task["for"]) == (
        "requested",
        "proposal",
        {"reference": "Patient/p1"},
    )
    assert task["output"][0]["valueReference"]["reference"] == written.created[2]
    targets = [one["reference"] for one in server.only("Provenance")["target"]]
    assert targets == [written.created[1], written.created[2], "Patient/p1"]
    assert server.all("ResearchSubject") == []


def test_again_writes_nothing_and_a_new_outcome_is_brought_up_to_date(
    server: MemoryServer, sink: ServerSink
) -> None:
    sink.send(by(propose()), write=True)
    writes = server.writes
    again = sink.send(by(propose()), write=True)
    assert (server.writes, again.created, again.updated) == (writes, (), ())
    changed = by(propose("f9"), description="Candidate: one check left.")
    updated = sink.send(changed, write=True)
    assert kinds(updated.updated) == ["GuidanceResponse", "Task"]
    assert server.only("Task")["description"] == "Candidate: one check left."


@pytest.mark.parametrize(
    "touch",
    [
        {"status": "accepted"},
        {"_status": PERSON},
        {"owner": {"reference": "Practitioner/1"}},
        {"note": [{"text": "called"}]},
    ],
)
def test_what_a_person_touched_is_theirs_for_good(
    server: MemoryServer, sink: ServerSink, touch: Resource
) -> None:
    sink.send(by(propose()), write=True)
    theirs = server.change("Task", **touch)
    for proposal in (by(propose("f2"), description="Other."), by(take_back()), by(propose("f3"))):
        assert sink.send(proposal, write=True).left_to_person
    assert server.only("Task") == theirs


def test_a_person_s_signature_is_enough(server: MemoryServer, sink: ServerSink) -> None:
    sink.send(by(propose()), write=True)
    signed = {
        "resourceType": "Provenance",
        "id": "person",
        "target": [{"reference": f"Task/{server.only('Task')['id']}"}],
        "agent": [{"who": {"reference": "Practitioner/1"}}],
    }
    server.put(signed)
    assert sink.send(by(take_back()), write=True).left_to_person
    assert server.only("Task")["status"] == "requested"


def test_a_take_back_is_a_status_and_it_may_stand_again(
    server: MemoryServer, sink: ServerSink, ledger: Ledger
) -> None:
    sink.send(by(propose()), write=True)
    assert kinds(sink.send(by(take_back()), write=True).updated) == ["GuidanceResponse", "Task"]
    assert server.only("Task")["status"] == "cancelled"
    found = ledger.subject(KEY)
    assert found is not None
    assert found.state == "taken-back"
    writes = server.writes
    sink.send(by(take_back()), write=True)
    assert server.writes == writes
    sink.send(by(propose("f3")), write=True)
    assert server.only("Task")["status"] == "requested"


def test_one_never_proposed_is_not_taken_back(server: MemoryServer, sink: ServerSink) -> None:
    sink.send(by(take_back()), write=True)
    assert server.writes == 0


def test_a_deleted_task_is_a_person_s_word(server: MemoryServer, sink: ServerSink) -> None:
    sink.send(by(propose()), write=True)
    del server.kept["Task", str(server.only("Task")["id"])]
    for _ in range(2):
        written = sink.send(by(propose("f2")), write=True)
        assert "gone" in " ".join(written.notes)
    assert server.all("Task") == []


def test_without_opinions_and_provenance_the_task_stands_alone(
    server: MemoryServer, ledger: Ledger
) -> None:
    bare = choice(left_out=frozenset(("GuidanceResponse", "Provenance")))
    sink = ServerSink(server, ledger, choice=bare)
    assert kinds(sink.send(by(propose()), write=True).created) == ["Device", "Task"]
    assert "output" not in server.only("Task")
    assert sink.send(by(propose()), write=True).created == ()
    assert kinds(sink.send(by(take_back()), write=True).updated) == ["Task"]


def test_a_document_explains_where_no_task_may_stand(server: MemoryServer, ledger: Ledger) -> None:
    sink = ServerSink(server, ledger, choice=choice("DocumentReference"))
    sink.send(by(propose(), "DocumentReference"), write=True)
    assert server.only("DocumentReference")["status"] == "current"
    sink.send(by(take_back(), "DocumentReference"), write=True)
    assert server.only("DocumentReference")["status"] == "superseded"


@pytest.mark.parametrize("status", [400, 412, 422])
def test_a_profile_that_demands_consent_gets_a_task(
    server: MemoryServer, ledger: Ledger, status: int
) -> None:
    def demanding() -> None:
        raise refusal(status, "ResearchSubject")

    server.before["create"] = [lambda: None, demanding]
    written = ServerSink(server, ledger).send(by(propose()), write=True)
    assert kinds(written.created) == ["Task", "GuidanceResponse", "Provenance"]
    assert "demands more" in " ".join(written.notes)


def test_a_kill_before_the_ledger_heard_doubles_nothing(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, None, choice=choice()).send(by(propose()), write=True)
    written = ServerSink(server, ledger, choice=choice()).send(by(propose()), write=True)
    assert written.created == ()
    assert len(server.all("Task")) == 1


def test_a_dry_run_writes_nothing(server: MemoryServer, sink: ServerSink) -> None:
    written = sink.send(by(propose()), write=False)
    assert (server.writes, kinds(written.created)) == (
        0,
        ["Device", "Task", "GuidanceResponse", "Provenance"],
    )


@pytest.mark.parametrize("status", [412, 422])
def test_a_server_that_demands_consent_is_written_to_once_and_taken_back_from(
    ledger: Ledger, status: int
) -> None:
    """Its Task is known by the ledger from then on; the ResearchSubject is a person's to make."""
    server = MemoryServer(demands=status)
    sink = ServerSink(server, ledger)
    sink.send(by(propose()), write=True)
    writes = server.writes
    again = sink.send(by(propose()), write=True)
    assert (again.left_to_person, again.created, again.updated) == (False, (), ())
    assert server.writes == writes
    assert kinds(sink.send(by(take_back()), write=True).updated) == ["GuidanceResponse", "Task"]
    assert server.only("Task")["status"] == "cancelled"
    sink.send(by(propose("f3")), write=True)
    assert server.only("Task")["status"] == "requested"
    del server.kept["Task", str(server.only("Task")["id"])]
    assert "gone" in " ".join(sink.send(by(propose("f4")), write=True).notes)
    assert server.all("Task") == []


@pytest.mark.parametrize("with_provenance", [True, False])
def test_a_new_ledger_finds_the_task_of_a_server_that_demands_consent(
    ledger: Ledger, *, with_provenance: bool
) -> None:
    server = MemoryServer(demands=422)
    beside = frozenset[str]() if with_provenance else frozenset(("Provenance",))
    form = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="", left_out=beside)
    ServerSink(server, None, choice=form).send(by(propose()), write=True)
    written = ServerSink(server, ledger, choice=form).send(by(propose()), write=True)
    assert (written.created, len(server.all("Task"))) == ((), 1)
    assert not any("gone" in note for note in written.notes)


def test_a_change_refused_though_nobody_made_another_is_no_race(
    server: MemoryServer, ledger: Ledger
) -> None:
    """A profile came after the proposal: it stays, and no Task is put beside it."""
    sink = ServerSink(server, ledger)
    sink.send(by(propose()), write=True)

    def demanding() -> None:
        raise refusal(412, "ResearchSubject")

    server.before["update"] = [demanding, demanding]
    with pytest.raises(ServerBroken, match="nobody has changed it"):
        sink.send(by(take_back()), write=True)
    assert server.only("ResearchSubject")["status"] == "candidate"
    assert server.all("Task") == []


def test_a_search_that_lags_behind_hides_no_task_of_ours(
    server: MemoryServer, sink: ServerSink
) -> None:
    """Read by its id: it is neither made again nor taken for deleted."""
    sink.send(by(propose()), write=True)
    server.lagging = frozenset(("Task",))
    again = sink.send(by(propose()), write=True)
    assert (again.created, again.updated, again.notes) == ((), (), ())
    back = sink.send(by(take_back()), write=True)
    assert kinds(back.updated)[-1] == "Task"
    assert server.only("Task")["status"] == "cancelled"
    assert len(server.all("Task")) == 1
