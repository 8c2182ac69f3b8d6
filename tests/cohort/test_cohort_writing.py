"""`cohort screen --write`: what is written, and of whom besides those who are listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.ledger import open_ledger
from fhir_adapter.sandbox import RunningSandbox
from fhir_adapter.settings import Settings

import r5_forms
from cli.cli_for_tests import AS_OF, run, sandbox
from cohort_store import loaded
from r5_server import r5_sandbox
from story.cohort_for_tests import COHORT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_small_study")]

CANDIDATE = "42-all-answered"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teaching cohort in several buckets."""
    made = tmp_path_factory.mktemp("tables") / "store"
    assert loaded(COHORT, made, bucket_bytes=600_000).buckets > 1
    return made


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHIR_ADAPTER_SITE_KEY", "a secret of the site")


def cohort(store: Path, server: RunningSandbox, *more: str) -> Any:
    return _asked("cohort", "screen", str(store), "--write-server", server.base_url, *more)


def one_by_one(server: RunningSandbox, *more: str, folder: Path = COHORT) -> Any:
    return _asked("screen", str(folder), "--write-server", server.base_url, *more)


def _asked(*args: str) -> Any:
    ran = run(*args, "--as-of", AS_OF, "--json", "--quiet")
    assert ran.status == 0, ran.err
    return ran.json


PEOPLE_AT_WORK = {"14-merged-b", "15-second-episode"}
"""In the teaching cohort they have a ResearchSubject of this study, made by people."""


def subjects(server: RunningSandbox) -> dict[str, dict[str, Any]]:
    """ResearchSubjects that we wrote, by patient; those that people made have no key of ours."""
    found = server._interactions.store.all_of("ResearchSubject")
    ours = [one for one in found if "identifier" in one]
    by_patient = {one["individual"]["reference"].rpartition("/")[2]: one for one in ours}
    assert len(by_patient) == len(ours)
    return by_patient


def changes(written: list[Any]) -> list[Any]:
    """What a run creates or updates, by patient; ids are the server's to give."""
    told = ({**one, "dry-run": None} for one in written if one["created"] or one["updated"])
    return sorted(told, key=lambda one: one["patient"])


def test_on_a_server_of_r5_it_is_written_in_r5(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with r5_sandbox(monkeypatch, patients=(CANDIDATE,)) as server:
        first = cohort(store, server, "--write")
        assert changes(first["written"])
        subjects_there = server._interactions.store.all_of("ResearchSubject")
        made = [one for one in subjects_there if CANDIDATE in one["subject"]["reference"]]
        assert [one["status"] for one in made] == ["active"]
        for one in made:
            r5_forms.valid(one)
        assert changes(cohort(store, server, "--write")["written"]) == []


def test_what_is_written_is_what_screen_would_write(store: Path) -> None:
    with sandbox() as server:
        dry, by_screen = cohort(store, server), one_by_one(server)
        assert changes(dry["written"]) == changes(by_screen["written"]) != []
        assert all(one["dry-run"] for one in dry["written"])
        assert subjects(server) == {}

        cohort(store, server, "--write")
        standing = subjects(server)
        assert set(standing) == {one["patient"] for one in changes(dry["written"])}
        assert {one["patient"] for one in dry["decisions"]} - set(standing) == PEOPLE_AT_WORK
        assert {one["status"] for one in standing.values()} == {"candidate"}

        for again in (cohort(store, server, "--write"), one_by_one(server, "--write")):
            assert changes(again["written"]) == []
        assert subjects(server) == standing


def with_a_cancer(tmp_path: Path) -> Path:
    """The teaching cohort in which the candidate has, since, the cancer of another patient."""
    folder = tmp_path / "since"
    shutil.copytree(COHORT, folder)
    path = folder / f"{CANDIDATE}.json"
    bundle = json.loads(path.read_text("utf-8"))
    text = (folder / "21-confirmed-cancer.json").read_text("utf-8")
    theirs = json.loads(text.replace("21-confirmed-cancer", CANDIDATE))["entry"]
    conditions = [one for one in theirs if one["resource"]["resourceType"] == "Condition"]
    for number, one in enumerate(conditions):
        one["resource"]["id"] = f"since-{number}"
    path.write_text(json.dumps({**bundle, "entry": [*bundle["entry"], *conditions]}), "utf-8")
    return folder


def decision_of(found: Any, patient: str) -> Any:
    (one,) = (one for one in found["decisions"] if one["patient"] == patient)
    return one


def test_who_was_proposed_and_is_no_longer_eligible_is_shown_and_taken_back(
    store: Path, tmp_path: Path
) -> None:
    folder, later = with_a_cancer(tmp_path), tmp_path / "later"
    loaded(folder, later)
    with sandbox() as server:
        unknown = cohort(later, server)
        assert CANDIDATE not in {one["patient"] for one in unknown["decisions"]}
        cohort(store, server, "--write")
        assert subjects(server)[CANDIDATE]["status"] == "candidate"

        dry, by_screen = cohort(later, server), one_by_one(server, folder=folder)
        assert decision_of(dry, CANDIDATE) == decision_of(by_screen, CANDIDATE)
        assert decision_of(dry, CANDIDATE)["outcome"] == "not-eligible"
        assert dry["counts"] == by_screen["counts"]
        assert changes(dry["written"]) == changes(by_screen["written"])
        assert [one["patient"] for one in changes(dry["written"])] == [CANDIDATE]

        cohort(later, server, "--write")
        others = subjects(server)
        assert others.pop(CANDIDATE)["status"] == "ineligible"
        assert {one["status"] for one in others.values()} == {"candidate"}


def opt_out(patient: str) -> None:
    ledger = open_ledger(Path(Settings().ledger), SystemClock())
    ledger.opt_out(patients=[patient], who="A. Nurse", role="treating-team")
    ledger.close()


def test_who_opted_out_is_not_screened_and_what_was_proposed_is_taken_back(store: Path) -> None:
    with sandbox() as server:
        before = cohort(store, server, "--write")
        assert decision_of(before, CANDIDATE)["outcome"] == "candidate"
        opt_out(CANDIDATE)

        after, by_screen = cohort(store, server), one_by_one(server)
        assert after["counts"] == by_screen["counts"] != before["counts"]
        assert decision_of(after, CANDIDATE) == decision_of(by_screen, CANDIDATE)
        assert decision_of(after, CANDIDATE)["outcome"] == "not-screened"
        assert decision_of(after, CANDIDATE)["stops"] == ["opted-out"]
        assert changes(after["written"]) == changes(by_screen["written"]) != []

        cohort(store, server, "--write")
        assert subjects(server)[CANDIDATE]["status"] == "ineligible"


def test_who_opted_out_under_an_id_from_before_a_merge_is_not_screened(store: Path) -> None:
    asked = ("cohort", "screen", str(store))
    before = _asked(*asked)
    Path(Settings().ledger).parent.mkdir(exist_ok=True)
    opt_out("14-merged-a")
    after = _asked(*asked)
    assert after["counts"] == _asked("screen", str(COHORT))["counts"]
    gone = {one["patient"] for one in before["decisions"]}
    gone -= {one["patient"] for one in after["decisions"]}
    assert gone == {"14-merged-b"}
