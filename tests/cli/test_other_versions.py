"""A server of another version than R4 at every command: named, with the remedy, nothing written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fault_proxy as faults
from cli.cli_for_tests import AS_OF, run, sandbox
from fault_proxy import FaultProxy

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
VERSIONS = {
    "R5": ({"fhirVersion": "5.0.0"}, "R5 (5.0.0)"),
    "DSTU2": ({"resourceType": "Conformance", "fhirVersion": "1.0.2"}, "DSTU2 (1.0.2)"),
}
SCREENS = {
    "screen": ("screen", "--server", "{url}", "--as-of", AS_OF, "--write"),
    "one patient": ("screen", "--server", "{url}", "--as-of", AS_OF, "--patient", CANDIDATE),
}
R5_TOO = {*SCREENS, "watch", "repair"}
"""What a server of R5 is spoken to with: tests/cli/test_r5_screen.py and test_r5_watch.py."""
COMMANDS = {
    **SCREENS,
    "watch": ("watch", "--server", "{url}", "--once", "--as-of", AS_OF, "--write"),
    "publish": ("study", "publish", "--server", "{url}", "--write", "--unsigned"),
    "repair": ("ledger", "repair", "--server", "{url}", "--write"),
    "export": ("cohort", "load", "--server", "{url}", "--store", "store"),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Iterator[tuple[FaultProxy, Any, str]]:
    """A server that says that it is of this version, and holds a candidate."""
    elements, said = VERSIONS[request.param]
    with sandbox(patients=(CANDIDATE,)) as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(faults.lying_metadata(**elements), on=faults.is_metadata)
        yield proxy, server._interactions.store, said


REFUSED = [
    (version, name)
    for version in VERSIONS
    for name in COMMANDS
    if version != "R5" or name not in R5_TOO
]


@pytest.mark.parametrize(("other", "name"), REFUSED, indirect=["other"])
def test_it_is_refused_and_the_remedy_is_said(
    other: tuple[FaultProxy, Any, str], name: str
) -> None:
    proxy, store, said = other
    before = list(store.types())
    ran = run(*(word.format(url=proxy.url) for word in COMMANDS[name]), **KEY)
    told = " ".join((ran.out + ran.err).split())
    assert (ran.status, f"speaks FHIR {said}, not R4" in told) == (3, True), told
    assert "R4 (4.0.1) endpoint" in told
    assert list(store.types()) == before


@pytest.mark.slow
@pytest.mark.parametrize("other", sorted(VERSIONS), indirect=True)
def test_the_doctor_names_it(other: tuple[FaultProxy, Any, str]) -> None:
    proxy, _, said = other
    ran = run("server", "doctor", proxy.url, "--write", "--json")
    (found,) = [one for one in ran.json["checks"] if one["id"] == "metadata.fhir-version"]
    assert (ran.status, found["result"]) == (1, "fails")
    assert said in json.dumps(found)
    assert ran.json["requests"] == 2
