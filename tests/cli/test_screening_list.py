"""`screening_list = on`: the List that `screen --write` and `watch --write` keep up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.sandbox import RunningSandbox

from cli.cli_for_tests import AS_OF, Ran, run, sandbox

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
ON = {**KEY, "FHIR_ADAPTER_SCREENING_LIST": "on"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


def screen(server: RunningSandbox, **env: str) -> Ran:
    return run("screen", "--server", server.base_url, "--as-of", AS_OF, "--write", **env)


def all_of(server: RunningSandbox, kind: str) -> list[Any]:
    return list(server._interactions.store.all_of(kind))


def listed(server: RunningSandbox) -> set[str]:
    (one,) = all_of(server, "List")
    return {entry["item"]["reference"] for entry in one.get("entry", [])}


def test_every_proposal_stands_on_it_and_no_patient() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        assert screen(server, **KEY).status == 0
        assert all_of(server, "List") == [], "off unless it is asked for"
        assert screen(server, **ON).status == 0
        subjects = {f"ResearchSubject/{one['id']}" for one in all_of(server, "ResearchSubject")}
        assert listed(server) == subjects
        assert CANDIDATE not in str(all_of(server, "List"))
        (before,) = all_of(server, "List")
        screen(server, **ON)
        (after,) = all_of(server, "List")
        assert before["meta"]["versionId"] == after["meta"]["versionId"]


@pytest.mark.slow
def test_watch_takes_off_it_whoever_is_taken_back() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        store = server._interactions.store
        args = ("watch", "--server", server.base_url, "--once", "--as-of", AS_OF, "--write")
        assert run(*args, **ON).status == 0
        assert len(listed(server)) == 1
        store.put({**(store.get("Patient", CANDIDATE).resource or {}), "deceasedBoolean": True})
        assert run(*args, **ON).status == 0
        assert listed(server) == set()


@pytest.mark.slow
def test_a_server_that_takes_no_list_is_said_and_stops_nothing() -> None:
    with sandbox(patients=(CANDIDATE,), forbids_types=frozenset({"List"})) as server:
        ran = screen(server, **ON)
        assert ran.status == 0
        assert "The screening List could not be written" in ran.err
        assert len(all_of(server, "ResearchSubject")) == 1


def test_another_word_than_on_and_off_is_refused_before_anything_is_written() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        ran = screen(server, **KEY, FHIR_ADAPTER_SCREENING_LIST="perhaps")
        assert (ran.status, "on or off" in ran.flat) == (2, True)
        assert all_of(server, "ResearchSubject") == []


@pytest.mark.slow
def test_who_declines_leaves_it() -> None:
    """Nobody is called who has said no; the status is for people to close."""
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server, **ON)
        assert len(listed(server)) == 1
        said = ("ledger", "decline", CANDIDATE, "--study", "NCT05985863", "--yes")
        assert run(*said, **ON).status == 0
        screen(server, **ON)
        assert listed(server) == set()
        assert [one["status"] for one in all_of(server, "ResearchSubject")] == ["candidate"]


@pytest.mark.slow
def test_who_opts_out_is_read_again_at_once() -> None:
    watch = ("watch", "--once", "--as-of", AS_OF, "--write", "--json", "--server")
    with sandbox(patients=(CANDIDATE,)) as server:
        assert run(*watch, server.base_url, **ON).status == 0
        assert len(listed(server)) == 1
        assert run("ledger", "decline", CANDIDATE, "--every-study", "--yes", **ON).status == 0
        assert run(*watch, server.base_url, **ON).json["worked"] == {"person": 1}
        assert [one["status"] for one in all_of(server, "ResearchSubject")] == ["ineligible"]
        assert listed(server) == set()
