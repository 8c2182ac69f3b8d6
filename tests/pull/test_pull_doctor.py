"""What the doctor says of servers with good and bad habits."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_fake import Fake, need, of, patient

from fhir_adapter.client import FhirClient
from fhir_adapter.pull.doctor import Finding, Proof, ServerDoctor, scopes_of

PASSED, FAILED, UNPROVED = Proof.PASSED, Proof.FAILED, Proof.UNPROVED


def said(findings: tuple[Finding, ...]) -> dict[tuple[str, str], tuple[Proof, str]]:
    return {(f.check, f.resource_type): (f.ok, f.code) for f in findings}


def examine(fake: Fake, client: FhirClient, *types: str, known: str = "1") -> dict[Any, Any]:
    found = ServerDoctor(client).examine(need(*(types or ("Observation",))), known_patient=known)
    assert all(f.remedy for f in found if f.ok is FAILED)
    return said(found)


def fill(fake: Fake) -> None:
    fake.put(patient("1"), of("2", "Observation", "c"))
    fake.put(of("1", "Observation", "a"), of("1", "Observation", "b"))


def test_a_good_server_passes(fake: Fake, client: FhirClient) -> None:
    fill(fake)
    fake.can("Observation", "ResearchSubject", "GuidanceResponse", versioning="versioned-update")
    found = examine(fake, client, "Patient", "Observation")
    assert {code for _, code in found.values()} == {
        "r4",
        "listed",
        "nothing-found",
        "found",
        "stated",
        "followed",
        "left-out-of-self",
        "versioned-update",
        "system/Observation.rs",
        "system/Patient.rs",
    }
    assert found["scope", "Patient"][0] is UNPROVED
    assert {ok for key, (ok, _) in found.items() if key != ("scope", "Patient")} == {PASSED}


@pytest.mark.parametrize(
    ("habit", "check", "expected"),
    [
        ({"lying": True}, "patient-nobody", (FAILED, "parameter-ignored")),
        ({"lying": True}, "patient-known", (FAILED, "foreign-patient")),
        ({"ignoring": True}, "patient-nobody", (FAILED, "parameter-ignored")),
        ({"echoing": True}, "unknown-parameter", (FAILED, "kept-in-self")),
        ({"with_self": False}, "unknown-parameter", (FAILED, "no-self-link")),
        ({"with_total": False}, "total", (UNPROVED, "no-total")),
        ({"next_base": "http://127.0.0.1:9"}, "paging", (FAILED, "foreign-next-link")),
        ({"status": {"Observation": 403}}, "patient-nobody", (FAILED, "forbidden")),
        ({"status": {"Observation": 403}}, "scope", (FAILED, "system/Observation.rs")),
        ({"status": {"Observation": 400}}, "patient-nobody", (UNPROVED, "refused")),
        ({"status": {"Observation": 400}}, "unknown-parameter", (PASSED, "refused")),
        ({"status": {"Observation": 500}}, "unknown-parameter", (FAILED, "server-broken")),
        ({}, "offered", (UNPROVED, "no-capability")),
    ],
)
def test_a_bad_habit_is_found(
    fake: Fake, client: FhirClient, habit: dict[str, Any], check: str, expected: Any
) -> None:
    fill(fake)
    for name, value in habit.items():
        setattr(fake, name, value)
    assert examine(fake, client)[check, "Observation"] == expected


def test_a_patient_without_data_proves_nothing(fake: Fake, client: FhirClient) -> None:
    fill(fake)
    found = examine(fake, client, known="9")
    assert found["patient-known", "Observation"] == (UNPROVED, "nothing-found")
    assert found["paging", "Observation"] == (UNPROVED, "one-page")


def test_without_a_known_patient_only_the_empty_canary_runs(fake: Fake, client: FhirClient) -> None:
    found = examine(fake, client, known="")
    assert ("patient-known", "Observation") not in found


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        ({"interaction": []}, "no-read"),
        ({"interaction": [{"code": "read"}]}, "no-search-type"),
        ({"searchParam": []}, "patient-not-listed"),
    ],
)
def test_a_capability_that_lacks_something_is_said(
    fake: Fake, client: FhirClient, listed: Any, code: str
) -> None:
    fake.can("Observation", **listed)
    assert examine(fake, client)["offered", "Observation"] == (FAILED, code)


def test_a_type_that_is_not_listed_is_said(fake: Fake, client: FhirClient) -> None:
    fake.can("Condition", "ResearchSubject", versioning="canary")
    found = examine(fake, client)
    assert found["offered", "Observation"] == (FAILED, "type-not-listed")
    assert found["versioning", "ResearchSubject"] == (UNPROVED, "not-stated")
    assert found["versioning", "GuidanceResponse"] == (UNPROVED, "type-not-listed")


@pytest.mark.parametrize(
    ("includes", "expected"),
    [(["MedicationRequest:*"], (PASSED, "listed")), ([], (UNPROVED, "not-listed"))],
)
def test_includes_are_looked_up(
    fake: Fake, client: FhirClient, includes: Any, expected: Any
) -> None:
    fake.can("MedicationRequest", searchInclude=includes)
    assert examine(fake, client, "MedicationRequest")["include", "MedicationRequest"] == expected


def test_a_server_that_names_no_version_is_unproved(fake: Fake, client: FhirClient) -> None:
    fake.can()
    del fake.capability["fhirVersion"]  # type: ignore[attr-defined] # of the one that stands for it
    assert examine(fake, client)["capability", ""] == (UNPROVED, "no-fhir-version")


def test_another_fhir_version_fails(fake: Fake, client: FhirClient) -> None:
    fake.can()
    fake.capability["fhirVersion"] = "5.0.0"  # type: ignore[index] # it is there
    assert examine(fake, client)["capability", ""] == (FAILED, "other-fhir-version")


def test_a_server_that_does_not_answer_ends_the_examination() -> None:
    client = FhirClient("http://127.0.0.1:9/fhir", sleep=lambda _: None)
    found = said(ServerDoctor(client).examine(need("Observation")))
    assert found == {("capability", ""): (FAILED, "unreachable")}


def test_the_least_scopes_have_both_spellings() -> None:
    needs = need("MedicationRequest", "Observation")
    assert scopes_of(needs) == (
        "system/Medication.rs",
        "system/MedicationRequest.rs",
        "system/Observation.rs",
        "system/Patient.rs",
    )
    assert scopes_of(need(), v1=True) == ("system/Patient.read",)


def test_one_type_that_is_not_there_is_a_gap_and_none_at_all_another_address(
    fake: Fake, client: FhirClient
) -> None:
    types = ("Observation", "Condition")
    fake.status = {"Observation": 404}
    found = examine(fake, client, *types, known="")
    assert found["patient-nobody", "Observation"] == (UNPROVED, "type-not-found")
    assert found["unknown-parameter", "Observation"] == (UNPROVED, "type-not-found")
    assert ("searches", "") not in found
    fake.status = dict.fromkeys(types, 404)
    assert examine(fake, client, *types, known="")["searches", ""] == (FAILED, "no-type-found")
    assert examine(fake, client, *types)["searches", ""] == (FAILED, "no-type-found")


def test_a_slow_server_is_left_with_what_is_known(fake: Fake, client: FhirClient) -> None:
    checks = iter((False, False, True))
    doctor = ServerDoctor(client, is_over=lambda: next(checks))
    found = doctor.examine(need("Observation", "Condition"))
    assert said(found)["time", ""] == (FAILED, "out-of-time")
    assert "--seconds" in next(f.remedy for f in found if f.check == "time")
    assert not [f for f in found if f.resource_type == "Condition" and f.check == "offered"]
