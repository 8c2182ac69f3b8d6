"""Runs that are killed or find no server: what they decided is sent by the next one, once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.errors import ServerBroken
from fhir_adapter.ledger import at_work, open_ledger, worker_of
from fhir_adapter.sandbox import RunningSandbox
from fhir_adapter.writeback import ServerSink

from cli.cli_for_tests import AS_OF, ONE, Ran, run, sandbox

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


def screen(server: RunningSandbox, *more: str) -> Ran:
    words = ("screen", "--server", server.base_url, "--as-of", AS_OF, "--write", "--json")
    return run(*words, *more, **KEY)


def outbox() -> dict[str, int]:
    found = run("ledger", "status", "--json", **KEY).json["outbox"]
    return {name: found[name] for name in ("waiting", "failing", "done", "superseded")}


def subjects(server: RunningSandbox) -> list[Any]:
    return list(server._interactions.store.all_of("ResearchSubject"))


def not_sent(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> None:
    def send(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(ServerSink, "send", send)


def free_the_claims() -> None:
    """As if the lease of the run that was killed were over."""
    database = sqlite3.connect(".fhir-adapter/ledger.sqlite")
    database.execute("UPDATE outbox SET lease_until = 0")
    database.commit()
    database.close()


@pytest.mark.slow
def test_a_run_that_is_killed_before_it_sends_leaves_the_proposal_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sandbox(patients=(CANDIDATE, ONE)) as server:
        with monkeypatch.context() as patch:
            not_sent(patch, KeyboardInterrupt())
            screen(server, "--patient", CANDIDATE)
        assert (outbox()["waiting"], subjects(server)) == (1, [])
        screen(server, "--patient", ONE)
        assert outbox() == {"waiting": 0, "failing": 0, "done": 2, "superseded": 0}
        assert len(subjects(server)) == 1
        screen(server)
        assert len(subjects(server)) == 1


@pytest.mark.slow
def test_what_a_live_run_is_writing_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        with monkeypatch.context() as patch:
            not_sent(patch, KeyboardInterrupt())
            screen(server)
        ledger = open_ledger(".fhir-adapter/ledger.sqlite", SystemClock())
        with at_work("another"):
            ledger.outbox.free()
            assert len(ledger.outbox.take(worker_of("another"))) == 1
            (written,) = screen(server).json["written"]
            assert (written["created"], written["error"], subjects(server)) == ([], "", [])
            assert "another run" in written["notes"][0]
        ledger.close()
        screen(server)
        assert (outbox()["waiting"], len(subjects(server))) == (0, 1)


@pytest.mark.slow
def test_two_runs_at_once_write_everything_once() -> None:
    """As a timer that starts before the last run has ended."""
    words = ("screen", "--as-of", AS_OF, "--write", "--json", "--quiet")
    with sandbox() as server:
        asked = (sys.executable, "-m", "fhir_adapter", *words, "--server", server.base_url)
        started = [
            subprocess.Popen(asked, env={**os.environ, **KEY}, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        told = [json.loads(one.communicate(timeout=120)[0]) for one in started]
        assert [one.returncode for one in started] == [0, 0]
        store = server._interactions.store
        ours = len(list(store.all_of("GuidanceResponse")))
        assert ours == len(list(store.all_of("Provenance"))) > 0
        made = [name for one in told for each in one["written"] for name in each["created"]]
        assert len(made) == len(set(made)) == 3 * ours + 1


@pytest.mark.slow
def test_a_proposal_that_failed_gives_way_to_the_one_of_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        with monkeypatch.context() as patch:
            not_sent(patch, ServerBroken("500"))
            ran = screen(server)
        assert (ran.status, ran.json["written"][0]["error"]) == (3, "server-broken")
        assert outbox() == {"waiting": 1, "failing": 1, "done": 0, "superseded": 0}
        assert screen(server).status == 0
        assert outbox() == {"waiting": 0, "failing": 0, "done": 1, "superseded": 1}
        assert len(subjects(server)) == 1


@pytest.mark.slow
def test_a_proposal_under_the_claim_of_a_killed_run_is_sent_past_it_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        with monkeypatch.context() as patch:
            not_sent(patch, KeyboardInterrupt())
            screen(server)
        assert [len(one["created"]) for one in screen(server).json["written"]] == [4]
        assert len(subjects(server)) == 1
        free_the_claims()
        screen(server)
        assert (outbox()["waiting"], len(subjects(server))) == (0, 1)


def test_what_was_left_and_cannot_be_sent_now_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox(patients=(CANDIDATE, ONE)) as server:
        with monkeypatch.context() as patch:
            not_sent(patch, KeyboardInterrupt())
            screen(server, "--patient", CANDIDATE)
        free_the_claims()
        with monkeypatch.context() as patch:
            not_sent(patch, ServerBroken("500"))
            ran = screen(server, "--patient", ONE)
        assert {one["error"] for one in ran.json["written"]} == {"server-broken"}
        assert outbox()["failing"] == 2


def test_who_was_written_about_stands_in_the_audit() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server)
        screen(server)
    found = run("ledger", "access-report", CANDIDATE, "--json", **KEY).json
    acts = [one["what"] for one in found["accesses"]]
    assert acts == ["write", "read"], "the second read and wrote nothing"
