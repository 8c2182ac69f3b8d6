"""`serve` as a process, and what it refuses to start with."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from fastapi import FastAPI
from web.web_for_tests import STUDY, client, service

from fhir_adapter.cli.serve import run_loop, watched
from fhir_adapter.sandbox.store import Store
from fhir_adapter.web.running import run_until_stopped

from cli.cli_for_tests import AS_OF, run, sandbox


def tokens(folder: Path) -> Path:
    digest = hashlib.sha256(b"secret").hexdigest()
    path = folder / "tokens.toml"
    path.write_text(
        f'format = 1\n[[token]]\nname = "c"\nsha256 = "{digest}"\n'
        'roles = ["coordinator", "integrator"]\n'
    )
    return path


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_it_serves_and_stops_gracefully(tmp_path: Path, stop: signal.Signals) -> None:
    config = tmp_path / "fhir-adapter.toml"
    ledger = tmp_path / "ledger.sqlite"
    config.write_text(f'tokens = "{tokens(tmp_path)}"\nledger = "{ledger}"\n')
    with sandbox(patients=("09-no-pregnancy-test",)) as server:
        options = ["--server", server.base_url, "--config", str(config), "--as-of", AS_OF]
        command = [sys.executable, "-m", "fhir_adapter", "serve", "--port", "0", "--log-json"]
        with subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            answer = requests.get(
                f"{found[0]}/worklist/NCT05985863",
                headers={"Authorization": "Bearer secret"},
                timeout=20,
            )
            assert answer.status_code == 200
            process.send_signal(stop)
            assert process.wait(timeout=30) == 0
            logs = process.stderr.read()
    assert '"serve-started"' in logs
    assert '"serve-ended"' in logs
    assert "Traceback" not in logs
    assert "09-no-pregnancy" not in logs


@pytest.mark.slow
def test_it_ends_in_time_although_a_pull_waits_for_a_server_that_says_nothing(
    tmp_path: Path,
) -> None:
    config = tmp_path / "fhir-adapter.toml"
    ledger = tmp_path / "ledger.sqlite"
    config.write_text(f'tokens = "{tokens(tmp_path)}"\nledger = "{ledger}"\n')
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "fhir_adapter", "serve", "--port", "0"]
        options = ["--server", server, "--config", str(config), "--as-of", AS_OF]
        with subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            first, _ = silent.accept()  # the run over everybody
            threading.Thread(target=ask, args=(found[0],), daemon=True).start()
            second, _ = silent.accept()  # the request of a program
            with first, second:
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=40) == 0


def ask(base: str) -> None:
    """One operation about a patient whose record never comes."""
    one = {"name": "patient", "valueReference": {"reference": "Patient/p"}}
    with suppress(requests.RequestException):
        requests.post(
            f"{base}/fhir/Patient/$match-trials",
            json={"resourceType": "Parameters", "parameter": [one]},
            headers={"Authorization": "Bearer secret"},
            timeout=40,
        )


WRONG = {
    "nothing set": ("", "neither tokens nor clients"),
    "clients without address": ('clients = "c.toml"\n', "public_url"),
    "no such file": ('tokens = "gone.toml"\n', "does not exist"),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_does_not_start_where_it_could_not_work(tmp_path: Path, name: str) -> None:
    text, said = WRONG[name]
    config = tmp_path / "fhir-adapter.toml"
    config.write_text(text)
    ran = run("serve", "--server", "http://127.0.0.1:9", "--config", str(config))
    assert ran.status == 2
    assert said in ran.flat


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    config = tmp_path / "fhir-adapter.toml"
    config.write_text(f'tokens = "{tokens(tmp_path)}"\nledger = "{tmp_path / "l.sqlite"}"\n')
    with sandbox(patients=("nobody",)) as server:
        port = server.base_url.rpartition(":")[2]
        ran = run("serve", "--server", server.base_url, "--config", str(config), "--port", port)
    assert ran.status == 3
    assert "--port" in ran.flat


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_the_server_listens_is_not_lost(stop: signal.Signals) -> None:
    heard: list[str] = []

    def said(url: str) -> None:
        heard.append(url)
        signal.raise_signal(stop)

    run_until_stopped(FastAPI(), host="127.0.0.1", port=0, said=said)
    assert len(heard) == 1


@pytest.mark.parametrize("told", [True, False], ids=["pushed", "polled"])
@pytest.mark.slow
def test_the_list_follows_the_record_server(
    tmp_path: Path, small_study: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death: pushed by a notification, or found by the poll; the proposal is taken back."""
    monkeypatch.setenv("FHIR_ADAPTER_SITE_KEY", "a secret of the site")
    monkeypatch.setenv("FHIR_ADAPTER_NOTIFY_TOKEN", "of the server")
    config = tmp_path / "fhir-adapter.toml"
    config.write_text(
        f'tokens = "{tokens(tmp_path)}"\nledger = "{tmp_path / "ledger.sqlite"}"\n'
        f'study = "{small_study}"\npoll_seconds = "{600 if told else 1}"\n'
    )
    who = "42-all-answered"
    with sandbox(patients=("09-no-pregnancy-test", who)) as server:
        store = server._interactions.store
        command = [sys.executable, "-m", "fhir_adapter", "serve", "--port", "0", "--watch"]
        options = ["--server", server.base_url, "--config", str(config), "--as-of", AS_OF]
        with subprocess.Popen(
            [*command, *options, "--write", "--log-json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found is not None
            try:
                until(lambda: requests.get(f"{found[0]}/ready", timeout=20).status_code == 200)
                until(lambda: len(list(store.all_of("ResearchSubject"))) == 2)
                before = candidates(found[0])
                patient = store.get("Patient", who).resource or {}
                store.put({**patient, "deceasedBoolean": True})
                if told:
                    body = {"resourceType": "Patient", "id": who}
                    headers = {"Authorization": "Bearer of the server"}
                    url = f"{found[0]}/notifications/Patient/{who}"
                    answer = requests.put(url, json=body, headers=headers, timeout=20)
                    assert answer.status_code == 200
                until(lambda: candidates(found[0]) < before)
                until(lambda: proposed(store) == 1)
            finally:
                process.send_signal(signal.SIGTERM)
                _, logs = process.communicate(timeout=60)
            assert process.returncode == 0
    assert '"patient-worked"' in logs
    assert who not in logs


def proposed(store: Store) -> int:
    """How many stand as candidates."""
    return sum(one["status"] == "candidate" for one in store.all_of("ResearchSubject"))


def until(holds: Callable[[], bool]) -> None:
    """Soon, and not at once."""
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.2)


def candidates(url: str) -> int:
    """Rows of the default list."""
    page = requests.get(
        f"{url}/worklist/NCT05985863/worklist.csv",
        headers={"Authorization": "Bearer secret"},
        timeout=20,
    )
    assert page.status_code == 200
    return len(page.text.splitlines()) - 1


def test_nothing_is_written_without_a_watcher(tmp_path: Path) -> None:
    config = tmp_path / "fhir-adapter.toml"
    config.write_text(f'tokens = "{tokens(tmp_path)}"\n')
    ran = run("serve", "--write", "--server", "http://127.0.0.1:9", "--config", str(config))
    assert (ran.status, "--watch" in ran.err) == (2, True)


@pytest.mark.slow
def test_the_lists_follow_in_this_process_too(tmp_path: Path, small_study: str) -> None:
    """Read by the watcher after the list was made: the list has it."""
    with service(tmp_path, study=small_study, site_key="a secret") as made:
        made.refresh()
        before = made.listed(STUDY)
        assert before is not None
        with watched(made, made.settings, AS_OF, write=False):
            until(lambda: made.listed(STUDY) is not before)
        after = made.listed(STUDY)
        assert after is not None
        assert after.screened.keys() == before.screened.keys()
        assert after.worklist.listed == before.worklist.listed


@pytest.mark.slow
def test_a_watcher_that_died_is_said_by_ready(tmp_path: Path) -> None:
    with service(tmp_path) as made, client(made) as web:
        made.refresh()
        assert web.get("/ready").status_code == 200

        class Dead:
            def forever(self) -> None:
                raise RuntimeError("gone")

        run_loop(Dead(), made)  # type: ignore[arg-type] # stands for the real one
        answer = web.get("/ready")
        assert answer.status_code == 503
        assert "watcher has died" in answer.text
