"""Merges that only the replaced record tells of: found from the survivor's side too."""

from __future__ import annotations

from typing import Any

import pytest
from fhir_fake import Fake, need, of, patient

from fhir_adapter.client import FhirClient
from fhir_adapter.pull.record import ServerRecords


def merged(fake: Fake) -> Fake:
    """2 was replaced by 1, and 3 by 2; 1 knows nothing of it. 8 and 9 are others."""
    return fake.put(
        patient("1"),
        patient("2", ("replaced-by", "1")),
        patient("3", ("replaced-by", "2")),
        patient("8", ("seealso", "1")),
        patient("9"),
        of("3", "Observation", "old"),
        of("8", "Observation", "other"),
    )


def searches(fake: Fake) -> list[str]:
    return [one for one in fake.asked if "Patient?link=" in one]


def params(*names: str) -> dict[str, Any]:
    return {"searchParam": [{"name": name} for name in names]}


@pytest.mark.parametrize("offered", [params("link", "patient"), params(), None])
def test_a_merge_that_only_the_replaced_record_names_is_found(
    fake: Fake, client: FhirClient, offered: dict[str, Any] | None
) -> None:
    """Where the server offers the search, or does not say."""
    if offered is not None:
        fake.can("Patient", "Observation", **offered)
    merged(fake)
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert pulled.aliases == ("2", "3")
    assert {str(one["id"]) for one in pulled.resources} == {"1", "2", "3", "old"}


@pytest.mark.parametrize("start", ["1", "2", "3"])
def test_every_id_of_a_person_finds_the_others(fake: Fake, client: FhirClient, start: str) -> None:
    merged(fake)
    pulled = ServerRecords(client).pull(start, [])
    assert {pulled.patient, *pulled.aliases} == {"1", "2", "3"}


@pytest.mark.parametrize("types", [("Patient",), ("Observation",)])
def test_a_server_that_does_not_offer_it_is_not_asked(
    fake: Fake, client: FhirClient, types: tuple[str, ...]
) -> None:
    merged(fake).can(*types, **params("patient"))
    assert ServerRecords(client).pull("1", []).aliases == ()
    assert searches(fake) == []


@pytest.mark.parametrize("habit", ["ignoring", "lying"])
def test_a_server_that_ignores_the_parameter_is_asked_for_one_patient(
    fake: Fake, client: FhirClient, habit: str
) -> None:
    """It sends everybody, page after page: nobody of these is taken for the patient."""
    fake.put(*(patient(str(number)) for number in range(10, 20)), patient("1"))
    setattr(fake, habit, True)
    fake.page = 2
    first = ServerRecords(client)
    assert first.pull("1", []).aliases == ()
    assert ServerRecords(client, capability_of=first).pull("10", []).aliases == ()
    assert len(searches(fake)) <= 2  # of six pages: the next one is fetched ahead
    assert not any("link=Patient/10" in one for one in searches(fake))


@pytest.mark.parametrize(("status", "times"), [(400, 1), (501, 1), (403, 2)])
def test_a_refusal_says_that_nobody_is_known_to_be_merged(
    fake: Fake, client: FhirClient, status: int, times: int
) -> None:
    fake.put(patient("1"), patient("9")).status = {"Patient?": status}
    source = ServerRecords(client)
    assert [source.pull(one, []).aliases for one in ("1", "9")] == [(), ()]
    assert len(searches(fake)) == times


def test_a_search_that_fails_leaves_open_who_the_patient_is(fake: Fake, client: FhirClient) -> None:
    """Nothing is whole: somebody's death, refusal or cancer may stand under the other id."""
    merged(fake).status = {"Patient?": 500}
    pulled = ServerRecords(client).pull("1", need("Condition", "Consent"))
    assert {one.resource_type: one.why_not for one in pulled.types} == dict.fromkeys(
        ("Patient", "Condition", "Consent"), "server-broken"
    )


def test_a_search_that_is_cut_short_leaves_it_open_too(fake: Fake, client: FhirClient) -> None:
    merged(fake).total_off = 1
    pulled = ServerRecords(client).pull("1", [])
    assert [one.complete for one in pulled.types] == [False]


def test_both_records_in_a_circle_are_no_merge(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1", ("replaced-by", "2")), patient("2", ("replaced-by", "1")), patient("3"))
    pulled = ServerRecords(client).pull("1", [])
    assert (pulled.aliases, pulled.issues) == ((), ("merge-cycle",))


def test_a_link_to_a_patient_of_another_server_joins_nobody(fake: Fake, client: FhirClient) -> None:
    """Found in review: with the same id as somebody here it joined two people."""
    elsewhere = {"reference": "https://other.example/fhir/Patient/2"}
    linked = {**patient("1"), "link": [{"type": "replaced-by", "other": elsewhere}]}
    fake.put(linked, patient("2"))
    assert ServerRecords(client).pull("1", []).aliases == ()
    here = {"reference": f"{client.base_url}/Patient/2"}
    fake.put({**linked, "link": [{"type": "replaced-by", "other": here}]})
    assert ServerRecords(client).pull("1", []).aliases == ("2",)
