"""HAPI where a profile is demanded of every ResearchSubject: a Task stands in its place."""

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


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with real_servers.hapi("profiled") as found:
        published = run("study", "publish", "--server", found, "--write", "--unsigned", "--json")
        assert published.status == 0, published.err
        refused = teaching_load.load(found)
        kinds = {(one.key.split("/")[0], one.status) for one in refused}
        assert kinds == {("ResearchSubject", 412)}, "the cohort's own declare no profile"
        yield found


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


def test_an_enrolment_that_declares_the_profile_is_taken(base: str) -> None:
    """So it is the proposal's form that is refused, not the type.

    Of another patient: an enrolment that stands is a person's, and nothing is proposed beside it.
    """
    enrolled = {
        "resourceType": "ResearchSubject",
        "meta": {"profile": [ENROLMENT]},
        "status": "on-study",
        "study": {"reference": f"ResearchStudy/{all_of(base, 'ResearchStudy')[0]['id']}"},
        "individual": {"reference": f"Patient/{ANOTHER}"},
    }
    answer = requests.post(f"{base}/ResearchSubject", json=enrolled, timeout=60)
    assert answer.status_code == 201
    bare = {name: value for name, value in enrolled.items() if name != "meta"}
    assert requests.post(f"{base}/ResearchSubject", json=bare, timeout=60).status_code == 412
