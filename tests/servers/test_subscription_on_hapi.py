"""HAPI tells `serve --watch` of a change by its own Subscription; nothing is polled meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import real_servers
from cli.cli_for_tests import AS_OF
from story.cohort_for_tests import COHORT

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

STUDY, PATIENT = "NCT05985863", "42-all-answered"
SECRET = "of this test only"
BEARER = {"Authorization": f"Bearer {SECRET}"}
FHIR = {"Content-Type": "application/fhir+json"}
NEVER = 86_400
PATIENCE = 120.0


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with real_servers.hapi("all-on") as found:
        for entry in json.loads((COHORT / f"{PATIENT}.json").read_text("utf-8"))["entry"]:
            put(found, entry["resource"])
        yield found


def put(base: str, resource: Any) -> None:
    where = f"{base}/{resource['resourceType']}/{resource['id']}"
    requests.put(where, json=resource, headers=FHIR, timeout=60).raise_for_status()


@pytest.fixture
def service(base: str, tmp_path: Path) -> Iterator[str]:
    """`serve --watch --write` that polls once, when it starts; its address."""
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        f'format = 1\n[[token]]\nname = "t"\nsha256 = "{digest}"\nroles = ["coordinator"]\n'
    )
    settings = {
        "TOKENS": str(tokens),
        "LEDGER": str(tmp_path / "ledger.sqlite"),
        "SITE_KEY": "a secret of the site",
        "NOTIFY_TOKEN": SECRET,
        "POLL_SECONDS": str(NEVER),
    }
    asked = ("serve", "--server", base, "--port", "0", "--as-of", AS_OF, "--watch", "--write")
    with subprocess.Popen(
        [sys.executable, "-m", "fhir_adapter", *asked],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **{f"FHIR_ADAPTER_{name}": one for name, one in settings.items()}},
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.terminate()
        assert process.wait(timeout=60) == 0


def wait_for(there: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.2)


def listed(service: str) -> int:
    """How many the default list has, without its heading."""
    found = requests.get(f"{service}/worklist/{STUDY}/worklist.csv", headers=BEARER, timeout=60)
    return found.text.count("\n") - 1 if found.ok else 0


def subscribe(base: str, service: str) -> None:
    channel = {
        "type": "rest-hook",
        "endpoint": f"{service}/notifications",
        "payload": "application/fhir+json",
        "header": [f"Authorization: Bearer {SECRET}"],
    }
    wanted = {
        "resourceType": "Subscription",
        "status": "requested",
        "criteria": "Patient?",
        "reason": "test",
        "channel": channel,
    }
    made = requests.post(f"{base}/Subscription", json=wanted, headers=FHIR, timeout=60)
    made.raise_for_status()
    where = f"{base}/Subscription/{made.json()['id']}"
    wait_for(lambda: requests.get(where, timeout=60).json()["status"] == "active")


def statuses(base: str) -> list[str]:
    """Of every ResearchSubject, none of them from HAPI's store of answers."""
    fresh = {"Cache-Control": "no-cache"}
    found = requests.get(f"{base}/ResearchSubject", headers=fresh, timeout=60).json()
    return [one["resource"]["status"] for one in found.get("entry", [])]


def test_a_change_is_told_by_the_server_and_reaches_list_and_server(
    base: str, service: str
) -> None:
    """A candidate turns out to be a child: off the list, and the proposal is taken back."""
    wait_for(lambda: listed(service) == 1 and statuses(base) == ["candidate"])
    subscribe(base, service)
    patient = requests.get(f"{base}/Patient/{PATIENT}", timeout=60).json()
    put(base, {**patient, "birthDate": "2015-05-04"})
    wait_for(lambda: listed(service) == 0)
    wait_for(lambda: statuses(base) == ["ineligible"])
