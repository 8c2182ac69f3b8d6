"""A ResearchSubject that stands comes before any Task: ours is kept up, a person's is theirs."""

from __future__ import annotations

import pytest

from fhir_adapter.ledger import Ledger
from fhir_adapter.model.server import ServerProfile, Verdict
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback import ServerSink, choose
from tests.writeback.memory_server import MemoryServer
from tests.writeback.proposals import KEY, propose, subject, take_back
from tests.writeback.test_stand_in import by, choice

SEEN = choose(None, ServerProfile(verdicts={"kept.ResearchSubject": Verdict.FAILS}))
"""The doctor has seen that a profile refuses ResearchSubject."""
WITH_TASK = (by(propose("f2"), description="New."), by(take_back("f3")))


def _enrol(server: MemoryServer, **elements: object) -> Resource:
    """By a person, with the consent that the profile demands."""
    theirs = subject(consent={"reference": "Consent/1"}, status="screening", **elements)
    return server.put({**theirs, "id": "theirs", "identifier": [], "_status": {}})


def _refusing(server: MemoryServer, ledger: Ledger | None) -> ServerSink:
    return ServerSink(server, ledger, choice=SEEN)


@pytest.mark.parametrize("with_ledger", [True, False])
def test_what_stood_before_the_profile_is_kept_up_and_taken_back(
    server: MemoryServer, ledger: Ledger, *, with_ledger: bool
) -> None:
    known = ledger if with_ledger else None
    ServerSink(server, known).send(by(propose()), write=True)
    again = _refusing(server, known).send(by(propose("f2")), write=True)
    assert not any("gone" in note for note in again.notes)
    assert server.all("Task") == []
    proposal = by(take_back("f3"))
    _refusing(server, known).send(proposal, write=True)
    assert server.only("ResearchSubject")["status"] == "ineligible"
    row = ledger.subject(KEY)
    assert (row.state if row else "") == ("taken-back" if with_ledger else "")


def test_what_stood_before_the_profile_and_was_deleted_gets_no_task(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, ledger).send(by(propose()), write=True)
    del server.kept["ResearchSubject", str(server.only("ResearchSubject")["id"])]
    for _ in range(2):
        written = _refusing(server, ledger).send(by(propose("f2")), write=True)
        assert "gone" in " ".join(written.notes)
    assert server.all("Task") == []


def test_what_a_person_moved_on_before_the_profile_stays_theirs(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, ledger).send(by(propose()), write=True)
    server.change("ResearchSubject", status="screening", _status=None)
    for proposal in WITH_TASK:
        assert _refusing(server, ledger).send(proposal, write=True).left_to_person
    assert server.all("Task") == []


@pytest.mark.parametrize("proposal", WITH_TASK, ids=["propose", "take-back"])
@pytest.mark.parametrize("seen", [True, False])
def test_a_person_s_enrolment_comes_before_the_task(
    ledger: Ledger, proposal: Proposal, *, seen: bool
) -> None:
    server = MemoryServer(demands=422)
    sink = _refusing(server, ledger) if seen else ServerSink(server, ledger)
    sink.send(by(propose()), write=True)
    theirs, task = _enrol(server), server.only("Task")
    opinion = server.only("GuidanceResponse")
    written = sink.send(proposal, write=True)
    assert (written.left_to_person, written.created, written.updated) == (True, (), ())
    assert server.only("ResearchSubject") == theirs
    assert (server.only("Task"), server.only("GuidanceResponse")) == (task, opinion)


def test_an_enrolment_in_another_study_or_put_away_is_nothing_to_the_task(ledger: Ledger) -> None:
    server = MemoryServer(demands=422)
    sink = ServerSink(server, ledger)
    sink.send(by(propose()), write=True)
    _enrol(server, study={"reference": "ResearchStudy/other"})
    sink.send(by(take_back()), write=True)
    assert server.only("Task")["status"] == "cancelled"


def test_a_server_that_shows_no_research_subject_is_not_asked_for_one(
    server: MemoryServer, ledger: Ledger
) -> None:
    server.no_search = frozenset(("ResearchSubject",))
    form = choice(subjects=False)
    ServerSink(server, ledger, choice=form).send(by(propose()), write=True)
    assert len(server.all("Task")) == 1


def test_a_search_for_enrolments_that_is_forbidden_leaves_the_task_alone(
    server: MemoryServer, ledger: Ledger
) -> None:
    server.refused_search = {"ResearchSubject": 403}
    ServerSink(server, ledger, choice=choice()).send(by(propose()), write=True)
    assert len(server.all("Task")) == 1


def test_a_task_that_stands_where_a_research_subject_is_taken_now_is_no_demand(
    server: MemoryServer, ledger: Ledger
) -> None:
    ServerSink(server, ledger, choice=choice()).send(by(propose()), write=True)
    written = ServerSink(server, ledger).send(by(propose("f2")), write=True)
    assert written.notes == ()
    assert server.all("ResearchSubject") == []
