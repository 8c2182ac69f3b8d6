"""A server whose profile demands consent and period of every ResearchSubject (the German MII's)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.sandbox import RunningSandbox

from cli.cli_for_tests import AS_OF, Ran, run, sandbox

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
PROFILE = "server.profile.json"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


def screen(server: RunningSandbox, *more: str, **env: str) -> Ran:
    args = ("screen", "--server", server.base_url, "--as-of", AS_OF, "--write", "--json")
    return run(*args, *more, **KEY, **env)


def all_of(server: RunningSandbox, kind: str) -> list[Any]:
    return list(server._interactions.store.all_of(kind))


def kinds(references: list[str]) -> list[str]:
    return [one.split("/")[0] for one in references]


@pytest.mark.slow
@pytest.mark.parametrize("status", [412, 422])
def test_a_task_stands_for_it_once_and_is_taken_back(status: int) -> None:
    with sandbox(patients=(CANDIDATE,), demands_consent=status) as server:
        (first,) = screen(server).json["written"]
        assert kinds(first["created"]) == ["Task", "GuidanceResponse", "Provenance"]
        (again,) = screen(server).json["written"]
        assert (again["created"], again["updated"], again["left-to-person"]) == ([], [], False)
        (afresh,) = screen(server, FHIR_ADAPTER_LEDGER="new.sqlite").json["written"]
        assert (afresh["created"], afresh["updated"]) == ([], [])
        (patient,) = all_of(server, "Patient")
        server._interactions.store.put({**patient, "deceasedBoolean": True})
        screen(server)
        (task,) = all_of(server, "Task")
        assert task["status"] == "cancelled"
        assert all_of(server, "ResearchSubject") == []


@pytest.mark.slow
def test_what_the_person_who_enrols_makes_is_left_to_them() -> None:
    with sandbox(patients=(CANDIDATE,), demands_consent=422) as server:
        screen(server)
        (task,) = all_of(server, "Task")
        made = server._interactions.store.create(
            {
                "resourceType": "ResearchSubject",
                "status": "on-study",
                "study": task["focus"],
                "individual": task["for"],
                "consent": {"reference": "Consent/c"},
                "period": {"start": "2026-01-01"},
            }
        )
        assert screen(server).status == 0
        assert all_of(server, "ResearchSubject") == [made.resource]


@pytest.mark.slow
def test_the_doctor_sees_it_and_the_first_write_is_a_task() -> None:
    with sandbox(patients=(CANDIDATE,), demands_consent=422) as server:
        run("server", "doctor", server.base_url, "--write", "--profile", PROFILE)
        Path("fhir-adapter.toml").write_text(
            f'[server.write]\nurl = "{server.base_url}"\nprofile = "{PROFILE}"\n'
        )
        (written,) = screen(server).json["written"]
        assert "Task" in kinds(written["created"])
        assert not any("demands more" in note for note in written["notes"])
