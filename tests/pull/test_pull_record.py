"""One patient from a server: what is there, and what is said about what is not."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_fake import Fake, need, of, patient

from fhir_adapter.client import FhirClient
from fhir_adapter.errors import PatientNotFound, ServerBroken, ServerRefused, ServerUnreachable
from fhir_adapter.ports import Pulled
from fhir_adapter.pull import record_server
from fhir_adapter.pull.record import ServerRecords

TWELVE = [
    "Patient",
    "Observation",
    "Condition",
    "Procedure",
    "MedicationRequest",
    "MedicationStatement",
    "Encounter",
    "AllergyIntolerance",
    "Immunization",
    "DocumentReference",
    "Consent",
    "ResearchSubject",
]


def keys(pulled: Pulled) -> set[str]:
    return {f"{r['resourceType']}/{r.get('id', '')}" for r in pulled.resources}


def why(pulled: Pulled) -> dict[str, str]:
    return {t.resource_type: t.why_not for t in pulled.types}


def test_a_record_is_one_search_per_type(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1"), of("1", "Observation", "a"), of("2", "Observation", "b"))

    pulled = ServerRecords(client).pull("1", need("Patient", "Observation", "Observation"))

    assert keys(pulled) == {"Patient/1", "Observation/a"}
    assert why(pulled) == {"Patient": "", "Observation": ""}
    assert all(t.complete for t in pulled.types)
    assert pulled.aliases == ()


def test_twelve_types_cost_twelve_requests_and_the_capability_once(
    fake: Fake, client: FhirClient
) -> None:
    fake.put(patient("1"), patient("2")).can(*TWELVE)
    source = ServerRecords(client)
    counts = [source.pull(one, need(*TWELVE)).requests for one in ("1", "2")]
    canaries = 11  # whether nothing is there at all, for each type that was empty: once
    assert counts == [13 + canaries, 12]


def test_categories_of_the_site_are_searched_one_by_one(fake: Fake, client: FhirClient) -> None:
    fake.put(
        patient("1"),
        of("1", "Observation", "a", category="laboratory"),
        of("1", "Observation", "b", category="vital-signs"),
        of("1", "Observation", "c", category="x"),
    )
    source = ServerRecords(client, categories={"Observation": ("laboratory", "vital-signs")})
    assert keys(source.pull("1", need("Observation"))) == {
        "Patient/1",
        "Observation/a",
        "Observation/b",
    }


@pytest.mark.parametrize(
    ("habit", "code"),
    [
        ({"status": {"Observation": 403}}, "forbidden"),
        ({"status": {"Observation": 401}}, "unauthorized"),
        ({"status": {"Observation": 400}}, "search-refused"),
        ({"status": {"Observation": 500}}, "server-broken"),
        ({"status": {"Observation": 429}}, "throttled"),
        ({"total_off": 1}, "cut-short"),
        ({"ignoring": True}, "parameter-ignored"),
        ({"lying": True}, "foreign-patient"),
        ({"page": 1, "next_base": "http://127.0.0.1:9/fhir"}, "foreign-next-link"),
    ],
)
def test_a_type_that_fails_is_said_and_never_raises(
    fake: Fake, client: FhirClient, habit: dict[str, Any], code: str
) -> None:
    fake.put(
        patient("1"),
        of("1", "Observation", "a"),
        of("1", "Observation", "a2"),
        of("2", "Observation", "b"),
    ).can("Patient", "Observation")
    for name, value in habit.items():
        setattr(fake, name, value)
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert why(pulled)["Observation"] == code
    assert "Observation/b" not in keys(pulled)


def test_a_type_the_server_does_not_list_is_not_asked_for(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1")).can("Condition", searchParam=[{"name": "code"}])
    pulled = ServerRecords(client).pull("1", need("Observation", "Condition"))
    assert why(pulled) == {
        "Patient": "",
        "Observation": "not-supported",
        "Condition": "not-supported",
    }
    assert not any("Observation" in line or "Condition" in line for line in fake.asked)


def test_after_two_throttled_types_the_rest_is_not_asked_for(
    fake: Fake, client: FhirClient
) -> None:
    fake.put(patient("1")).status = {"Observation": 429, "Condition": 429}
    pulled = ServerRecords(client).pull("1", need("Observation", "Condition", "Procedure"))
    assert why(pulled)["Procedure"] == "throttled"
    assert not any("Procedure" in line for line in fake.asked)


def test_an_unknown_patient_raises(fake: Fake, client: FhirClient) -> None:
    with pytest.raises(PatientNotFound):
        ServerRecords(client).pull("canary", need("Observation"))


def test_a_401_on_the_patient_raises(fake: Fake, client: FhirClient) -> None:
    fake.status = {"Patient": 401}
    with pytest.raises(ServerRefused):
        ServerRecords(client).pull("1", [])


def test_a_403_on_the_patient_is_said(fake: Fake, client: FhirClient) -> None:
    fake.put(of("1", "Observation", "a")).status = {"Patient": 403}
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert why(pulled) == {"Patient": "forbidden", "Observation": ""}


def test_a_server_that_is_not_there_raises() -> None:
    client = FhirClient("http://127.0.0.1:9/fhir", sleep=lambda _: None)
    with pytest.raises(ServerUnreachable):
        ServerRecords(client).pull("1", [])


def medication(reference: str, resource_id: str = "r") -> dict[str, Any]:
    return of("1", "MedicationRequest", resource_id, medicationReference={"reference": reference})


def test_a_medication_is_read_once_for_all_patients(fake: Fake, client: FhirClient) -> None:
    fake.put(
        patient("1"),
        medication("Medication/m"),
        medication("Medication/m/_history/2", "r2"),
        medication(f"{fake.url}/Medication/m", "r3"),
        {"resourceType": "Medication", "id": "m"},
    )
    source = ServerRecords(client)
    for _ in range(2):
        pulled = source.pull("1", need("MedicationRequest", "Medication"))
        assert "Medication/m" in keys(pulled)
        assert why(pulled) == {"Patient": "", "MedicationRequest": ""}
    assert sum("Medication/m" in line for line in fake.asked) == 1


@pytest.mark.parametrize("refusing", [False, True])
def test_an_include_is_used_where_it_is_offered_and_works(
    fake: Fake, client: FhirClient, refusing: bool
) -> None:
    fake.put(patient("1"), medication("Medication/m"), {"resourceType": "Medication", "id": "m"})
    fake.can("MedicationRequest", searchInclude=["MedicationRequest:medication"])
    fake.with_include, fake.without_include = not refusing, refusing
    pulled = ServerRecords(client).pull("1", need("MedicationRequest"))
    assert keys(pulled) == {"Patient/1", "MedicationRequest/r", "Medication/m"}
    assert pulled.requests == (5 if refusing else 3)


def test_an_include_that_meets_a_broken_server_is_not_repeated(
    fake: Fake, client: FhirClient
) -> None:
    fake.put(patient("1")).can("MedicationRequest", searchInclude=["*"])
    fake.status = {"MedicationRequest": 403}
    assert (
        why(ServerRecords(client).pull("1", need("MedicationRequest")))["MedicationRequest"]
        == "forbidden"
    )


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("Medication/gone", 0, "reference-missing"),
        ("Medication/m", 403, "forbidden"),
        ("http://127.0.0.1:9/other/Medication/m", 0, "foreign-reference"),
        ("#contained", 0, ""),
        ("Substance/1", 0, ""),
    ],
)
def test_a_medication_that_cannot_be_read_leaves_its_request_incomplete(
    fake: Fake, client: FhirClient, reference: str, status: int, code: str
) -> None:
    fake.put(patient("1"), medication(reference), medication(reference, "r2"))
    fake.status = {"Medication/": status} if status else {}
    pulled = ServerRecords(client).pull("1", need("MedicationRequest"))
    assert why(pulled)["MedicationRequest"] == code
    assert pulled.issues == (("medication-unread",) if code else ())


def test_an_unread_study_is_an_issue_only(fake: Fake, client: FhirClient) -> None:
    subject = {
        "resourceType": "ResearchSubject",
        "id": "s",
        "individual": {"reference": "Patient/1"},
        "study": {"reference": "ResearchStudy/x"},
    }
    fake.put(patient("1"), subject)
    pulled = ServerRecords(client).pull("1", need("ResearchSubject"))
    assert (why(pulled)["ResearchSubject"], pulled.issues) == ("", ("researchstudy-unread",))


def test_the_cache_of_medications_has_a_bound(
    fake: Fake, client: FhirClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_server, "_MOST_CACHED", 1)
    fake.put(
        patient("1"),
        medication("Medication/m"),
        medication("Medication/n", "r2"),
        {"resourceType": "Medication", "id": "m"},
        {"resourceType": "Medication", "id": "n"},
    )
    source = ServerRecords(client)
    assert "Medication/n" in keys(source.pull("1", need("MedicationRequest")))
    assert list(source.companions) == ["Medication/n"]


def test_merged_ids_are_followed_to_the_end(fake: Fake, client: FhirClient) -> None:
    fake.put(
        patient("1", ("replaces", "2"), ("seealso", "9")),
        patient("2", ("replaced-by", "1"), ("replaces", "3")),
        patient("3"),
        of("3", "Observation", "old"),
        of("9", "Observation", "other"),
    )
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert pulled.aliases == ("2", "3")
    assert keys(pulled) == {"Patient/1", "Patient/2", "Patient/3", "Observation/old"}


def test_a_circle_of_merges_is_no_merge(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1", ("replaced-by", "2")), patient("2", ("replaced-by", "1")))
    pulled = ServerRecords(client).pull("1", [])
    assert (pulled.aliases, pulled.issues, keys(pulled)) == ((), ("merge-cycle",), {"Patient/1"})


def test_a_merged_patient_that_is_gone_keeps_its_id(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1", ("replaces", "2")), of("2", "Observation", "old"))
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert (pulled.aliases, pulled.issues) == (("2",), ("merge-target-missing",))
    assert "Observation/old" in keys(pulled)


def test_a_merged_patient_that_is_forbidden_leaves_patient_incomplete(
    fake: Fake, client: FhirClient
) -> None:
    fake.put(patient("1", ("replaces", "2"))).status = {"Patient/2": 403}
    assert why(ServerRecords(client).pull("1", []))["Patient"] == "forbidden"


def test_a_survivor_that_answers_for_the_merged_one_is_an_alias(
    fake: Fake, client: FhirClient
) -> None:
    fake.store["Patient/1"] = patient("2")
    fake.put(of("2", "Observation", "a"))
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert pulled.aliases == ("2",)
    assert "Observation/a" in keys(pulled)


def test_a_resource_without_id_is_kept(fake: Fake, client: FhirClient) -> None:
    nameless = of("1", "Observation", "x")
    del nameless["id"]
    fake.put(patient("1")).store["Observation/x"] = nameless
    assert "Observation/" in keys(ServerRecords(client).pull("1", need("Observation")))


def test_patients_are_listed_in_order(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("b"), patient("a"), patient("c")).page = 2
    assert list(ServerRecords(client).patients()) == ["a", "b", "c"]


def test_a_list_of_patients_that_is_cut_short_raises(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("b")).total_off = 1
    with pytest.raises(ServerBroken, match="cut-short"):
        list(ServerRecords(client).patients())
