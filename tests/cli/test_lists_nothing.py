"""A CapabilityStatement that lists nothing: what follows is said once, and how to know more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_adapter.bootstrap.profiles import keep
from fhir_adapter.model.server import ServerProfile, Verdict

import fault_proxy as f
from cli.cli_for_tests import AS_OF, run, sandbox

FEW = ("42-all-answered", "09-no-pregnancy-test")
SAID = "The server's CapabilityStatement lists no resource type: everything is tried"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spoilt() -> Iterator[Callable[[f.Fault], str]]:
    """The sandbox's address, with a fault on its /metadata."""
    with sandbox(patients=FEW) as server, f.FaultProxy(server.base_url) as proxy:

        def made(fault: f.Fault) -> str:
            proxy.arm(fault, on=f.is_metadata)
            return proxy.url

        yield made


@pytest.mark.parametrize(
    "left", [{"fhirVersion": "4.0.1"}, {"rest": []}, {"rest": [{"mode": "server"}]}]
)
def test_an_empty_statement_is_said_once(
    left: dict[str, object], spoilt: Callable[[f.Fault], str]
) -> None:
    url = spoilt(f.edited(lambda _: {"resourceType": "CapabilityStatement", **left}))
    ran = run("screen", "--server", url, "--as-of", AS_OF, "--json")
    assert (ran.status, ran.err.count(SAID)) == (0, 1)
    assert "`fhir-adapter server doctor URL`" in ran.err
    assert ran.json["patients"] == 2
    assert SAID not in run("screen", "--server", url, "--as-of", AS_OF, "--quiet").flat


def test_a_watch_says_so_at_its_start(spoilt: Callable[[f.Fault], str]) -> None:
    url = spoilt(f.edited(lambda _: {"resourceType": "CapabilityStatement"}))
    asked = ("watch", "--server", url, "--once", "--as-of", AS_OF)
    assert run(*asked).err.count(SAID) == 1
    assert SAID not in run(*asked, "--quiet").flat
    assert [one for one in run(*asked, "--json").json["remedies"] if SAID in one]


@pytest.mark.parametrize("command", [("screen",), ("watch", "--once")], ids=" ".join)
def test_a_server_without_a_statement_or_with_a_kept_profile_is_not_talked_about(
    command: tuple[str, ...], spoilt: Callable[[f.Fault], str], tmp_path: Path
) -> None:
    url = spoilt(f.edited(lambda _: {"resourceType": "CapabilityStatement"}))
    seen = ServerProfile(verdicts={"query.include": Verdict.WORKS})
    keep(seen, url, tmp_path / "profile.json")
    profile = {"FHIR_ADAPTER_RECORD_PROFILE": str(tmp_path / "profile.json")}
    asked = (*command, "--server", url, "--as-of", AS_OF)
    assert SAID not in run(*asked, **profile).flat
    spoilt(f.no_metadata())
    assert SAID not in run(*asked).flat
