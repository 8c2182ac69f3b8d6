"""A record that is pulled by batches is the record that single searches bring, to the last byte."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from statistics import median
from typing import Any

import pytest

from fhir_adapter.client import FhirClient
from fhir_adapter.facts import KINDS
from fhir_adapter.ports import Need, Pulled
from fhir_adapter.pull.batching import Batch
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.sandbox import HAPI, TIDY, Habits, Interactions, RunningSandbox, load

from story.cohort_for_tests import COHORT

Resource = dict[str, Any]
NEEDS = tuple(Need(kind=kind, resource_type=name) for name, kind in KINDS.items())
DRUGS = ("MedicationRequest", "MedicationStatement", "MedicationAdministration")
OWNERS = {
    "Immunization": "patient", "AllergyIntolerance": "patient", "Consent": "patient",
    "ResearchSubject": "individual",
}  # fmt: skip
HABITS = {
    "tidy": TIDY,
    "HAPI": HAPI,
    "an EHR": Habits(needs_patient=True, relative_links=True, no_last_updated=True, max_page=2),
    "nothing for what it does not know": Habits(empty_for_unknown_parameter=True),
    "types refused": Habits(
        refuses_types=frozenset(("Consent",)), forbids_types=frozenset(("Condition", "Medication"))
    ),
    "no batches": Habits(no_bundles=True),
}


@contextmanager
def serving(habits: Habits, *resources: Resource) -> Iterator[str]:
    """The teaching cohort, and these."""
    made = Interactions(now=lambda: "2026-11-22T00:00:00Z", habits=habits)
    load(made.store, COHORT)
    for resource in resources:
        made.store.load(resource)
    with RunningSandbox(made) as running:
        yield running.base_url


def everyone(base: str, batch: Batch, page_size: int = 500, only: str = "") -> dict[str, Pulled]:
    """Every patient, or those whose id begins so, in one run."""
    client = FhirClient(base, sleep=lambda _: None)
    records = ServerRecords(client, page_size=page_size, batch=batch)
    try:
        return {one: records.pull(one, NEEDS) for one in records.patients() if one.startswith(only)}
    finally:
        client.close()


def assert_same(base: str, page_size: int = 500, only: str = "") -> None:
    alone = everyone(base, Batch.NEVER, page_size, only)
    together = everyone(base, Batch.ALWAYS, page_size, only)
    assert together.keys() == alone.keys()
    for patient, found in together.items():
        expected = alone[patient]
        assert found.resources == expected.resources
        assert found.types == expected.types
        assert set(found.issues) == set(expected.issues)
        assert found.aliases == expected.aliases


# --------------------------------------------------------------------------- messy patients


def messy(dice: Random, number: int) -> list[Resource]:
    """A patient, now and then of several ids, and resources that refer to what may not be there."""
    own = f"messy-{number}"
    ids = [own, *(f"{own}-old{n}" for n in range(dice.choice((0, 0, 1, 3))))]
    found: list[Resource] = []
    for one in ids:
        links = [{"type": "replaced-by", "other": {"reference": f"Patient/{own}"}}]
        back = [{"type": "replaces", "other": {"reference": f"Patient/{old}"}} for old in ids[1:]]
        link = links if one != own else back
        found.append({"resourceType": "Patient", "id": one} | ({"link": link} if link else {}))
    places = range(dice.randrange(40))
    return [*found, *(_resource(dice, dice.choice(ids), f"{own}-{place}") for place in places)]


def _resource(dice: Random, patient: str, resource_id: str) -> Resource:
    kind = dice.choice((*KINDS, *DRUGS, "Observation", "Condition"))
    if kind == "Patient":
        kind = "Observation"
    owner = {OWNERS.get(kind, "subject"): {"reference": f"Patient/{patient}"}}
    made: Resource = {"resourceType": kind, "id": resource_id, **owner}
    if kind.startswith("Medication"):
        made["medicationReference"] = dice.choice(
            [
                {"reference": f"Medication/drug{dice.randrange(8)}"},
                {"reference": "#inside"},
                {"reference": "https://elsewhere.example/Medication/1"},
                {"identifier": {"value": "x"}},
                "no reference",
            ]
        )
    if kind == "ResearchSubject":
        made["study"] = {"reference": f"ResearchStudy/study{dice.randrange(4)}"}
    if dice.random() < 0.2:
        made["status"] = dice.choice(["entered-in-error", "", None, 3])
    return made


def companions() -> list[Resource]:
    drugs = [{"resourceType": "Medication", "id": f"drug{n}"} for n in range(5)]
    return [*drugs, *({"resourceType": "ResearchStudy", "id": f"study{n}"} for n in range(2))]


# ------------------------------------------------------------------------------------ tests


@pytest.mark.parametrize(("name", "page_size"), [("tidy", 500), ("HAPI", 3)])
@pytest.mark.slow
def test_the_teaching_cohort_comes_alike_either_way(name: str, page_size: int) -> None:
    with serving(HABITS[name]) as base:
        assert_same(base, page_size)


@pytest.mark.parametrize("name", HABITS)
@pytest.mark.slow
def test_messy_patients_come_alike_either_way(name: str) -> None:
    dice = Random(f"messy {name}")
    generated = [one for number in range(12) for one in messy(dice, number)]
    with serving(HABITS[name], *companions(), *generated) as base:
        assert_same(base, page_size=dice.choice((2, 5, 50)), only="messy")


@pytest.mark.slow
def test_a_patient_costs_eight_requests_at_the_most(record_testsuite_property: Any) -> None:
    with serving(TIDY) as base:
        alone, together = (everyone(base, batch) for batch in (Batch.NEVER, Batch.ALWAYS))
    before, after = (sorted(one.requests for one in each.values()) for each in (alone, together))
    record_testsuite_property("requests", f"{median(before)} {median(after)}")
    assert median(after) <= 4
    assert after[int(len(after) * 0.9)] <= 8
    assert median(before) > 15
