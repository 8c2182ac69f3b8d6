"""`screen` on a server of R5: the same decisions, written once and in R5, never over a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fhir_adapter
from fhir_adapter.sandbox import RunningSandbox, interactions

import fault_proxy as faults
import r5_forms
from cli.cli_for_tests import AS_OF, run, sandbox
from fault_proxy import FaultProxy
from r5_server import r5_sandbox

KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site", "FHIR_ADAPTER_SCREENING_LIST": "on"}
CANDIDATE = "42-all-answered"
SOME = (
    "02-warfarin", "05-no-diagnosis", "06-transferred", "07-covid", "08-other-trial", "12-expired",
    "36-opted-out", CANDIDATE,
)  # fmt: skip
"""Between them every type of the cohort; everybody is judged on HAPI in R5."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with r5_sandbox(monkeypatch, patients=(CANDIDATE,)) as running:
        yield running


def screen(base: str, *more: str) -> Any:
    ran = run("screen", "--server", base, "--as-of", AS_OF, "--json", *more, **KEY)
    assert ran.status == 0, ran.flat
    return ran.json


def write(running: RunningSandbox) -> Any:
    (written,) = screen(running.base_url, "--write", "--patient", CANDIDATE)["written"]
    return written


def subjects(running: RunningSandbox) -> list[Any]:
    return list(running._interactions.store.all_of("ResearchSubject"))


def states(subject: Any) -> list[str]:
    return [step["subjectState"]["coding"][0]["code"] for step in subject["progress"]]


def test_people_are_judged_as_on_a_server_of_r4(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox(patients=SOME) as running:
        wanted = screen(running.base_url)
    with r5_sandbox(monkeypatch, patients=SOME) as running:
        found = screen(running.base_url)
    assert found["failed"] == wanted["failed"] == []
    assert found["decisions"] == wanted["decisions"]
    assert len(found["decisions"]) >= len(SOME)


def test_what_is_written_is_r5_and_stands_once(one: RunningSandbox) -> None:
    first = write(one)
    assert {name.split("/")[0] for name in first["created"]} == {
        "Device", "ResearchSubject", "GuidanceResponse", "Provenance",
    }  # fmt: skip
    store = one._interactions.store
    for kind in ("Device", "ResearchSubject", "GuidanceResponse", "Provenance", "List"):
        for resource in store.all_of(kind):
            r5_forms.valid(resource)
    (subject,) = subjects(one)
    assert (subject["status"], states(subject)) == ("active", ["candidate"])
    (listed,) = store.all_of("List")
    assert [entry["item"]["reference"] for entry in listed["entry"]] == [
        f"ResearchSubject/{subject['id']}"
    ]
    again = write(one)
    assert (again["created"], again["updated"], again["left-to-person"]) == ([], [], False)


@pytest.mark.slow
def test_a_run_without_memory_finds_what_stands(one: RunningSandbox) -> None:
    write(one)
    for path in Path.cwd().glob("*.sqlite*"):
        path.unlink()
    again = write(one)
    assert (again["created"], again["updated"]) == ([], [])
    assert len(subjects(one)) == 1


def died(running: RunningSandbox) -> None:
    store = running._interactions.store
    patient = store.get("Patient", CANDIDATE).resource
    store.put({**patient, "deceasedBoolean": True})


@pytest.mark.slow
def test_our_own_proposal_is_taken_back(one: RunningSandbox) -> None:
    write(one)
    died(one)
    write(one)
    (subject,) = subjects(one)
    assert (subject["status"], states(subject)) == ("active", ["ineligible"])
    r5_forms.valid(subject)


def shown_only(statement: Any) -> Any:
    """ResearchSubject may be read and searched, and is not taken."""
    rest = statement["rest"][0]
    (found,) = [one for one in rest["resource"] if one["type"] == "ResearchSubject"]
    found["interaction"] = [{"code": "read"}, {"code": "search-type"}]
    return statement


@pytest.mark.slow
def test_a_task_stands_for_it_where_no_research_subject_is_taken(
    one: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = interactions.capability
    monkeypatch.setattr(interactions, "capability", lambda *asked: shown_only(said(*asked)))
    write(one)
    again = write(one)
    died(one)
    write(one)
    (task,) = one._interactions.store.all_of("Task")
    assert (again["created"], again["updated"], again["left-to-person"]) == ([], [], False)
    assert r5_forms.valid(task)["status"] == "cancelled"
    assert subjects(one) == []


STEP = {"subjectState": {"coding": [{"system": r5_forms.STATE, "code": "screening"}]}}
BY_PEOPLE = {
    "a second open entry": lambda found: [*found, STEP],
    "the entry ended, another begun": lambda found: [
        {**found[0], "endDate": "2026-11-20"}, {**STEP, "startDate": "2026-11-20"},
    ],
    "a reason": lambda found: [{**found[0], "reason": {"text": "seen"}}],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_PEOPLE)
def test_a_persons_progress_is_left_as_it_stands(one: RunningSandbox, name: str) -> None:
    write(one)
    (subject,) = subjects(one)
    touched = {**subject, "progress": BY_PEOPLE[name](subject["progress"])}
    one._interactions.store.put(touched)
    died(one)
    written = write(one)
    assert written["left-to-person"]
    (left,) = subjects(one)
    assert left["progress"] == touched["progress"]


def test_a_consent_that_cannot_be_read_is_not_no_opt_out(one: RunningSandbox) -> None:
    (before,) = screen(one.base_url, "--patient", CANDIDATE)["decisions"]
    assert before["outcome"] == "candidate"
    consent = {
        "resourceType": "Consent", "id": "c", "status": "active",
        "subject": {"reference": f"Patient/{CANDIDATE}"},
    }  # fmt: skip
    one._interactions.store.load(dict(r5_forms.valid(consent)))
    ran = run(
        "screen",
        "--server",
        one.base_url,
        "--as-of",
        AS_OF,
        "--patient",
        CANDIDATE,
        "--json",
        **KEY,
    )
    assert "Consent" in ran.err
    (found,) = ran.json["decisions"]
    assert found != before
    assert [wrote["created"] for wrote in ran.json["written"]] == [[]]


@pytest.mark.slow
def test_the_other_ways_to_judge_take_it_too(one: RunningSandbox) -> None:
    (wanted,) = screen(one.base_url)["decisions"]
    asked = ("--server", one.base_url, "--as-of", AS_OF, "--json")
    assert run("explain", CANDIDATE, *asked).json == wanted
    assert CANDIDATE in run("worklist", *asked).out
    (found,) = fhir_adapter.screen(fhir_adapter.load_study(), one.base_url, as_of=AS_OF)
    assert found.decision is not None
    assert found.decision.outcome.value == wanted["outcome"]


@pytest.mark.slow
def test_a_server_that_stops_to_say_its_version_is_not_read_as_r4(one: RunningSandbox) -> None:
    with FaultProxy(one.base_url) as proxy:
        proxy.arm(faults.no_metadata(500), on=faults.is_metadata)
        ran = run(
            "screen", "--server", proxy.url, "--as-of", AS_OF, "--patient", CANDIDATE, "--json"
        )
    open_types = {name["type"] for name in ran.json["types-not-whole"]}
    assert {"Encounter", "Procedure", "ServiceRequest"} <= open_types


@pytest.mark.parametrize("asked", [
    ("study", "publish", "--write", "--unsigned"), ("cohort", "load", "--store", "store"),
], ids=lambda asked: asked[0])  # fmt: skip
def test_what_was_not_proved_is_refused_by_name(
    one: RunningSandbox, asked: tuple[str, ...]
) -> None:
    ran = run(*asked, "--server", one.base_url, **KEY)
    assert (ran.status, "speaks FHIR R5 (5.0.0), not R4" in ran.flat) == (3, True), ran.flat
