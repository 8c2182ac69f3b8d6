"""What one proposal comes to on a server: written once, kept up, never over a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_adapter.errors import ServerBroken
from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import DecisionSink, Proposal, Resource, Written
from fhir_adapter.writeback import Choice, ServerSink, Strategy
from tests.writeback.memory_server import MemoryServer, lost
from tests.writeback.proposals import (
    DEVICE,
    KEY,
    KEY_SYSTEM,
    SET_BY,
    keep,
    opinion,
    propose,
    subject,
    take_back,
)

PERSON = {"extension": [{"url": SET_BY, "valueCode": "person"}]}
PERSONS_PROVENANCE = {
    "resourceType": "Provenance",
    "id": "person",
    "agent": [{"who": {"reference": "Practitioner/1"}}],
}


def _proposed(server: MemoryServer, ledger: Ledger | None) -> ServerSink:
    """A sink that has proposed once; the counters start again."""
    sink = ServerSink(server, ledger)
    sink.send(propose(), write=True)
    server.asked.clear()
    return sink


def test_a_first_proposal_writes_all_and_fills_in_the_ids(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink: DecisionSink = ServerSink(server, ledger)
    written = sink.send(propose(), write=True)
    assert [one.split("/")[0] for one in written.created] == [
        "Device",
        "ResearchSubject",
        "GuidanceResponse",
        "Provenance",
    ]
    assert server.only("GuidanceResponse")["performer"]["reference"] == written.created[0]
    targets = [target["reference"] for target in server.only("Provenance")["target"]]
    assert targets == [written.created[1], written.created[2], "Patient/p1"]


def test_proposing_twice_writes_nothing(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    written = sink.send(propose(), write=True)
    assert (written.created, written.updated, len(written.unchanged)) == ((), (), 2)
    assert server.writes == 0
    assert sum(server.asked.values()) == 3


def test_another_run_with_another_sink_writes_nothing_either(server: MemoryServer) -> None:
    _proposed(server, None)
    ServerSink(server, None).send(propose(), write=True)
    assert server.writes == 0


def test_a_changed_fingerprint_updates_the_opinion_in_place(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    written = sink.send(propose("f2"), write=True)
    assert written.updated == (f"GuidanceResponse/{server.only('GuidanceResponse')['id']}",)
    newest = server.all("Provenance")[-1]
    assert [one["reference"] for one in newest["target"]] == [*written.updated, "Patient/p1"]
    row = ledger.subject(KEY)
    assert row is not None
    assert row.fingerprint == "f2"


def test_a_dry_run_only_reads_and_says_the_same(server: MemoryServer, ledger: Ledger) -> None:
    sink = ServerSink(server, ledger)
    written = sink.send(propose(), write=False)
    assert server.writes == 0
    assert ledger.subject(KEY) is None
    assert written.dry_run
    assert [one.split("/")[0] for one in written.created] == [
        one.split("/")[0] for one in sink.send(propose(), write=True).created
    ]


@pytest.mark.parametrize("proposal", [propose("f2"), take_back(), keep()])
def test_a_dry_run_over_a_proposal_makes_no_write(
    server: MemoryServer, ledger: Ledger, proposal: Any
) -> None:
    sink = _proposed(server, ledger)
    before = ledger.subject(KEY)
    sink.send(proposal, write=False)
    assert server.writes == 0
    assert ledger.subject(KEY) == before


PERSONS_ACTS = [
    pytest.param({"status": "screening"}, id="status"),
    pytest.param({"_status": PERSON}, id="status-set-by"),
    pytest.param({"_status": None}, id="nothing says who set it"),
    pytest.param({"period": {"start": "2026-11-03"}}, id="period"),
    pytest.param({"consent": {"reference": "Consent/1"}}, id="consent"),
    pytest.param({"assignedArm": "A"}, id="arm"),
    pytest.param({"extension": [{"url": "http://x/note", "valueString": "call"}]}, id="note"),
    pytest.param(
        {"identifier": [*subject()["identifier"], {"system": "s", "value": "SCR-1"}]},
        id="identifier",
    ),
    pytest.param({"individual": {"reference": "Patient/other"}}, id="individual"),
    pytest.param({"study": {"reference": "ResearchStudy/other"}}, id="study"),
]


@pytest.mark.parametrize("act", PERSONS_ACTS)
@pytest.mark.parametrize("proposal", [propose("f2"), take_back()], ids=["propose", "take-back"])
@pytest.mark.parametrize("with_ledger", [True, False], ids=["ledger", "no ledger"])
def test_what_a_person_touched_is_left_alone(
    server: MemoryServer, ledger: Ledger, act: Resource, proposal: Any, with_ledger: bool
) -> None:
    sink = _proposed(server, ledger if with_ledger else None)
    touched = server.change("ResearchSubject", **act)
    written = sink.send(proposal, write=True)
    assert written.left_to_person
    assert server.only("ResearchSubject") == touched


def test_the_opinion_of_a_person_s_subject_is_still_kept_up(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", status="screening")
    written = sink.send(propose("f2"), write=True)
    assert [one.split("/")[0] for one in written.updated] == ["GuidanceResponse"]


def test_what_was_left_to_a_person_stays_with_the_person(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", status="screening")
    sink.send(propose(), write=True)
    server.change("ResearchSubject", status="candidate")
    assert sink.send(take_back(), write=True).left_to_person
    assert server.only("ResearchSubject")["status"] == "candidate"


def test_a_new_version_alone_is_no_touch(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", text={"status": "generated", "div": "<div/>"})
    assert sink.send(take_back(), write=True).updated


def test_a_merged_patient_is_no_touch(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", individual={"reference": "Patient/p2"})
    merged = replace(propose(), patient="p2", patient_ids=("p1", "p2"))
    assert not sink.send(merged, write=True).left_to_person
    assert server.writes == 0


def test_an_untouched_proposal_is_taken_back_and_may_come_again(
    server: MemoryServer, ledger: Ledger
) -> None:
    """By a status, on every server: If-Match holds nothing off from a DELETE everywhere."""
    sink = _proposed(server, ledger)
    sink.send(take_back(), write=True)
    assert server.only("ResearchSubject")["status"] == "ineligible"
    assert server.only("GuidanceResponse")["requestIdentifier"]["value"] == "f2"
    sink.send(propose("f3"), write=True)
    assert server.only("ResearchSubject")["status"] == "candidate"


def test_what_people_put_beside_it_stays_when_it_is_taken_back(
    server: MemoryServer, ledger: Ledger
) -> None:
    """R4 has no ResearchSubject.note: a narrative and labels are where people write."""
    sink = _proposed(server, ledger)
    text = {"status": "additional", "div": "<div>call back on Monday</div>"}
    labels = {"security": [{"code": "R"}], "tag": [{"code": "theirs"}]}
    server.change("ResearchSubject", text=text, meta={"versionId": "7", **labels})
    server.change(
        "GuidanceResponse", note=[{"text": "discussed"}], meta={"versionId": "7", **labels}
    )
    sink.send(take_back(), write=True)
    kept, opinion_kept = server.only("ResearchSubject"), server.only("GuidanceResponse")
    assert (kept["status"], kept["text"]) == ("ineligible", text)
    assert opinion_kept["requestIdentifier"]["value"] == "f2"
    assert opinion_kept["note"] == [{"text": "discussed"}]
    for one in (kept, opinion_kept):
        assert {name: one["meta"][name] for name in labels} == labels


def test_a_generated_narrative_goes_with_the_form_that_it_tells_of(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", text={"status": "generated", "div": "<div>candidate</div>"})
    sink.send(take_back(), write=True)
    assert "text" not in server.only("ResearchSubject")


def test_taking_back_twice_writes_nothing(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    sink.send(take_back(), write=True)
    server.asked.clear()
    written = sink.send(take_back(), write=True)
    assert (server.writes, written.notes) == (0, ())


def test_without_a_form_it_is_left_and_said(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    written = sink.send(replace(take_back(), subject=None), write=True)
    assert "nothing handed over to write" in written.notes
    assert server.only("ResearchSubject")["status"] == "candidate"


def test_a_person_s_provenance_stops_the_machine(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    reference = f"ResearchSubject/{server.only('ResearchSubject')['id']}"
    server.put({**PERSONS_PROVENANCE, "target": [{"reference": reference}]})
    written = sink.send(take_back(), write=True)
    assert written.left_to_person
    row = ledger.subject(KEY)
    assert row is not None
    assert row.state == "left-to-person"


@pytest.mark.parametrize("doubt", ["refused", "finds nothing", "not supported"])
def test_a_provenance_search_that_proves_nothing_leaves_it_alone(
    server: MemoryServer, ledger: Ledger, doubt: str
) -> None:
    sink = _proposed(server, ledger)
    left_out = frozenset(("Provenance",)) if doubt == "not supported" else frozenset[str]()
    if doubt == "refused":
        server.no_search = frozenset(("Provenance",))
    if doubt == "finds nothing":
        server.kept.pop(("Provenance", server.only("Provenance")["id"]))
    choice = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="", left_out=left_out)
    sink = ServerSink(server, ledger, choice=choice)
    assert sink.send(take_back(), write=True).left_to_person
    row = ledger.subject(KEY)
    assert row is not None
    assert row.state == "proposed"


def test_what_a_person_deleted_is_never_made_again(server: MemoryServer, ledger: Ledger) -> None:
    sink = _proposed(server, ledger)
    server.kept.pop(("ResearchSubject", server.only("ResearchSubject")["id"]))
    for _ in range(2):
        written = sink.send(propose("f2"), write=True)
        assert (written.created, written.updated) == ((), ())
        assert "gone" in written.notes[0]
    assert ledger.status().subjects == (("gone", 1),)


@pytest.mark.parametrize("status", ["on-study", "candidate"])
def test_where_parameters_are_ignored_nobody_is_held_for_another(
    server: MemoryServer, ledger: Ledger, status: str
) -> None:
    """Every search answers with everybody's: what a person set, and what we proposed."""
    server.ignores = frozenset(("identifier", "patient", "target"))
    others = {
        "status": status,
        "identifier": [{"system": KEY_SYSTEM, "value": "k9"}],
        "individual": {"reference": "Patient/p9"},
    }
    before = server.put({**subject(**others), "id": "theirs"})
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert [one.split("/")[0] for one in written.created].count("ResearchSubject") == 1
    assert not written.left_to_person
    again = ServerSink(server, ledger).send(propose(), write=True)
    assert (again.created, again.updated, again.left_to_person) == ((), (), False)
    assert server.kept["ResearchSubject", "theirs"] == before
    assert len(server.all("ResearchSubject")) == 2


def test_what_a_conditional_create_takes_for_ours_must_be_ours(
    server: MemoryServer, ledger: Ledger
) -> None:
    theirs = {"identifier": [{"system": KEY_SYSTEM, "value": "k9"}]}
    server.put({**subject(**theirs, individual={"reference": "Patient/p9"}), "id": "theirs"})
    server.put({**DEVICE, "id": "d"})
    server.any_will_do = True
    with pytest.raises(ServerBroken, match="another resource than the one asked for"):
        ServerSink(server, ledger).send(propose(), write=True)
    assert server.all("GuidanceResponse") == []


def test_a_reference_without_an_id_is_held_for_the_patient_who_was_asked_for(
    server: MemoryServer, ledger: Ledger
) -> None:
    """The server matched it: in doubt it is a person's, about this patient."""
    logical = {"identifier": {"system": "mrn", "value": "7"}, "reference": "Patient/p1"}
    server.put({**subject(status="screening", individual=logical), "id": "theirs"})
    kept = server.kept["ResearchSubject", "theirs"]
    server.kept["ResearchSubject", "theirs"] = {
        **kept,
        "individual": {"identifier": logical["identifier"]},
    }
    server.ignores = frozenset(("patient",))
    assert ServerSink(server, ledger).send(propose(), write=True).left_to_person


def test_a_search_that_lags_behind_is_not_taken_for_a_deletion(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", identifier=[], individual={"reference": "Patient/x"})
    written = sink.send(propose(), write=True)
    assert written.left_to_person
    assert len(server.all("ResearchSubject")) == 1


@pytest.mark.parametrize("action", ["keep", "none"])
def test_keep_touches_the_opinion_only(server: MemoryServer, ledger: Ledger, action: str) -> None:
    sink = _proposed(server, ledger)
    before = server.only("ResearchSubject")
    written = sink.send(keep(action=action), write=True)
    assert [one.split("/")[0] for one in written.updated] == ["GuidanceResponse"]
    assert server.only("ResearchSubject") == before


def test_keep_of_somebody_never_proposed_writes_nothing(
    server: MemoryServer, ledger: Ledger
) -> None:
    written = ServerSink(server, ledger).send(keep(), write=True)
    assert (server.writes, written.created) == (0, ())


def test_nothing_to_say_asks_nothing(server: MemoryServer) -> None:
    written = ServerSink(server, None).send(replace(keep(), opinion=None), write=True)
    assert written == Written(key=KEY, patient="p1", dry_run=False)
    assert not server.asked


def test_a_proposal_without_resources_beside_it_is_still_made(server: MemoryServer) -> None:
    bare = replace(propose(), opinion=None, provenance=None)
    assert len(ServerSink(server, None).send(bare, write=True).created) == 2


def test_a_subject_of_another_origin_belongs_to_people(
    server: MemoryServer, ledger: Ledger
) -> None:
    foreign = subject(identifier=[{"system": "ehr", "value": "7"}], status="screening")
    server.put({**foreign, "id": "e1"})
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert written.left_to_person
    assert (written.created, len(server.all("GuidanceResponse"))) == ((), 0)
    assert ledger.subject(KEY) is None


def test_a_proposal_under_an_older_id_is_found_and_kept(server: MemoryServer) -> None:
    server.put({**subject(), "id": "e1", "identifier": [{"system": KEY_SYSTEM, "value": "k0"}]})
    server.put({**subject(), "id": "e2", "study": {"reference": "ResearchStudy/s2"}})
    server.kept[("ResearchSubject", "e2")]["identifier"] = []
    merged = replace(propose(), patient="p2", patient_ids=("p1", "p2"))
    written = ServerSink(server, None).send(merged, write=True)
    assert written.unchanged == ("ResearchSubject/e1",)


def test_a_closed_earlier_attempt_does_not_stop_the_next(
    server: MemoryServer, ledger: Ledger
) -> None:
    _proposed(server, ledger)
    server.change("ResearchSubject", status="ineligible", _status=PERSON)
    next_attempt = replace(
        propose(),
        key="k2",
        subject=subject(identifier=[{"system": KEY_SYSTEM, "value": "k2"}]),
        opinion={**opinion("f1"), "identifier": [{"system": "o", "value": "k2"}]},
    )
    written = ServerSink(server, ledger).send(next_attempt, write=True)
    assert len(server.all("ResearchSubject")) == 2
    assert not written.left_to_person


def test_a_closed_subject_that_the_ledger_does_not_know_stands(server: MemoryServer) -> None:
    closed = {"status": "withdrawn", "identifier": [{"system": KEY_SYSTEM, "value": "k0"}]}
    server.put({**subject(**closed), "id": "e1"})
    assert ServerSink(server, None).send(propose(), write=True).left_to_person


def _as(key: str, patient: str, made: Proposal) -> Proposal:
    """The same under another key, of another patient."""
    assert made.subject is not None
    assert made.opinion is not None
    own = {
        "identifier": [{"system": KEY_SYSTEM, "value": key}],
        "individual": {"reference": f"Patient/{patient}"},
    }
    said = {**made.opinion, "identifier": [{"system": f"{KEY_SYSTEM}-opinion", "value": key}]}
    subject_ = {**made.subject, **own}
    ids = tuple({patient, *made.patient_ids})
    return replace(made, key=key, patient=patient, subject=subject_, opinion=said, patient_ids=ids)


def _statuses(server: MemoryServer) -> dict[str, str]:
    found = server.all("ResearchSubject")
    return {str(one["identifier"][0]["value"]): str(one["status"]) for one in found}


def test_of_two_merged_patients_each_is_held_to_what_was_written_of_it(
    server: MemoryServer, ledger: Ledger
) -> None:
    """One was taken back before they were merged: the other is no person's word beside it."""
    sink = _proposed(server, ledger)
    sink.send(take_back(), write=True)
    sink.send(replace(_as("k2", "p2", propose()), patient_ids=("p2",)), write=True)
    assert _statuses(server) == {KEY: "ineligible", "k2": "candidate"}
    written = sink.send(replace(propose("f3"), patient_ids=("p1", "p2")), write=True)
    assert not written.left_to_person
    assert _statuses(server) == {KEY: "candidate", "k2": "candidate"}
    assert any(note.startswith("duplicate: ") for note in written.notes)


def test_of_two_merged_patients_the_one_left_to_a_person_stays_a_person_s(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    server.change("ResearchSubject", status="screening")
    sink.send(propose(), write=True)
    server.change("ResearchSubject", status="candidate")
    merged = _as("k2", "p2", propose("f2"))
    assert sink.send(merged, write=True).left_to_person
    assert _statuses(server) == {KEY: "candidate"}


def _twins(server: MemoryServer) -> None:
    for number in ("e1", "e2"):
        server.put({**subject(), "id": number})


def test_of_two_the_one_that_a_person_touched_is_kept(server: MemoryServer) -> None:
    _twins(server)
    server.put({**subject(status="screening"), "id": "e2"})
    written = ServerSink(server, None).send(propose(), write=True)
    assert written.unchanged[0] == "ResearchSubject/e2"
    assert "duplicate: ResearchSubject/e1 stands beside it" in written.notes


def test_of_two_the_one_with_a_person_s_provenance_is_kept(server: MemoryServer) -> None:
    _twins(server)
    for number, who in (("e1", "Device/1"), ("e2", "Practitioner/1")):
        target = [{"reference": f"ResearchSubject/{number}"}]
        agent = [{"who": {"reference": who}}]
        made = {**PERSONS_PROVENANCE, "id": number, "target": target, "agent": agent}
        server.put(made)
    written = ServerSink(server, None).send(propose(), write=True)
    assert written.unchanged[0] == "ResearchSubject/e2"


def test_of_two_untouched_the_oldest_is_kept(server: MemoryServer) -> None:
    _twins(server)
    for number in ("e1", "e2"):
        target = [{"reference": f"ResearchSubject/{number}"}]
        agent = [{"who": {"reference": "Device/1"}}]
        server.put({**PERSONS_PROVENANCE, "id": number, "target": target, "agent": agent})
    written = ServerSink(server, None).send(propose(), write=True)
    assert written.unchanged[0] == "ResearchSubject/e1"


def test_a_server_without_research_subject_is_left_to_the_ledger(
    server: MemoryServer, ledger: Ledger
) -> None:
    choice = Choice(strategy=Strategy.LEDGER_ONLY, reason="no ResearchSubject")
    written = ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert written.notes == ("nothing written: no ResearchSubject",)
    assert not server.asked


def test_types_that_the_server_does_not_take_are_left_out_and_named(
    server: MemoryServer, ledger: Ledger
) -> None:
    left_out = frozenset(("Device", "GuidanceResponse", "Provenance"))
    choice = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="", left_out=left_out)
    written = ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert [one.split("/")[0] for one in written.created] == ["ResearchSubject"]
    assert len(written.notes) == 2


def test_the_device_is_found_again_and_its_version_brought_up(server: MemoryServer) -> None:
    server.put({**DEVICE, "id": "d1", "location": {"reference": "Location/1"}})
    newer = {**DEVICE, "version": [{"value": "0.2"}]}
    written = ServerSink(server, None).send(replace(propose(), device=newer), write=True)
    device = server.only("Device")
    assert written.updated == ("Device/d1",)
    assert (device["version"], "location" in device) == (newer["version"], True)


def test_a_subject_that_names_the_device_is_compared_with_its_id(server: MemoryServer) -> None:
    by = {"url": f"{SET_BY}-device", "valueReference": {"reference": "Device/{id}"}}
    named = propose(_status={"extension": [*propose().subject["_status"]["extension"], by]})  # type: ignore[index] # it is there
    ServerSink(server, None).send(named, write=True)
    server.asked.clear()
    ServerSink(server, None).send(named, write=True)
    assert server.writes == 0


def test_by_conditional_update_two_who_write_one_opinion_leave_one(
    server: MemoryServer, ledger: Ledger
) -> None:
    """The other writes between our search and our PUT; of the ResearchSubject none is so made."""
    choice = Choice(strategy=Strategy.SEARCH_THEN_CREATE, reason="", conditional_update=True)
    theirs = {**opinion("theirs"), "id": "o"}
    server.before["update_where"] = [lambda: None, lambda: server.put(theirs)]
    written = ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert server.asked["update_where"] == 2
    assert "GuidanceResponse/o" in written.created
    assert server.only("GuidanceResponse")["requestIdentifier"]["value"] == "f1"
    assert len(server.all("ResearchSubject")) == 1
    again = ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert (again.created, again.updated) == ((), ())


def test_a_conditional_update_whose_answer_is_lost_is_looked_for(
    server: MemoryServer, ledger: Ledger
) -> None:
    choice = Choice(strategy=Strategy.SEARCH_THEN_CREATE, reason="", conditional_update=True)
    server.after["update_where"] = [lost, lost]
    ServerSink(server, ledger, choice=choice).send(propose(), write=True)
    assert server.asked["update_where"] == 2
    assert [len(server.all(kind)) for kind in ("Device", "GuidanceResponse")] == [1, 1]


def test_an_extension_of_somebody_else_on_the_status_is_a_person_s(
    server: MemoryServer, ledger: Ledger
) -> None:
    sink = _proposed(server, ledger)
    ours = server.only("ResearchSubject")["_status"]["extension"]
    theirs = {"url": "http://hospital.example/said-by", "valueString": "call first"}
    server.change("ResearchSubject", _status={"extension": [*ours, theirs]})
    assert sink.send(take_back(), write=True).left_to_person
    assert server.only("ResearchSubject")["_status"]["extension"] == [*ours, theirs]
