"""Duplicates on a server: one is kept, the machine's others go, a person's are told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from fhir_adapter.errors import WriteConflict
from fhir_adapter.ledger import Ledger
from fhir_adapter.ports import Resource
from fhir_adapter.writeback import (
    Forms,
    Repair,
    Repaired,
    Sender,
    ServerSink,
    Stored,
    Strategy,
)
from fhir_adapter.writeback.needs import SubjectState
from fhir_adapter.writeback.strategy import Choice
from tests.writeback.memory_server import MemoryServer
from tests.writeback.proposals import (
    DEVICE,
    KEY,
    KEY_SYSTEM,
    MACHINE,
    propose,
    provenance,
    subject,
    take_back,
)

REPLACED = "https://fhir-adapter.example/fhir/StructureDefinition/status-replaced-by"
FORMS = Forms(
    study="ResearchStudy/s1",
    system=KEY_SYSTEM,
    status=MACHINE,
    device=DEVICE,
    provenance=provenance(),
)
CHOICE = Choice(strategy=Strategy.CONDITIONAL_CREATE, reason="a test's")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a ledger remembers of one key."""

    reference: str
    status: str = "candidate"
    fingerprint: str = ""
    state: SubjectState = "proposed"
    changed_at: int = 0


def stored(reference: str = "", key: str = KEY, patient: str = "p1", **more: Any) -> Stored:
    return Stored(key=key, patient=patient, last=Row(reference=reference, **more))


def put(server: MemoryServer, number: str, *, proof: bool = True, **elements: Any) -> Resource:
    made = server.put({**subject(**elements), "id": number})
    if proof:
        targets = [{"reference": f"ResearchSubject/{number}"}]
        agent = [{"who": {"reference": "Device/d"}}]
        server.put(
            {"resourceType": "Provenance", "id": f"p{number}", "target": targets, "agent": agent}
        )
    return made


def repair(
    server: MemoryServer, *rows: Stored, write: bool = True, **choice: Any
) -> tuple[Repaired, ...]:
    return plan(server, *rows, write=write, **choice).run()


def plan(server: MemoryServer, *rows: Stored, write: bool = True, **choice: Any) -> Repair:
    sender = Sender(client=server, choice=replace(CHOICE, **choice), write=write)
    return Repair(sender=sender, forms=FORMS, stored=rows)


def statuses(server: MemoryServer) -> dict[str, str]:
    return {one["id"]: one["status"] for one in server.all("ResearchSubject")}


def test_the_oldest_is_kept_and_the_others_are_closed(server: MemoryServer) -> None:
    for number in "abc":
        put(server, number)
    (dry,) = repair(server, write=False)
    assert server.writes == 0
    (found,) = repair(server)
    assert found == dry
    assert found.kept == "ResearchSubject/a"
    others = (("not-registered", "ResearchSubject/b"), ("not-registered", "ResearchSubject/c"))
    assert found.done == others
    assert [key for key, status in statuses(server).items() if status == "candidate"] == ["a"]
    assert repair(server) == ()


def test_the_one_that_a_person_touched_is_kept_though_it_is_younger(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b", status="screening")
    (found,) = repair(server)
    assert found.kept == "ResearchSubject/b"
    assert statuses(server) == {"a": "not-registered", "b": "screening"}


def test_a_persons_provenance_or_entry_is_a_persons_touch(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b")
    server.put(
        {
            "resourceType": "Provenance",
            "id": "person",
            "target": [{"reference": "ResearchSubject/b"}],
            "agent": [{"who": {"reference": "Practitioner/1"}}],
        }
    )
    (found,) = repair(server, write=False)
    assert found.kept == "ResearchSubject/b"


def test_one_that_a_person_made_without_our_key_is_kept(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b", proof=False, identifier=[{"system": "urn:theirs", "value": "7"}])
    (found,) = repair(server, write=False)
    assert found.kept == "ResearchSubject/b"


@pytest.mark.parametrize("second", [{"status": "screening"}, {"period": {"start": "2026-11-01"}}])
def test_two_of_people_are_told_and_nothing_is_done(
    server: MemoryServer, second: dict[str, Any]
) -> None:
    put(server, "a", status="eligible")
    put(server, "b", **second)
    put(server, "c")
    before = statuses(server)
    (found,) = repair(server)
    assert (found.kept, {act for act, _ in found.done}) == ("", {"tell"})
    assert found.why
    assert (server.writes, statuses(server)) == (0, before)


@pytest.mark.parametrize("refused", [False, True])
def test_where_no_provenance_is_found_at_all_it_is_told(
    server: MemoryServer, *, refused: bool
) -> None:
    put(server, "a", proof=refused)
    put(server, "b", proof=refused)
    server.no_search = frozenset(("Provenance",) if refused else ())
    (found,) = repair(server)
    assert (found.kept, server.writes) == ("", 0)
    assert "Provenance" in found.why


@pytest.mark.parametrize("bare", ["a", "b"])
def test_one_of_ours_that_a_kill_left_without_provenance_is_no_persons(
    server: MemoryServer, bare: str
) -> None:
    """The search shows that of the other one, so it works."""
    for number in "ab":
        put(server, number, proof=number != bare)
    (found,) = repair(server)
    assert found.kept == "ResearchSubject/a"
    assert statuses(server) == {"a": "candidate", "b": "not-registered"}


def test_beside_a_persons_one_left_without_provenance_goes(server: MemoryServer) -> None:
    put(server, "a", proof=False)
    put(server, "b", status="screening")
    (found,) = repair(server)
    assert found.kept == "ResearchSubject/b"
    assert statuses(server) == {"a": "not-registered", "b": "screening"}


def test_a_run_keeps_the_one_that_repair_would_keep(server: MemoryServer, ledger: Ledger) -> None:
    put(server, "a")
    put(server, "b", proof=False)
    written = ServerSink(server, ledger).send(propose(), write=True)
    assert written.unchanged[0] == "ResearchSubject/a"
    row = ledger.subject(KEY)
    assert row is not None
    assert row.reference == "ResearchSubject/a"


def test_a_closed_one_names_what_took_its_place(server: MemoryServer) -> None:
    server.put({**DEVICE, "id": "d"})
    put(server, "a")
    put(server, "b")
    (found,) = repair(server)
    assert found.done == (("not-registered", "ResearchSubject/b"),)
    (other,) = [one for one in server.all("ResearchSubject") if one["id"] == "b"]
    extensions = {one["url"]: one for one in other["_status"]["extension"]}
    assert extensions[REPLACED]["valueReference"] == {"reference": "ResearchSubject/a"}
    assert (other["status"], len(extensions)) == ("not-registered", 2)
    (proof,) = [one for one in server.all("Provenance") if len(one["target"]) > 1]
    assert {one["reference"] for one in proof["target"]} == {"ResearchSubject/b", "Patient/p1"}
    assert repair(server) == (), "a closed one is no duplicate any more"


def test_without_our_device_or_where_no_provenance_is_taken_none_is_written(
    server: MemoryServer,
) -> None:
    put(server, "a")
    put(server, "b")
    repair(server)
    assert [one for one in server.all("Provenance") if len(one["target"]) > 1] == []


def test_who_changes_it_in_between_has_the_last_word(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b")
    server.before["read"] = [lambda: server.put({**subject(status="screening"), "id": "b"})]
    (found,) = repair(server)
    assert found.done == (("tell", "ResearchSubject/b"),)
    assert found.why == "it changed meanwhile"
    assert statuses(server)["b"] == "screening"


def test_a_write_that_meets_a_change_is_told(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b")

    def conflict() -> None:
        raise WriteConflict("412")

    server.before["update"] = [conflict]
    (found,) = repair(server)
    assert found.done == (("tell", "ResearchSubject/b"),)


def test_one_that_is_gone_already_needs_nothing(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b")
    server.before["read"] = [lambda: server.kept.pop(("ResearchSubject", "b"))]
    (found,) = repair(server)
    assert found.done == (("gone", "ResearchSubject/b"),)


def test_what_was_put_away_is_no_persons_word_to_the_next_run(
    server: MemoryServer, ledger: Ledger
) -> None:
    """Both carry the key."""
    server.put({**DEVICE, "id": "d"})
    put(server, "a")
    put(server, "b")
    repair(server)
    assert not ServerSink(server, ledger).send(take_back(), write=True).left_to_person
    assert statuses(server) == {"a": "ineligible", "b": "not-registered"}


def test_closed_attempts_and_other_studies_and_patients_are_no_duplicates(
    server: MemoryServer,
) -> None:
    put(server, "a")
    put(server, "b", status="ineligible")
    put(server, "c", study={"reference": "ResearchStudy/other"})
    put(
        server,
        "d",
        identifier=[{"system": KEY_SYSTEM, "value": "k2"}],
        individual={"reference": "Patient/p2"},
    )
    assert repair(server) == ()


def test_where_the_server_cannot_search_by_study_the_ledger_knows_whom_to_ask_for(
    server: MemoryServer,
) -> None:
    put(server, "a")
    put(server, "b", identifier=[{"system": KEY_SYSTEM, "value": "k2"}])
    server.no_study_search = True
    assert repair(server, write=False) == ()
    (found,) = repair(server, stored("ResearchSubject/a"), write=False)
    assert found.kept == "ResearchSubject/a"
    assert repair(server, stored("ResearchSubject/a", patient=""), write=False) == ()


def test_what_was_left_to_a_person_before_stays_a_persons(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b")
    row = stored("ResearchSubject/b", state="left-to-person")
    (found,) = repair(server, row, write=False)
    assert found.kept == "ResearchSubject/b"


def test_the_status_that_the_ledger_remembers_is_the_one_that_counts(server: MemoryServer) -> None:
    put(server, "a")
    put(server, "b", status="candidate")
    row = stored("ResearchSubject/b", status="potential-candidate")
    (found,) = repair(server, row, write=False)
    assert found.kept == "ResearchSubject/b", "somebody moved it from where we had left it"


def of_p2(server: MemoryServer, number: str, **elements: Any) -> Resource:
    """A second record's, under a key of its own."""
    identifier = [{"system": KEY_SYSTEM, "value": "k2"}]
    return put(
        server, number, identifier=identifier, individual={"reference": "Patient/p2"}, **elements
    )


@pytest.mark.parametrize("says", ["p1", "p2"])
def test_two_of_one_merged_patient_are_duplicates_whichever_record_tells(
    server: MemoryServer, says: str
) -> None:
    put(server, "a")
    of_p2(server, "b")
    joined = {"p1": ("p2",), "p2": ("p1",)}[says]
    one = replace(plan(server), aliases=lambda patient: joined if patient == says else ())
    (found,) = one.run()
    assert (found.kept, found.done) == (
        "ResearchSubject/a",
        (("not-registered", "ResearchSubject/b"),),
    )
    assert one.run() == ()


def test_where_it_cannot_be_told_who_was_merged_a_person_is_told(server: MemoryServer) -> None:
    """The doubles under one id are mended all the same."""
    put(server, "a")
    put(server, "b")
    of_p2(server, "c")
    found = replace(plan(server), aliases=lambda patient: None if patient == "p2" else ()).run()
    assert [one.done for one in found] == [
        (("not-registered", "ResearchSubject/b"),),
        (("tell", "ResearchSubject/c"),),
    ]
    assert "merged" in found[1].why


def test_the_double_of_one_that_a_person_closed_goes(server: MemoryServer) -> None:
    """One key is one attempt: it is no other one that stands open."""
    put(server, "a", status="withdrawn", _status=None)
    put(server, "b")
    (found,) = repair(server)
    assert found.kept == "ResearchSubject/a"
    assert statuses(server) == {"a": "withdrawn", "b": "not-registered"}
    assert repair(server) == ()
