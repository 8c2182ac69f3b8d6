"""HAPI where a profile is demanded of every ResearchSubject: a Task stands in its place.

What the profile demands is what the German Medical Informatics Initiative's does (module Person
2025.0.0, MII_PR_Person_Proband): one pseudonym of its own type, period with a start, individual and
consent. Its text is theirs; the StructureDefinition here is ours and says the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import real_servers
import teaching_load
from cli.cli_for_tests import AS_OF, Ran, run

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
CANDIDATE = "42-all-answered"
ANOTHER = "01-whole-umol"
ENROLMENT = "https://fhir-adapter.example/fhir/StructureDefinition/enrolment-of-tests"
PSEUDONYM = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ANON"}]
}


def element(path: str, **more: Any) -> Any:
    return {"id": path, "path": path.replace(":pseudonym", ""), **more}


PROFILE = {
    "resourceType": "StructureDefinition",
    "id": "enrolment-of-tests",
    "url": ENROLMENT,
    "name": "EnrolmentOfTests",
    "status": "active",
    "fhirVersion": "4.0.1",
    "kind": "resource",
    "abstract": False,
    "type": "ResearchSubject",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/ResearchSubject",
    "derivation": "constraint",
    "differential": {
        "element": [
            element(
                "ResearchSubject.identifier",
                min=1,
                slicing={
                    "discriminator": [{"type": "pattern", "path": "$this"}],
                    "rules": "open",
                },
            ),
            element(
                "ResearchSubject.identifier:pseudonym",
                sliceName="pseudonym",
                min=1,
                max="1",
                patternIdentifier={"type": PSEUDONYM},
            ),
            element("ResearchSubject.identifier:pseudonym.system", min=1),
            element("ResearchSubject.identifier:pseudonym.value", min=1),
            element("ResearchSubject.period", min=1),
            element("ResearchSubject.period.start", min=1),
            element("ResearchSubject.individual", min=1),
            element("ResearchSubject.consent", min=1),
        ]
    },
}


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with real_servers.hapi("profiled") as found:
        put(found, PROFILE)
        published = run("study", "publish", "--server", found, "--write", "--unsigned", "--json")
        assert published.status == 0, published.err
        refused = teaching_load.load(found)
        kinds = {(one.key.split("/")[0], one.status) for one in refused}
        assert kinds == {("ResearchSubject", 412)}, "the cohort's own declare no profile"
        yield found


def put(base: str, resource: Any) -> None:
    where = f"{base}/{resource['resourceType']}/{resource['id']}"
    requests.put(where, json=resource, timeout=60).raise_for_status()


def screen(base: str, ledger: Path) -> Any:
    asked = ("screen", "--server", base, "--as-of", AS_OF, "--json", "--write")
    ran: Ran = run(*asked, "--patient", CANDIDATE, FHIR_ADAPTER_LEDGER=str(ledger), **KEY)
    assert ran.status == 0, ran.err
    (written,) = ran.json["written"]
    return written


def all_of(base: str, kind: str) -> list[Any]:
    asked = requests.get(f"{base}/{kind}", headers={"Cache-Control": "no-cache"}, timeout=60)
    return [one["resource"] for one in asked.json().get("entry", [])]


def test_the_task_stands_is_kept_and_is_taken_back(base: str, tmp_path: Path) -> None:
    first = screen(base, tmp_path / "ledger.sqlite")
    assert "Task" in {one.split("/")[0] for one in first["created"]}
    again = screen(base, tmp_path / "ledger.sqlite")
    assert (again["created"], again["updated"], again["left-to-person"]) == ([], [], False)
    afresh = screen(base, tmp_path / "new.sqlite")
    assert (afresh["created"], afresh["updated"]) == ([], [])
    patient = requests.get(f"{base}/Patient/{CANDIDATE}", timeout=60).json()
    dead = {**patient, "deceasedBoolean": True}
    requests.put(f"{base}/Patient/{CANDIDATE}", json=dead, timeout=60).raise_for_status()
    screen(base, tmp_path / "ledger.sqlite")
    (task,) = all_of(base, "Task")
    assert task["status"] == "cancelled"
    subjects = {one["individual"]["reference"] for one in all_of(base, "ResearchSubject")}
    assert f"Patient/{CANDIDATE}" not in subjects


def enrolled(base: str) -> dict[str, Any]:
    """As whoever enrols a patient would write it, of another patient than the machine's.

    An enrolment that stands is a person's, and nothing is proposed beside it.
    """
    consent = {
        "resourceType": "Consent",
        "id": "of-the-enrolment",
        "status": "active",
        "scope": {"coding": [{"code": "research"}]},
        "category": [{"coding": [{"code": "research"}]}],
        "patient": {"reference": f"Patient/{ANOTHER}"},
        "policyRule": {"text": "of the site"},
    }
    put(base, consent)
    return {
        "resourceType": "ResearchSubject",
        "meta": {"profile": [ENROLMENT]},
        "identifier": [{"type": PSEUDONYM, "system": "urn:site:pseudonym", "value": "7"}],
        "status": "on-study",
        "period": {"start": "2026-11-22"},
        "study": {"reference": f"ResearchStudy/{all_of(base, 'ResearchStudy')[0]['id']}"},
        "individual": {"reference": f"Patient/{ANOTHER}"},
        "consent": {"reference": "Consent/of-the-enrolment"},
    }


@pytest.mark.parametrize("lacking", ["meta", "identifier", "period", "individual", "consent"])
def test_whatever_the_profile_demands_is_refused_without_it(base: str, lacking: str) -> None:
    """So it is the profile that is checked, element by element, not its name alone."""
    whole = enrolled(base)
    bare = {name: value for name, value in whole.items() if name != lacking}
    assert requests.post(f"{base}/ResearchSubject", json=bare, timeout=60).status_code == 412


def test_an_enrolment_that_satisfies_it_is_taken(base: str) -> None:
    """So it is the proposal's form that is refused, not the type."""
    answer = requests.post(f"{base}/ResearchSubject", json=enrolled(base), timeout=60)
    assert answer.status_code == 201, answer.text
