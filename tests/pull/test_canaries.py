"""An empty answer is proved: it must mean that there is nothing."""

from __future__ import annotations

import pytest
from fhir_fake import Fake, need, of, patient

from fhir_adapter.client import FhirClient
from fhir_adapter.ports import Pulled
from fhir_adapter.pull.canaries import Canaries
from fhir_adapter.pull.record import ServerRecords


def why(pulled: Pulled) -> dict[str, str]:
    return {one.resource_type: one.why_not for one in pulled.types}


def asked(fake: Fake, name: str) -> int:
    return sum(f"/{name}" in one for one in fake.asked)


@pytest.fixture
def source(fake: Fake, client: FhirClient) -> ServerRecords:
    fake.put(
        patient("1"), patient("2"), of("1", "Consent", "a"), of("2", "Consent", "b"),
        of("2", "Condition", "c"),
    ).can("Patient", "Consent", "Condition")  # fmt: skip
    return ServerRecords(client)


def test_a_type_that_is_emptied_by_patient_is_not_retrieved(
    fake: Fake, source: ServerRecords
) -> None:
    fake.emptying = ("Consent",)
    for one in ("1", "2", "1"):
        pulled = source.pull(one, need("Consent", "Condition"))
        assert why(pulled) == {"Patient": "", "Consent": "parameter-emptied", "Condition": ""}


def test_it_counts_again_once_it_is_mended(fake: Fake, source: ServerRecords) -> None:
    fake.emptying = ("Consent",)
    assert why(source.pull("1", need("Consent")))["Consent"]
    fake.emptying = ()
    pulled = source.pull("1", need("Consent"))
    assert why(pulled)["Consent"] == ""
    assert {one["id"] for one in pulled.resources} == {"1", "a"}


def test_what_really_is_empty_is_whole_and_proved_once(fake: Fake, source: ServerRecords) -> None:
    assert why(source.pull("1", need("Condition")))["Condition"] == ""
    costs = asked(fake, "Condition")
    assert costs == 3, "the search, somebody else's, and that by its patient"
    source.pull("1", need("Condition"))
    assert asked(fake, "Condition") == costs + 1


def test_another_run_over_the_same_server_has_nothing_to_prove(
    fake: Fake, client: FhirClient, source: ServerRecords
) -> None:
    source.pull("1", need("Condition"))
    costs = asked(fake, "Condition")
    ServerRecords(client, capability_of=source).pull("1", need("Condition"))
    assert asked(fake, "Condition") == costs + 1


def test_where_nothing_is_there_it_is_looked_at_seldom(fake: Fake, source: ServerRecords) -> None:
    """At the first, the 20th and the 400th empty answer: what is not there may come."""
    fake.can("Patient", "Procedure")
    fake.emptying = ("Procedure",)
    for _ in range(19):
        source.pull("1", need("Procedure"))
    assert asked(fake, "Procedure") == 19 + 1
    fake.put(of("2", "Procedure", "p"))
    assert why(source.pull("1", need("Procedure")))["Procedure"] == "parameter-emptied"


@pytest.mark.parametrize("habit", ["wants_patient", "gone", "somebody's"])
def test_what_no_canary_can_prove_counts_as_empty(
    fake: Fake, source: ServerRecords, habit: str
) -> None:
    """Nothing can be looked for without a patient, or what was found tells nothing."""
    if habit == "wants_patient":
        fake.wants_patient = True
    elif habit == "gone":
        fake.emptying = ("Consent",)
        fake.status = {"Consent/": 410}
    else:
        fake.put({"resourceType": "Consent", "id": "a"}, {"resourceType": "Consent", "id": "b"})
    assert why(source.pull("1", need("Consent")))["Consent"] == ""


def test_an_answer_that_fails_proves_nothing(fake: Fake, client: FhirClient) -> None:
    fake.put(of("2", "Consent", "b")).status = {"Consent?_count=1": 500}
    assert Canaries(client).emptied({"Consent": ({},)}, together=False) == frozenset()
    fake.status = {"Consent?patient": 500}
    assert Canaries(client).emptied({"Consent": ({},)}, together=False) == frozenset()


def test_categories_that_bring_nothing_are_tried_all(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1"), of("2", "Observation", "b", category="exam"))
    fake.can("Patient", "Observation")
    source = ServerRecords(client, categories={"Observation": ("laboratory", "exam")})
    assert why(source.pull("1", need("Observation")))["Observation"] == ""
    fake.emptying = ("Observation",)
    source = ServerRecords(client, categories={"Observation": ("laboratory", "exam")})
    assert why(source.pull("1", need("Observation")))["Observation"] == "parameter-emptied"


def test_a_server_that_wants_a_category_is_asked_by_the_usual_ones(
    fake: Fake, client: FhirClient
) -> None:
    """What has another category or none is not seen: the type is not whole."""
    fake.put(patient("1"), of("1", "Observation", "a", category="laboratory"),
             of("1", "Observation", "b")).can("Patient", "Observation")  # fmt: skip
    fake.wants_category = ("Observation",)
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert why(pulled)["Observation"] == "by-category"
    assert {one["id"] for one in pulled.resources} == {"1", "a"}
    said = ServerRecords(client, categories={"Observation": ("laboratory",)})
    assert why(said.pull("1", need("Observation")))["Observation"] == ""


def test_a_type_that_is_refused_by_category_too_is_refused(fake: Fake, client: FhirClient) -> None:
    fake.put(patient("1")).can("Patient", "Observation").status = {"Observation?": 400}
    pulled = ServerRecords(client).pull("1", need("Observation"))
    assert why(pulled)["Observation"] == "search-refused"
    assert asked(fake, "Observation") == 2, "one category is enough to know"
