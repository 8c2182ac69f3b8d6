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
    assert "Nothing was tried that writes: what was written stays" in ran.flat
    assert "Could not be removed" in ran.err
    assert "Device/1" in ran.err
    assert "not tried: what is written could not be taken away" in ran.flat
    assert "Not tried: --write does, where what it writes can be taken away." in ran.flat


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_what_a_killed_run_left_is_named() -> None:
    run_of = "https://fhir-adapter.example/fhir/doctor", "doctor-20260101T000000Z-0123456789ab-1"
    with sandbox(patients=(ONE,)) as server:
        server._interactions.store.load(
            {
                "resourceType": "Device",
                "id": "left",
                "identifier": [dict(zip(("system", "value"), run_of, strict=True))],
                "meta": {"lastUpdated": "2026-01-01T00:00:00Z"},
            }
        )
        ran = run("server", "doctor", server.base_url, "--write", "--json")
        assert not list(server._interactions.store.all_of("Device"))
    assert ran.json["earlier"] == {"removed": ["Device/left"], "left": [], "spared": []}
    assert "Left behind by earlier runs, now removed: Device/left" in " ".join(ran.err.split())
    assert ran.json["token"].startswith("doctor-20")


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
def test_a_login_page_is_asked_two_questions_and_named(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    with plain_server(200, b"<html>Log in</html>", Content_Type="text/html") as page:
        people = run(
            "server", "doctor", page.base_url, "--seconds", "10", "--profile", str(kept)
        )  # fmt: skip
        told = run("server", "doctor", page.base_url, "--seconds", "10", "--json").json
    assert people.status == 1
    assert "not asked: this address does not answer as a FHIR server" in people.flat
    assert "whether a login page or a proxy answers" in people.flat
    assert "No profile was written" in people.err
    assert not kept.exists()
    assert len(page.asked) == 4
    assert told["study"] == []
    assert [one["id"] for one in told["checks"] if one["result"] == "fails"] == ["metadata.answers"]


@pytest.mark.usefixtures("with_small_study")
def test_a_server_of_another_version_is_told_in_one_headline_with_its_remedy() -> None:
    told = b'{"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}'
    with plain_server(200, told, Content_Type="application/fhir+json") as server:
        ran = run("server", "doctor", server.base_url, "--write", "--seconds", "10")
    assert ran.status == 1
    assert "checks not asked: it is of another version of FHIR." in ran.flat
    assert "the server speaks FHIR STU3 (3.0.2), not R4. Give the base URL of its R4" in ran.flat
    assert "Proposals by" not in ran.flat
    assert "work" not in ran.flat
    assert {one.split()[0] for one in server.asked} == {"GET"}
    assert len(server.asked) == 2


@pytest.mark.usefixtures("with_small_study")
def test_a_named_patient_whom_the_server_does_not_know_is_an_error() -> None:
    with sandbox(patients=(ONE,)) as server:
        ran = run("server", "doctor", server.base_url, "--patient", "nobody")
    assert ran.status == 3
    assert "patient-not-found" in ran.err
    assert "the server does not know the named patient (404)" in " ".join(ran.err.split())
    assert "nobody" not in ran.err


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


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize("option", ["--markdown", "--profile"])
@pytest.mark.parametrize("place", ["nowhere/x", "a-file/x", "."])
def test_a_file_that_cannot_be_written_is_said_before_the_first_request(
    option: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("", "utf-8")
    with plain_server(200) as page:
        ran = run("server", "doctor", page.base_url, option, str(tmp_path / place))
    assert (ran.status, page.asked) == (2, [])
    assert f"{option}: the file cannot be written there" in " ".join(ran.err.split())


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize("option", ["--markdown", "--profile"])
def test_a_disk_that_is_full_at_the_end_is_no_mistake_of_ours(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with sandbox(patients=(ONE,)) as server:
        ran = run("server", "doctor", server.base_url, option, str(tmp_path / "x"))
    assert ran.status == 2
    assert f"{option}: the file cannot be written there" in " ".join(ran.err.split())
