"""Runs after the first: what a dry run counts, and what a failed evaluation leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.sandbox import RunningSandbox

from cli.cli_for_tests import AS_OF, ONE, Ran, run, sandbox
from plain_server import plain_server
from story.cohort_for_tests import COHORT

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


def screen(server: RunningSandbox, *more: str, **env: str) -> Ran:
    return run("screen", "--server", server.base_url, "--as-of", AS_OF, *more, **env)


def all_of(server: RunningSandbox, kind: str) -> list[Any]:
    return list(server._interactions.store.all_of(kind))


@pytest.mark.slow
def test_a_dry_run_counts_what_a_writing_run_would_do() -> None:
    with sandbox(patients=(CANDIDATE, ONE)) as server:
        assert "With --write: 0 created" not in screen(server, **KEY).flat
        screen(server, "--write", **KEY)
        dry = screen(server, **KEY).flat
        assert "Dry run, nothing written. With --write: nothing; all stands already" in dry
        assert "No site_key" not in dry
        assert "those of a first run" in screen(server).flat
        quiet = screen(server, "--quiet")
        assert "those of a first run" in quiet.err
        assert "those of a first run" not in quiet.out


@pytest.mark.slow
def test_a_dry_run_does_not_promise_what_a_person_has_deleted() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server, "--write", **KEY)
        (subject,) = all_of(server, "ResearchSubject")
        server._interactions.store.delete("ResearchSubject", subject["id"])
        (dry,) = screen(server, "--json", **KEY).json["written"]
        (wet,) = screen(server, "--write", "--json", **KEY).json["written"]
        assert dry["created"] == wet["created"] == []
        assert any("somebody deleted" in note for note in dry["notes"])


@pytest.mark.slow
def test_a_new_ledger_knows_what_a_person_has_deleted() -> None:
    """The opinion beside it stands, and nothing that it speaks of."""
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server, "--write", FHIR_ADAPTER_LEDGER="first.sqlite", **KEY)
        (subject,) = all_of(server, "ResearchSubject")
        server._interactions.store.delete("ResearchSubject", subject["id"])
        for _ in range(2):
            ran = screen(server, "--write", "--json", FHIR_ADAPTER_LEDGER="new.sqlite", **KEY)
            (written,) = ran.json["written"]
            assert (ran.status, written["created"], written["updated"]) == (0, [], [])
            assert any("somebody deleted" in note for note in written["notes"])
        assert all_of(server, "ResearchSubject") == []


@pytest.mark.slow
def test_by_the_doctor_s_finding_what_is_ours_alone_is_put_on_its_identifier() -> None:
    """The server has conditional update and no conditional create."""
    with sandbox(patients=(CANDIDATE,), no_conditional_create=True) as server:
        run("server", "doctor", server.base_url, "--write", "--profile", "seen.json")
        seen = json.loads(Path("seen.json").read_text("utf-8"))["checks"]
        assert seen["write.conditional-update"] == "works"
        assert seen["write.conditional-create"] == "fails"
        named = f'[server.write]\nurl = "{server.base_url}"\nprofile = "seen.json"\n'
        Path("fhir-adapter.toml").write_text(named, "utf-8")
        (written,) = screen(server, "--write", "--json", **KEY).json["written"]
        assert len(written["created"]) == 4
        for kind in ("Device", "ResearchSubject", "GuidanceResponse"):
            assert len(all_of(server, kind)) == 1
        (again,) = screen(server, "--write", "--json", **KEY).json["written"]
        assert (again["created"], again["updated"]) == ([], [])


@pytest.mark.slow
def test_a_server_that_says_nothing_of_itself_is_written_to_once() -> None:
    with sandbox(patients=(CANDIDATE,), no_metadata=True) as server:
        first = screen(server, "--write", "--json", **KEY)
        again = screen(server, "--write", "--json", **KEY)
        assert (first.status, again.status) == (0, 0)
        assert len(first.json["written"][0]["created"]) == 4
        assert again.json["written"][0]["created"] == again.json["written"][0]["updated"] == []
        assert len(all_of(server, "ResearchSubject")) == 1


@pytest.mark.slow
def test_a_failed_evaluation_replaces_the_opinion_until_there_is_an_answer_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("Canary 1980-05-01")

    with sandbox(patients=(CANDIDATE, ONE)) as server:
        screen(server, "--write", **KEY)
        before = all_of(server, "ResearchSubject")
        with monkeypatch.context() as broken:
            broken.setattr("fhir_adapter.screening.judge", fail)
            found = screen(server, "--write", "--json", **KEY).json
            again = screen(server, "--write", "--json", **KEY).json
            nowhere = screen(server, "--json", FHIR_ADAPTER_LEDGER="none.sqlite").json
        assert len(found["failed"]) == 2
        (sent,) = found["written"]
        assert (sent["patient"], len(sent["updated"])) == (CANDIDATE, 1)
        assert [one["updated"] for one in again["written"]] == [[]]
        assert nowhere["written"] == []
        (opinion,) = all_of(server, "GuidanceResponse")
        assert opinion["status"] == "failure"
        assert "Canary" not in str(opinion)
        assert all_of(server, "ResearchSubject") == before
        screen(server, "--write", **KEY)
        assert all_of(server, "GuidanceResponse")[0]["status"] != "failure"


@pytest.mark.slow
def test_a_failed_pull_leaves_the_opinion_as_it_is() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server, "--write", **KEY)
        before = all_of(server, "GuidanceResponse")
        server._interactions.store.delete("Patient", CANDIDATE)
        found = screen(server, "--patient", CANDIDATE, "--write", "--json", **KEY).json
        assert [one["error"] for one in found["failed"]] == ["patient-not-found"]
        assert found["written"] == []
        assert all_of(server, "GuidanceResponse") == before


def copied(server: RunningSandbox, name: str) -> None:
    """The candidate's record once more, under another id."""
    text = (COHORT / f"{CANDIDATE}.json").read_text("utf-8").replace(CANDIDATE, name)
    for entry in json.loads(text)["entry"]:
        server._interactions.store.put(entry["resource"])


@pytest.mark.slow
@pytest.mark.parametrize("both", [True, False])
def test_the_key_of_the_first_proposal_is_kept_when_its_patient_is_merged(*, both: bool) -> None:
    """What was proposed as the one is kept up, and taken back, as the other: no second of it."""
    with sandbox(patients=(CANDIDATE,)) as server:
        store = server._interactions.store
        screen(server, "--write", **KEY)
        (proposed,) = all_of(server, "ResearchSubject")
        (opinion,) = all_of(server, "GuidanceResponse")
        copied(server, "survivor")
        old, new = (store.get("Patient", one).resource or {} for one in (CANDIDATE, "survivor"))
        store.put({**old, "active": False, "link": [linked("survivor", "replaced-by")]})
        if both:
            store.put({**new, "link": [linked(CANDIDATE, "replaces")]})
        screen(server, "--patient", "survivor", "--write", **KEY)
        (kept,) = all_of(server, "ResearchSubject")
        assert (kept["id"], kept["identifier"]) == (proposed["id"], proposed["identifier"])
        (now,) = all_of(server, "GuidanceResponse")
        assert (now["id"], now["identifier"]) == (opinion["id"], opinion["identifier"])
        store.put({**(store.get("Patient", "survivor").resource or {}), "deceasedBoolean": True})
        screen(server, "--patient", "survivor", "--write", **KEY)
        (taken_back,) = all_of(server, "ResearchSubject")
        assert (taken_back["id"], taken_back["status"]) == (proposed["id"], "ineligible")


def linked(other: str, how: str) -> dict[str, Any]:
    return {"type": how, "other": {"reference": f"Patient/{other}"}}


@pytest.mark.parametrize("place", ["a-file/x.sqlite", "a-file/in/x.sqlite", "/proc/nope/x.sqlite"])
def test_a_ledger_that_cannot_be_made_is_said_before_the_first_request(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("", "utf-8")
    with plain_server(200) as page:
        key = {"FHIR_ADAPTER_LEDGER": str(tmp_path / place), "FHIR_ADAPTER_SITE_KEY": "x"}
        ran = run("screen", "--server", page.base_url, "--write", **key)
    assert (ran.status, page.asked) == (2, [])
    assert "setting-invalid" in ran.err
    assert "the ledger's folder cannot be made" in " ".join(ran.err.split())
