"""What a run says to people of its writing: duplicates beside ours, and a server that forgets."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.sandbox import RunningSandbox

from cli.cli_for_tests import AS_OF, Ran, run, sandbox
from fault_proxy import FaultProxy, cut_before_commit, forgotten_create, is_create, is_write

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
DUPLICATE = "1 duplicate ResearchSubject stands beside what is proposed"
REMEDY = "`fhir-adapter ledger repair`"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


def screen(url: str, *more: str) -> Ran:
    return run("screen", "--server", url, "--as-of", AS_OF, *more, **KEY)


def plant_a_twin(server: RunningSandbox) -> None:
    """As two runs at once leave it on a server without conditional create."""
    store = server._interactions.store
    (ours,) = store.all_of("ResearchSubject")
    store.put({**copy.deepcopy(ours), "id": "twin"})


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--write",), (), ("--write", "--quiet"), ("--write", "--json")])
def test_a_duplicate_is_told_to_people_with_its_remedy(more: tuple[str, ...]) -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server.base_url, "--write")
        plant_a_twin(server)
        ran = screen(server.base_url, *more)
    assert ran.status == 0
    said = " ".join(ran.err.split())
    assert DUPLICATE in said
    assert REMEDY in said
    assert CANDIDATE not in ran.err
    if "--json" not in more:
        assert "all stands already" not in ran.flat


@pytest.mark.slow
@pytest.mark.parametrize("write", [("--write",), ()])
def test_watch_tells_of_it_too(write: tuple[str, ...]) -> None:
    args = ("watch", "--once", "--as-of", AS_OF, *write)
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server.base_url, "--write")
        plant_a_twin(server)
        ran = run(*args, "--server", server.base_url, "--log-json", **KEY)
        again = run(*args, "--server", server.base_url, **KEY).err if not write else ""
    assert ran.status == 0
    said = " ".join(ran.err.split())
    assert DUPLICATE in said
    assert REMEDY in said
    assert '"duplicates": 1' in ran.err, "and `serve --watch` says it in its log"
    assert CANDIDATE not in ran.err + again


@pytest.mark.slow
def test_watch_counts_them_as_data() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        args = ("watch", "--once", "--as-of", AS_OF, "--write", "--json")
        assert run(*args, "--server", server.base_url, **KEY).json["duplicates"] == 0
        plant_a_twin(server)
        store = server._interactions.store
        store.put({**(store.get("Patient", CANDIDATE).resource or {}), "active": True})
        assert run(*args, "--server", server.base_url, **KEY).json["duplicates"] == 1


def test_a_server_that_takes_a_write_and_forgets_it_is_no_success() -> None:
    with sandbox(patients=(CANDIDATE,)) as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(forgotten_create(), on=is_create)
        ran = screen(proxy.url, "--write")
        kept: list[Any] = list(server._interactions.store.all_of("ResearchSubject"))
    assert (ran.status, kept) == (3, [])
    assert "Device: it cannot be read back" in ran.flat
    assert "all stands already" not in ran.flat
    assert "Written: nothing; 1 failed, as said above" in ran.flat
    for where in ("stores nothing", "tenant", "later", "server doctor URL --write"):
        assert where in ran.flat


@pytest.mark.slow
def test_what_fails_for_many_is_said_once_and_logged_by_code() -> None:
    """A server that goes away: nobody is named in vain."""
    with sandbox() as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(cut_before_commit(), on=is_write)
        ran = screen(proxy.url, "--write", "--log-json")
    assert ran.status == 3
    (told,) = [one for one in ran.out.splitlines() if "server-unreachable" in one]
    assert "So it is for" in told
    logged = [json.loads(one) for one in ran.err.splitlines() if one.startswith("{")]
    failed = [one for one in logged if one["event"] == "write-failed"]
    (counts,) = [one for one in logged if one["event"] == "written"]
    assert len(failed) == counts["failed"] > 3
    assert {one["code"] for one in failed} == {"server-unreachable"}
    assert counts["resources_created"] == counts["resources_updated"] == 0


def test_watch_names_what_to_look_at_too() -> None:
    with sandbox(patients=(CANDIDATE,)) as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(forgotten_create(), on=is_create)
        ran = run("watch", "--once", "--as-of", AS_OF, "--write", "--server", proxy.url, **KEY)
    assert ran.status == 3
    assert "write-unverified: 1. The server answered that it took it." in ran.flat
    assert "server doctor URL --write" in ran.flat
    assert CANDIDATE not in ran.flat
