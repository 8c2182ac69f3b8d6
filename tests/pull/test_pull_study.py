"""Study resources from and to a server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from fhir_fake import Fake

from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ServerBroken, ServerFault, StudyInvalid, StudyNotFound
from fhir_adapter.pull.study import ServerStudies, same

U = "http://u.example"


def artifact(kind: str, resource_id: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "id": resource_id,
        "url": f"{U}/{kind}/{resource_id}",
        "version": "1",
        "status": "active",
        **more,
    }


def study(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ResearchStudy",
        "id": "s",
        "identifier": [{"system": "n", "value": "NCT1"}],
        "protocol": [{"reference": "PlanDefinition/p"}],
        **more,
    }


def fill(fake: Fake) -> None:
    needs = [{"codeFilter": [{"valueSet": f"{U}/ValueSet/v|1"}, {}]}]
    action = {"definitionCanonical": f"{U}/Questionnaire/q", "input": needs}
    plan = artifact("PlanDefinition", "p", library=[f"{U}/Library/l|1", 7], action=[action, {}])
    related = [
        {"type": "depends-on", "resource": f"{U}/ValueSet/v|1"},
        {"type": "depends-on", "resource": f"{U}/Library/l|1"},
        {"type": "depends-on", "resource": f"{U}/Library/missing"},
        {"type": "depends-on", "resource": "urn:oid:1"},
        {"type": "citation", "resource": f"{U}/Library/no"},
    ]
    library = artifact("Library", "l", relatedArtifact=related, dataRequirement=needs)
    fake.put(study(), plan, library, artifact("ValueSet", "v"), artifact("Questionnaire", "q"))


@pytest.mark.parametrize("name", ["NCT1", "n|NCT1", "s"])
def test_a_study_comes_with_all_that_it_names(fake: Fake, client: FhirClient, name: str) -> None:
    fill(fake)
    found = ServerStudies(client).fetch(name)
    assert [r["resourceType"] for r in found] == [
        "ResearchStudy",
        "PlanDefinition",
        "Library",
        "Questionnaire",
        "ValueSet",
    ]


@pytest.mark.parametrize("name", ["unknown", "n|unknown"])
def test_an_unknown_study_is_not_found(fake: Fake, client: FhirClient, name: str) -> None:
    with pytest.raises(StudyNotFound):
        ServerStudies(client).fetch(name)


def test_two_studies_of_one_identifier_are_a_fault(fake: Fake, client: FhirClient) -> None:
    fake.put(study(), {**study(), "id": "t"})
    with pytest.raises(StudyInvalid):
        ServerStudies(client).fetch("NCT1")


def test_a_protocol_elsewhere_or_gone_is_left_out(fake: Fake, client: FhirClient) -> None:
    references = ["http://127.0.0.1:9/fhir/PlanDefinition/p", "#p", "PlanDefinition/gone"]
    fake.put(study(protocol=[{"reference": r} for r in references]))
    assert len(ServerStudies(client).fetch("s")) == 1


def test_half_a_study_is_no_study(fake: Fake, client: FhirClient) -> None:
    fill(fake)
    fake.total_off = 1
    with pytest.raises(ServerBroken, match="cut-short"):
        ServerStudies(client).fetch("s")


def test_a_refused_search_raises(fake: Fake, client: FhirClient) -> None:
    fill(fake)
    fake.status = {"ValueSet": 403}
    with pytest.raises(ServerFault):
        ServerStudies(client).fetch("s")


@pytest.mark.parametrize(
    ("statuses", "good"), [(("active", "retired"), True), (("active", "active"), False)]
)
def test_without_a_version_the_active_one_is_meant(
    fake: Fake, client: FhirClient, statuses: tuple[str, str], good: bool
) -> None:
    url = f"{U}/Library/l"
    fake.put(study(), artifact("PlanDefinition", "p", library=[url]))
    for number, status in enumerate(statuses):
        fake.put(
            artifact("Library", f"l{number}", status=status) | {"url": url, "version": str(number)}
        )
    if good:
        assert ServerStudies(client).fetch("s")[-1]["id"] == "l0"
    else:
        with pytest.raises(StudyInvalid):
            ServerStudies(client).fetch("s")


def package() -> list[dict[str, Any]]:
    return [study(), artifact("PlanDefinition", "p"), artifact("ValueSet", "v", x=Decimal("1.50"))]


TYPES = ("ResearchStudy", "PlanDefinition", "ValueSet", "Basic")


def test_publishing_without_write_writes_nothing(fake: Fake, client: FhirClient) -> None:
    report = ServerStudies(client).publish(package(), write=False)
    assert [r.action for r in report.resources] == ["would-create"] * 3
    assert report.changed
    assert fake.store == {}


def test_publishing_twice_changes_nothing(fake: Fake, client: FhirClient) -> None:
    fake.can(*TYPES, updateCreate=True)
    first = ServerStudies(client).publish(package(), write=True)
    writes = len([a for a in fake.asked if a.startswith(("PUT", "POST"))])
    again = ServerStudies(client).publish(package(), write=True)
    assert [(r.resource_type, r.id, r.action, r.verified) for r in first.resources] == [
        ("ValueSet", "v", "created", True),
        ("PlanDefinition", "p", "created", True),
        ("ResearchStudy", "s", "created", True),
    ]
    assert [r.action for r in again.resources] == ["unchanged"] * 3
    assert not again.changed
    assert len([a for a in fake.asked if a.startswith(("PUT", "POST"))]) == writes


def test_a_server_is_asked_once_what_it_can_do(fake: Fake, client: FhirClient) -> None:
    ServerStudies(client).publish(package(), write=True)
    assert len([asked for asked in fake.asked if "metadata" in asked]) == 1


def test_references_follow_the_ids_that_the_server_gives(fake: Fake, client: FhirClient) -> None:
    report = ServerStudies(client).publish(package(), write=True)
    ids = {r.resource_type: r.id for r in report.resources}
    kept = fake.store[f"ResearchStudy/{ids['ResearchStudy']}"]
    assert ids["PlanDefinition"].startswith("new")
    assert kept["protocol"] == [{"reference": f"PlanDefinition/{ids['PlanDefinition']}"}]
    assert not ServerStudies(client).publish(package(), write=True).changed


def test_a_changed_resource_is_updated_in_place(fake: Fake, client: FhirClient) -> None:
    fake.put(
        {**artifact("ValueSet", "other"), "url": f"{U}/ValueSet/v", "meta": {"versionId": "4"}}
    )
    wanted = [artifact("ValueSet", "v", title="new")]
    dry = ServerStudies(client).publish(wanted, write=False).resources[0]
    row = ServerStudies(client).publish(wanted, write=True).resources[0]
    assert (dry.id, dry.action) == ("other", "would-update")
    assert (row.id, row.action, row.verified) == ("other", "updated", True)


def test_a_resource_without_business_key_is_found_by_id(fake: Fake, client: FhirClient) -> None:
    fake.put({"resourceType": "Basic", "id": "b", "x": 1})
    row = (
        ServerStudies(client)
        .publish([{"resourceType": "Basic", "id": "b", "x": 2}], write=True)
        .resources[0]
    )
    assert (row.id, row.action) == ("b", "updated")


def test_an_identifier_without_value_is_no_key(fake: Fake, client: FhirClient) -> None:
    resource = {"resourceType": "Basic", "identifier": [{"system": "n"}]}
    assert (
        ServerStudies(client).publish([resource], write=False).resources[0].action == "would-create"
    )


def test_two_of_one_key_are_left_to_a_person(fake: Fake, client: FhirClient) -> None:
    fake.put(artifact("ValueSet", "v"), {**artifact("ValueSet", "w"), "url": f"{U}/ValueSet/v"})
    assert (
        ServerStudies(client).publish([artifact("ValueSet", "v")], write=True).resources[0].action
        == "ambiguous"
    )


def test_a_server_that_sends_anything_is_not_believed(fake: Fake, client: FhirClient) -> None:
    fake.put({"resourceType": "ValueSet", "id": "w"}).lying = True
    assert (
        ServerStudies(client).publish([artifact("ValueSet", "v")], write=False).resources[0].action
        == "would-create"
    )


def test_a_write_that_reads_back_otherwise_is_not_verified(fake: Fake, client: FhirClient) -> None:
    fake.drops_writes = True
    assert (
        ServerStudies(client).publish([artifact("ValueSet", "v")], write=True).resources[0].verified
        is False
    )


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"x": Decimal("1.50")}, {"x": Decimal("1.5")}, True),
        ({"x": True}, {"x": 1}, False),
        ({"x": {"reference": "A/1/_history/2"}}, {"x": {"reference": "A/1"}}, True),
        ({"meta": {"versionId": "1"}, "text": {}, "id": "1"}, {}, True),
        ({"x": ["a", "b"]}, {"x": ["b", "a"]}, False),
    ],
)
def test_what_counts_as_the_same(one: dict[str, Any], other: dict[str, Any], equal: bool) -> None:
    assert same(one, other) is equal
