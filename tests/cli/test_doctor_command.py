"""`server doctor` with and without writing: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.bootstrap.clients import write_client
from fhir_adapter.bootstrap.writing import choice_of
from fhir_adapter.settings import Connection, Settings

from cli.cli_for_tests import AS_OF, ONE, run, sandbox
from plain_server import plain_server

CANDIDATE = "42-all-answered"


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.slow
def test_with_write_everything_is_tried_and_nothing_is_left(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    with sandbox(patients=(ONE,)) as server:
        count = len(run("screen", "--server", server.base_url, "--json").json["decisions"])
        ran = run("server", "doctor", server.base_url, "--write", "--json", "--markdown", str(page))
        after = len(run("screen", "--server", server.base_url, "--json").json["decisions"])
    found = ran.json
    assert (ran.status, found["left-behind"], count, after) == (0, [], 1, 1)
    assert found["written"]
    assert found["choices"]["write-ways"][0] == "conditional-create"
    assert found["choices"]["post-search"]
    results = {one["id"]: one["result"] for one in found["checks"]}
    assert results["kept.ResearchSubject"] == results["write.conditional-update"] == "works"
    assert results["bundle.rollback"] == "works"
    assert results["paging.size"] == "cannot-tell"
    assert "| patient=ID | works |" in page.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_what_could_not_be_removed_is_named() -> None:
    with sandbox(patients=(ONE,), no_delete=True) as server:
        ran = run("server", "doctor", server.base_url, "--write")
    assert "Could not be removed" in ran.err
    assert "Device/1" in ran.err
    assert "not tried: what is written could not be taken away" in ran.flat
    assert "Not tried: --write does, where what it writes can be taken away." in ran.flat


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_people_get_groups_with_what_a_failure_means() -> None:
    with sandbox(patients=(ONE,), refuses_types=frozenset(("Procedure",))) as server:
        ran = run("server", "doctor", server.base_url, "--patient", ONE)
    assert ran.status == 1
    for said in (
        "What it says of itself",
        "Search parameters, by type",
        "Procedure is not retrieved",
        "This study",
        "cannot be told",
        "Proposals by: conditional-create, where that is refused task (",
        "(the server offers conditional create). Not tried: --write does, where what it writes",
    ):
        assert said in ran.flat


@pytest.mark.usefixtures("with_small_study")
def test_a_login_page_is_asked_two_questions_and_named() -> None:
    with plain_server(200, b"<html>Log in</html>", Content_Type="text/html") as page:
        people = run("server", "doctor", page.base_url, "--seconds", "10")
        told = run("server", "doctor", page.base_url, "--seconds", "10", "--json").json
    assert people.status == 1
    assert "not asked: this address does not answer as a FHIR server" in people.flat
    assert "whether a login page or a proxy answers" in people.flat
    assert len(page.asked) == 4
    assert told["study"] == []
    assert [one["id"] for one in told["checks"] if one["result"] == "fails"] == ["metadata.answers"]


@pytest.mark.usefixtures("with_small_study")
def test_where_nothing_listens_the_remedy_stands_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/fhir"
    ran = run("server", "doctor", nobody, "--seconds", "10")
    assert ran.status == 1
    assert "not asked: nothing answers at this address" in ran.flat
    assert "Check the base URL, the port and the proxy settings." in ran.flat
    assert "What it says of itself" not in ran.flat


KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
SUBJECT = frozenset({"ResearchSubject"})


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize(
    ("habits", "ways", "made"),
    [
        pytest.param({}, ["conditional-create", "task"], "ResearchSubject", id="everything"),
        pytest.param(
            {"no_conditional_create": True},
            ["search-then-create", "task"],
            "ResearchSubject",
            id="no conditional create",
        ),
        pytest.param({"refuses_types": SUBJECT}, ["task"], "Task", id="no ResearchSubject"),
        pytest.param(
            {"refuses_types": SUBJECT | {"Task"}},
            ["document-reference"],
            "DocumentReference",
            id="no Task",
        ),
        pytest.param({"refuses_types": SUBJECT | {"Device"}}, [], "", id="no Device"),
    ],
)
def test_the_ways_it_names_are_those_of_writing_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    habits: dict[str, Any],
    ways: list[str],
    made: str,
) -> None:
    """With the profile that it keeps, the same choice is made, and the first way is taken."""
    monkeypatch.chdir(tmp_path)
    with sandbox(patients=(CANDIDATE,), **habits) as server:
        url, store = server.base_url, server._interactions.store
        args = ("server", "doctor", url, "--write", "--profile", "seen.json")
        found = run(*args, "--json").json["choices"]
        assert found["write-ways"] == [*ways, "nothing"]
        people = run(*args).flat
        assert f"Proposals by: {ways[0] if ways else 'nothing but the ledger'}" in people
        assert "Not tried" not in people or "ResearchSubject" in habits.get("refuses_types", ())
        settings = Settings(record_server=url, record=Connection(profile="seen.json"))
        choice = choice_of(settings, write_client(settings))
        assert [way.value for way in choice.ways] == found["write-ways"]
        Path("fhir-adapter.toml").write_text('[server.record]\nprofile = "seen.json"\n', "utf-8")
        before = Counter(store.types())
        assert run("screen", "--server", url, "--as-of", AS_OF, "--write", **KEY).status == 0
        wrote = {kind for kind, n in Counter(store.types()).items() if n > before[kind]}
    forms = {"ResearchSubject", "Task", "DocumentReference"}
    assert wrote & forms == ({made} if made else set())
