"""The one place where R5 is turned: only where it is taken, and only once a server has said so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fhir_adapter.client import Entry, FhirClient
from fhir_adapter.errors import OtherVersion, ServerBroken

Make = Callable[..., FhirClient]
STATE = "http://terminology.hl7.org/CodeSystem/research-subject-state"
SUBJECT: dict[str, Any] = {
    "resourceType": "ResearchSubject",
    "id": "1",
    "status": "active",
    "progress": [{"subjectState": {"coding": [{"system": STATE, "code": "candidate"}]}}],
    "subject": {"reference": "Patient/1"},
}
IN_R4 = {
    "resourceType": "ResearchSubject",
    "id": "1",
    "status": "candidate",
    "individual": {"reference": "Patient/1"},
}
TYPES = ("ResearchSubject", "Procedure", "DocumentReference", "Transport", "PlanDefinition")


def metadata(version: str = "5.0.0") -> dict[str, Any]:
    codes = [{"code": one} for one in ("read", "create", "update", "search-type", "history-type")]
    params = [{"name": name} for name in ("subject", "subject_state", "identifier")]
    rest = {
        "mode": "server",
        "interaction": [{"code": "batch"}, {"code": "search-system"}],
        "resource": [
            {"type": name, "interaction": codes, "searchParam": params} for name in TYPES
        ] + [{"type": "Encounter"}],
    }  # fmt: skip
    return {"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": [rest]}


def bundle(*resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    entries = [{"resource": one} for one in resources]
    return {"resourceType": "Bundle", "total": len(entries), "entry": entries, **more}


@pytest.fixture
def speaking(server: Any, reply: Any, client_of: Make) -> FhirClient:
    server.say(reply(metadata()))
    client = client_of(server, takes_r5=True)
    client.capability()
    server.replies.clear()
    return client


@pytest.mark.parametrize(
    ("takes", "version"),
    [(False, "5.0.0"), (True, "5.0.0-ballot"), (True, "6.0.0"), (True, "3.0.2")],
)
def test_what_is_not_taken_is_refused_by_name(
    server: Any, reply: Any, client_of: Make, takes: bool, version: str
) -> None:
    server.say(reply(metadata(version)))
    with pytest.raises(OtherVersion):
        client_of(server, takes_r5=takes).capability()


def test_a_server_of_r4_is_left_alone(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(metadata("4.0.1")), reply(SUBJECT))
    client = client_of(server, takes_r5=True)
    assert len(client.capability().types) == len(TYPES) + 1
    assert client.read("ResearchSubject", "1") == SUBJECT


def test_what_it_offers_is_told_in_r4s_terms(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(metadata()))
    found = client_of(server, takes_r5=True).capability()
    assert (found.is_r5, found.interactions) == (True, {"search-system"})
    kinds = {one.resource_type: one for one in found.types}
    assert kinds.keys() == {"ResearchSubject", "Procedure", "DocumentReference", "Encounter"}
    assert {"patient", "status"} <= kinds["ResearchSubject"].search_params
    assert "create" in kinds["ResearchSubject"].interactions
    for name in ("Procedure", "DocumentReference", "Encounter"):
        assert "search-type" in kinds[name].interactions
        assert kinds[name].interactions.isdisjoint({"create", "update"})


def test_what_one_client_was_told_another_of_the_same_server_knows(
    server: Any, reply: Any, client_of: Make
) -> None:
    early = client_of(server, takes_r5=True)
    server.say(reply(metadata()), reply(SUBJECT))
    client_of(server, takes_r5=True).know_version()
    assert early.read("ResearchSubject", "1") == IN_R4


def test_the_version_is_asked_until_it_is_known(server: Any, reply: Any, client_of: Make) -> None:
    client = client_of(server, takes_r5=True)
    nothing = reply({"resourceType": "OperationOutcome", "issue": []}, status=404)
    server.say(nothing, reply(metadata()))
    for _ in range(3):
        client.know_version()
    assert [one.path.rpartition("/")[2] for one in server.seen] == ["metadata", "metadata"]
    client_of(server).know_version()
    assert len(server.seen) == 2, "a client that takes R4 alone has nothing to ask"


def test_a_version_that_is_not_spoken_is_refused_when_it_is_asked(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(metadata("6.0.0")))
    with pytest.raises(OtherVersion):
        client_of(server, takes_r5=True).know_version()


def test_what_came_by_another_way_is_told_in_r4(speaking: FhirClient) -> None:
    assert speaking.in_r4(SUBJECT) == IN_R4
    with pytest.raises(ServerBroken):
        speaking.in_r4({"resourceType": "Transport"})
    with pytest.raises(ServerBroken):
        speaking.in_r4({})


def test_a_status_of_stays_is_asked_in_the_words_of_r5(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    server.say(reply(bundle()))
    speaking.search("Encounter", {"status": "planned,arrived,triaged,onleave", "class": "arrived"})
    query = server.seen[-1].path.partition("?")[2]
    assert query == "status=planned,in-progress,on-hold&class=arrived"


def test_a_resource_is_read_in_its_r4_form(server: Any, reply: Any, speaking: FhirClient) -> None:
    server.say(reply(SUBJECT))
    assert speaking.read("ResearchSubject", "1") == IN_R4


def test_a_search_is_asked_in_r5_and_answered_in_r4(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    url = f"{server.url}/ResearchSubject?subject=Patient/1"
    server.say(reply(bundle(SUBJECT, link=[{"relation": "self", "url": url}])))
    found = speaking.search("ResearchSubject", {"patient": "1"})
    assert server.seen[-1].path.endswith("ResearchSubject?subject=Patient/1")
    assert (found.matches, found.complete) == ((IN_R4,), True)


def test_a_repeated_parameter_and_a_modifier_keep_their_form(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    server.say(reply(bundle()))
    speaking.search("ResearchSubject", {"patient": ("1", "Patient/2"), "status:not": "candidate"})
    asked = server.seen[-1].path.partition("?")[2]
    assert asked == "subject=Patient/1&subject=Patient/2&subject_state:not=candidate"


def test_what_cannot_be_read_makes_the_search_incomplete(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    unread = {"resourceType": "ServiceRequest", "id": "1", "code": {"reference": {}}}
    server.say(reply(bundle(unread)))
    found = speaking.search("ServiceRequest", {"patient": "1"})
    assert (found.complete, found.why_not) == (False, "entry-without-resource")


def test_a_type_that_is_not_read_or_written_is_refused(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    server.say(reply({"resourceType": "Transport", "id": "1"}))
    with pytest.raises(ServerBroken):
        speaking.read("Transport", "1")
    sent = len(server.seen)
    with pytest.raises(ServerBroken):
        speaking.create({"resourceType": "DocumentReference"})
    with pytest.raises(ServerBroken):
        speaking.batch([Entry(method="GET", url="Patient/1")])
    assert len(server.seen) == sent


def test_what_is_written_is_r5_and_what_comes_back_r4(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    server.say(reply(SUBJECT, status=201))
    saved = speaking.create(IN_R4, if_none_exist={"patient": "1", "identifier": "s|v"})
    assert json.loads(server.seen[-1].body) == SUBJECT
    assert server.seen[-1].headers["If-None-Exist"] == "subject=Patient/1&identifier=s|v"
    assert saved.resource == IN_R4
    speaking.update(IN_R4)
    assert json.loads(server.seen[-1].body) == SUBJECT
    speaking.update_where(IN_R4, {"patient": "1"})
    assert server.seen[-1].path.endswith("?subject=Patient/1")


def test_a_write_without_an_answer_in_it_is_saved_all_the_same(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    server.say(reply(b"", status=201, headers={"Location": f"{server.url}/ResearchSubject/7"}))
    assert speaking.create(IN_R4).id == "7"


def test_history_comes_in_r4(server: Any, reply: Any, speaking: FhirClient) -> None:
    server.say(reply(bundle(SUBJECT)))
    assert speaking.history("ResearchSubject", since="2026-01-01") == (IN_R4,)


def test_a_first_page_that_is_here_already_is_proved_by_its_r5_name(
    server: Any, reply: Any, speaking: FhirClient
) -> None:
    url = f"{server.url}/ResearchSubject?subject=Patient/1"
    first = bundle(IN_R4, link=[{"relation": "self", "url": url}])
    assert speaking.search_from("ResearchSubject", {"patient": "1"}, first).complete


ONLY_IN_R5: dict[str, dict[str, Any]] = {
    "a participation": SUBJECT,
    "a consent": {"resourceType": "Consent", "status": "active", "decision": "deny"},
    "a stay": {"resourceType": "Encounter", "class": [{"text": "inpatient"}]},
    "a drug": {"resourceType": "MedicationRequest", "medication": {"concept": {"text": "x"}}},
    "a procedure": {"resourceType": "Procedure", "occurrenceDateTime": "2026"},
    "an order": {"resourceType": "ServiceRequest", "code": {"concept": {"text": "x"}}},
    "an allergy": {
        "resourceType": "AllergyIntolerance", "reaction": [{"manifestation": [{"concept": {}}]}],
    },
}  # fmt: skip
OF_BOTH: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "1"},
    {"resourceType": "Observation", "code": {"text": "x"}},
    {"resourceType": "Encounter", "class": {"code": "IMP"}},
    {"resourceType": "ServiceRequest", "code": {"text": "x"}},
    {"resourceType": "AllergyIntolerance", "reaction": [{"manifestation": [{"text": "x"}]}]},
]


@pytest.mark.parametrize("name", ONLY_IN_R5)
def test_a_server_that_does_not_say_its_version_is_not_read_as_r4_when_it_sends_r5(
    server: Any, reply: Any, client_of: Make, name: str
) -> None:
    """Its metadata may fail for a moment: a consent would have lost its decision."""
    kind = str(ONLY_IN_R5[name]["resourceType"])
    server.say(reply(bundle(*OF_BOTH, ONLY_IN_R5[name])))
    with pytest.raises(OtherVersion):
        client_of(server, takes_r5=True).search(kind, {"patient": "1"})


def test_a_server_that_does_not_say_its_version_may_be_one_of_r4(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(bundle(*OF_BOTH)))
    found = client_of(server, takes_r5=True).search("Patient", {"_id": "1"})
    assert len((*found.matches, *found.included)) == len(OF_BOTH)
