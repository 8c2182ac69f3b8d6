"""HAPI's JPA server of R5: the decisions of the sandbox, written once, and never over a person."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from fhir_adapter.client import FhirClient
from fhir_adapter.pull.changes import in_the_house

import r5_forms
import real_servers
import teaching_load
from cli.cli_for_tests import AS_OF, run, sandbox

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site", "FHIR_ADAPTER_SCREENING_LIST": "on"}
CANDIDATE = "42-all-answered"
STUDY = {
    "resourceType": "ResearchStudy",
    "id": "NCT05985863",
    "identifier": [
        dict(zip(("system", "value"), teaching_load.OUR_NUMBER.split("|"), strict=True))
    ],
    "title": "Our study",
    "status": "active",
}
"""In R5 form; publishing to R5 is not supported."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with real_servers.hapi("r5") as found:
        load(found)
        yield found


def load(base: str) -> None:
    """The cohort in R5 form, after our study; every resource is taken."""
    of_r4 = {teaching_load.OUR_STUDY: STUDY, **teaching_load.MENTIONED, **teaching_load.cohort()}
    for resource in (STUDY, *teaching_load.in_order(of_r4)):
        sent = r5_forms.r5_form(copy.deepcopy(dict(resource)))
        put(base, sent)


def put(base: str, resource: dict[str, Any]) -> None:
    where = f"{base}/{resource['resourceType']}/{resource['id']}"
    headers = {"Content-Type": "application/fhir+json"}
    answer = requests.put(where, data=json.dumps(resource), headers=headers, timeout=60)
    assert answer.ok, (where, answer.status_code, answer.text[:400])


def read(base: str, reference: str) -> Any:
    return requests.get(f"{base}/{reference}", timeout=60).json()


def all_of(base: str, kind: str, **params: str) -> list[Any]:
    asked = {"_count": "200", **params}
    headers = {"Cache-Control": "no-cache"}
    answer = requests.get(f"{base}/{kind}", params=asked, headers=headers, timeout=60)
    return [one["resource"] for one in answer.json().get("entry", [])]


def screen(base: str, ledger: Path, *more: str) -> Any:
    asked = ("screen", "--server", base, "--as-of", AS_OF, "--json", *more)
    ran = run(*asked, **KEY, FHIR_ADAPTER_LEDGER=str(ledger))
    assert ran.status == 0, ran.err
    return ran.json


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r5") / "ledger.sqlite"


@pytest.fixture(scope="module")
def first(base: str, ledger: Path) -> Any:
    """Everybody judged, and proposals written."""
    return screen(base, ledger, "--write")


def test_it_is_a_server_of_r5(base: str) -> None:
    assert read(base, "metadata")["fhirVersion"].startswith("5.0.")


def test_everybody_is_judged_as_on_the_sandbox(first: Any, tmp_path: Path) -> None:
    with sandbox() as running:
        for resource in (STUDY, *teaching_load.MENTIONED.values()):
            if not running._interactions.store.has(resource["resourceType"], resource["id"]):
                running._interactions.store.load(dict(resource))
        wanted = screen(running.base_url, tmp_path / "ledger.sqlite")
    assert first["failed"] == wanted["failed"] == []
    theirs = {one["patient"]: comparable(one) for one in wanted["decisions"]}
    ours = {one["patient"]: comparable(one) for one in first["decisions"]}
    assert {name: ours[name] for name in theirs} == theirs
    assert len(theirs) > 40


def comparable(value: Any) -> Any:
    """Versions are each server's own; so are the hashes that cover them."""
    if isinstance(value, dict):
        return {name: comparable(held) for name, held in value.items() if name != "version"}
    return [comparable(one) for one in value] if isinstance(value, list) else value


def test_proposals_are_written_once_and_are_valid_r5(base: str, first: Any, ledger: Path) -> None:
    kinds = Counter(name.split("/")[0] for one in first["written"] for name in one["created"])
    assert {"Device", "ResearchSubject", "GuidanceResponse", "Provenance"} <= kinds.keys()
    assert [one["error"] for one in first["written"] if one["error"]] == []
    proposed = [one["patient"] for one in first["written"] if one["created"]]
    asked = [word for patient in proposed for word in ("--patient", patient)]
    again = screen(base, ledger, "--write", *asked)
    assert [one for one in again["written"] if one["created"] or one["updated"]] == []
    for kind in (*kinds, "List"):
        for resource in all_of(base, kind):
            r5_forms.valid(resource)
    assert len(all_of(base, "List")) == 1


def test_nobody_has_two_proposals(base: str, first: Any, tmp_path: Path) -> None:
    """Not even after the memory of what was written is lost."""
    asked = ("--write", "--patient", CANDIDATE)
    afresh = screen(base, tmp_path / "new.sqlite", *asked)
    assert [one for one in afresh["written"] if one["created"] or one["updated"]] == []
    found = all_of(base, "ResearchSubject", subject=f"Patient/{CANDIDATE}")
    assert [len(found), states(found[0])] == [1, ["candidate"]]


def states(subject: Any) -> list[str]:
    return [step["subjectState"]["coding"][0]["code"] for step in subject["progress"]]


def proposals(base: str, first: Any) -> list[str]:
    """Those that tests may touch, each its own by its place: the tests run in any order."""
    made = sorted(name for one in first["written"] for name in one["created"])
    subjects = [name for name in made if name.startswith("ResearchSubject/")]
    return [name for name in subjects if owner(base, name) != CANDIDATE]


def owner(base: str, subject: str) -> str:
    return str(read(base, subject)["subject"]["reference"]).removeprefix("Patient/")


def dies(base: str, patient: str) -> None:
    put(base, {**read(base, f"Patient/{patient}"), "deceasedBoolean": True})


def test_a_persons_progress_is_kept_and_our_own_taken_back(
    base: str, first: Any, ledger: Path
) -> None:
    ours, theirs = proposals(base, first)[:2]
    touched = read(base, theirs)
    step = {"coding": [{"system": r5_forms.STATE, "code": "screening"}]}
    entry = {"subjectState": step, "startDate": "2026-11-22"}
    put(base, {**touched, "progress": [*touched["progress"], entry]})
    people = [owner(base, name) for name in (ours, theirs)]
    for patient in people:
        dies(base, patient)
    asked = [word for patient in people for word in ("--patient", patient)]
    written = screen(base, ledger, "--write", *asked)["written"]
    assert Counter(one["left-to-person"] for one in written) == {False: 1, True: 1}
    assert states(read(base, theirs)) == ["candidate", "screening"]
    assert states(read(base, ours)) == ["ineligible"]


def watch(base: str, ledger: Path, **env: str) -> Any:
    asked = ("watch", "--server", base, "--once", "--write", "--as-of", AS_OF, "--json")
    ran = run(*asked, **KEY, FHIR_ADAPTER_LEDGER=str(ledger), **env)
    assert ran.status == 0, ran.err
    return ran.json


def test_it_is_watched(base: str, first: Any, ledger: Path) -> None:
    subject = proposals(base, first)[-1]
    assert watch(base, ledger)["worked"].keys() == {"sweep"}
    assert watch(base, ledger)["worked"] == {}, "our own writes mark nobody"
    dies(base, owner(base, subject))
    found = watch(base, ledger)
    assert (found["worked"], found["changes"].keys()) == ({"poll": 1}, {"poll"})
    assert states(read(base, subject)) == ["ineligible"]


def test_a_census_of_the_house_is_that_of_r4(base: str) -> None:
    client = FhirClient(base, takes_r5=True)
    client.know_version()
    found = set(in_the_house(client))
    running = {"planned", "in-progress", "on-hold"}
    stays = [one for one in all_of(base, "Encounter") if one["status"] in running]
    assert found == {one["subject"]["reference"].removeprefix("Patient/") for one in stays}
    assert found


def test_a_duplicate_is_mended(base: str, first: Any, ledger: Path) -> None:
    ours = read(base, proposals(base, first)[-2])
    put(base, {**ours, "id": "the-second-of-two"})
    words = ("ledger", "repair", "--server", base, "--json", "--write")
    env = {**KEY, "FHIR_ADAPTER_LEDGER": str(ledger)}
    (mended,) = run(*words, **env).json["duplicates"]
    assert mended["kept"] == f"ResearchSubject/{ours['id']}"
    left = all_of(base, "ResearchSubject", subject=ours["subject"]["reference"])
    assert [one["id"] for one in left if states(one) == ["candidate"]] == [ours["id"]]
    assert run(*words, **env).json["duplicates"] == []
