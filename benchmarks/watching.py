"""`serve --watch --write` as a process: its memory, and seconds from a change to the worklist.

The FHIR server is a process of its own: the sandbox, or with `SERVER=hapi` HAPI as `make servers`
builds it. The service starts beside an empty server; then the teaching cohort is put there. One
patient turns from candidate to not proposed and back, and the worklist is asked for every 50 ms.
`CHANGES=30` of each kind, `IDLE_SECONDS=60`. The sandbox has no Subscriptions: for it this run
sends the message that one would send, after the change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks.hook import rss, tree
from fhir_adapter.artifacts import mappings_dir

ROOT = Path(__file__).parents[1]
AS_OF = "2026-11-22T07:40"
STUDY = "NCT05985863"
MODEL = "42-all-answered"
COHORT = mappings_dir() / "studies" / STUDY / "cohort"
CHANGES = int(os.environ.get("CHANGES", "30"))
POLL_SECONDS = 5
NEVER = 86_400
BIRTHDAYS = ("2015-05-04", "1976-05-04")
"""Too young, and a candidate."""
SECRET = "of this run only"  # noqa: S105 - as it says
STEP = 0.05
PATIENCE = 600.0
QUIET = 5.0
"""Seconds without a change after which everybody has been worked on."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """The measured process."""

    url: str
    pid: int

    def worklist(self) -> str:
        """The default list as CSV, without identifiers; empty where it is not ready."""
        where = f"{self.url}/worklist/{STUDY}/worklist.csv"
        found = requests.get(where, headers=_bearer(), timeout=60)
        return found.text if found.ok else ""

    def mib(self) -> str:
        """Resident now, and at most so far."""
        text = Path(f"/proc/{self.pid}/status").read_text("ascii")
        peak = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert peak is not None
        now = sum(rss(one) for one in tree(self.pid))
        return f"{now:.0f} MiB (at most {int(peak[1]) / 1024:.0f})"


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRET}"}


@contextmanager
def _process(*command: str, **env: str) -> Generator[tuple[str, int]]:
    """The address that it says first, and its number."""
    with subprocess.Popen(
        [sys.executable, "-m", "fhir_adapter", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **env},
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+(/\w+)*", process.stdout.readline())
            assert found is not None
            yield found[0], process.pid
        finally:
            process.terminate()


@contextmanager
def _server(kind: str) -> Generator[str]:
    """An empty FHIR server."""
    if kind == "hapi":
        sys.path.insert(0, str(ROOT / "tests" / "servers"))
        import real_servers  # noqa: PLC0415 - needs what `make servers` builds

        with real_servers.hapi("all-on") as base:
            yield base
        return
    with _process("server", "sandbox") as (base, _):
        yield base


@contextmanager
def _service(server: str, folder: Path, *, poll_seconds: int) -> Generator[Service]:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    tokens = folder / "tokens.toml"
    tokens.write_text(
        f'format = 1\n[[token]]\nname = "run"\nsha256 = "{digest}"\nroles = ["coordinator"]\n'
    )
    asked = ("serve", "--server", server, "--port", "0", "--as-of", AS_OF, "--watch", "--write")
    settings = {
        "TOKENS": str(tokens),
        "LEDGER": str(folder / f"ledger-{poll_seconds}.sqlite"),
        "SITE_KEY": "a key of this run",
        "NOTIFY_TOKEN": SECRET,
        "POLL_SECONDS": str(poll_seconds),
    }
    env = {f"FHIR_ADAPTER_{name}": value for name, value in settings.items()}
    with _process(*asked, **env) as (url, pid):
        yield Service(url=url, pid=pid)


def _put(server: str, resource: dict[str, Any]) -> None:
    where = f"{server}/{resource['resourceType']}/{resource['id']}"
    headers = {"Content-Type": "application/fhir+json"}
    requests.put(where, data=json.dumps(resource), headers=headers, timeout=60).raise_for_status()


def _load(server: str) -> dict[str, Any]:
    """Put the teaching cohort there; the Patient that will change."""
    found: dict[str, Any] = {}
    for path in sorted(COHORT.glob("*.json")):
        for entry in json.loads(path.read_text("utf-8"))["entry"]:
            _put(server, entry["resource"])
            if entry["resource"]["id"] == MODEL:
                found = entry["resource"]
    return found


def _quiet(service: Service) -> str:
    """The list once it has not changed for a while."""
    since, seen, until = time.monotonic(), "", time.monotonic() + PATIENCE
    while time.monotonic() < until:
        now = service.worklist()
        if now != seen or now.count("\n") < MIN_LINES:
            since, seen = time.monotonic(), now
        if time.monotonic() - since > QUIET + POLL_SECONDS:
            return seen
        time.sleep(0.5)
    raise SystemExit("the list did not come to rest")


MIN_LINES = 3
"""A heading and somebody."""


def _latencies(
    service: Service, patient: dict[str, Any], change: Callable[[dict[str, Any]], None]
) -> list[float]:
    """Seconds from the change's answer until the list shows it."""
    spent, before = [], _quiet(service)
    for number in range(CHANGES):
        change({**patient, "birthDate": BIRTHDAYS[number % 2]})
        began = time.monotonic()
        while (now := service.worklist()) == before:
            if time.monotonic() - began > PATIENCE:
                raise SystemExit("a change did not reach the list")
            time.sleep(STEP)
        spent.append(time.monotonic() - began)
        before = now
    return sorted(spent)


def _subscribe(server: str, service: Service) -> bool:
    """Whether the server sends notices of its own."""
    channel = {
        "type": "rest-hook",
        "endpoint": f"{service.url}/notifications",
        "payload": "application/fhir+json",
        "header": [f"Authorization: Bearer {SECRET}"],
    }
    wanted = {"resourceType": "Subscription", "status": "requested", "criteria": "Patient?",
              "reason": "benchmark", "channel": channel}  # fmt: skip
    headers = {"Content-Type": "application/fhir+json"}
    made = requests.post(
        f"{server}/Subscription", data=json.dumps(wanted), headers=headers, timeout=60
    )
    if not made.ok:
        return False
    where, until = f"{server}/Subscription/{made.json()['id']}", time.monotonic() + PATIENCE
    while requests.get(where, timeout=60).json()["status"] != "active":
        assert time.monotonic() < until
        time.sleep(0.5)
    return True


def _notice(service: Service, resource: dict[str, Any]) -> None:
    where = f"{service.url}/notifications/Patient/{resource['id']}"
    requests.put(where, json=resource, headers=_bearer(), timeout=60).raise_for_status()


def main() -> str:
    """Two tables."""
    kind = os.environ.get("SERVER", "sandbox")
    with tempfile.TemporaryDirectory() as name, _server(kind) as server:
        with _service(server, Path(name), poll_seconds=POLL_SECONDS) as service:
            time.sleep(float(os.environ.get("IDLE_SECONDS", "60")))
            idle = service.mib()
            patient = _load(server)
            polled = _latencies(service, patient, lambda one: _put(server, one))
            loaded = service.mib()
        with _service(server, Path(name), poll_seconds=NEVER) as service:
            _quiet(service)
            own = _subscribe(server, service)

            def change(one: dict[str, Any]) -> None:
                _put(server, one)
                if not own:
                    _notice(service, one)

            told = _latencies(service, patient, change)
    sender = "the server's Subscription" if own else "a message of this run"
    return "\n".join(
        (
            f"### serve --watch --write beside {kind}\n",
            "| resident | MiB |\n| --- | --- |",
            f"| idle, an empty server | {idle} |",
            f"| after the teaching cohort and {CHANGES} changes | {loaded} |\n",
            "| a change reaches the worklist | p50 s | p99 s |\n| --- | ---: | ---: |",
            _row(f"poll every {POLL_SECONDS} s", polled),
            _row(f"rest-hook, {sender}", told),
        )
    )


def _row(name: str, spent: list[float]) -> str:
    last = spent[min(len(spent) - 1, int(len(spent) * 0.99))]
    return f"| {name} | {spent[len(spent) // 2]:.1f} | {last:.1f} |"
