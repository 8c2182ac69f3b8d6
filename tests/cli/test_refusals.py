"""`ledger decline`: what a patient refused holds in every lane, through merges and forgetting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import fhir_adapter
from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.ledger import Ledger, open_ledger

from cli.cli_for_tests import AS_OF, Ran, run, sandbox
from story.cohort_for_tests import COHORT

CANDIDATE = "42-all-answered"
STUDY = "NCT05985863"
LEDGER = Path(".fhir-adapter/ledger.sqlite")
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
SCHEMA = Path(fhir_adapter.__file__).parent / "schemas" / "ledger-decline.schema.json"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)
    LEDGER.parent.mkdir()
    opened().close()


def opened() -> Ledger:
    return open_ledger(str(LEDGER), SystemClock(), site_key=KEY["FHIR_ADAPTER_SITE_KEY"])


def decline(*words: str) -> Ran:
    return run("ledger", "decline", *words, **KEY)


def one_by_one() -> Any:
    return run("screen", str(COHORT), "--as-of", AS_OF, "--json", **KEY).json


def of_the_candidate(found: Any) -> Any:
    (one,) = (one for one in found["decisions"] if one["patient"] == CANDIDATE)
    return one


def test_nothing_is_recorded_without_yes() -> None:
    said = decline(CANDIDATE, "--every-study", "--json").json
    jsonschema.validate(said, json.loads(SCHEMA.read_text("utf-8")))
    assert said == {
        "dry_run": True, "study": "", "patients": 1, "known": False,
        "unknown_ids": [], "not_looked_up": "no-record-server",
    }  # fmt: skip
    assert "Dry run" in decline(CANDIDATE, "--every-study").flat
    assert of_the_candidate(one_by_one())["outcome"] == "candidate"


def test_an_id_that_the_server_does_not_know_is_recorded_with_a_caution() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        env = {**KEY, "FHIR_ADAPTER_RECORD_SERVER": server.base_url}
        asked = ("ledger", "decline", CANDIDATE, "mistyped", "--every-study")
        told = run(*asked, "--json", **env).json
        people = run(*asked, "--yes", **env)
        known = run("ledger", "decline", CANDIDATE, "--every-study", "--yes", **env)
    jsonschema.validate(told, json.loads(SCHEMA.read_text("utf-8")))
    assert (told["unknown_ids"], told["not_looked_up"]) == ([2], "")
    assert people.status == 0
    assert "Caution: the record server knows no patient of id 2 (of 2 given)" in people.flat
    assert "mistyped" not in people.flat
    assert "Caution" not in known.flat
    assert opened().opted_out(["mistyped"]) == {"mistyped"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "why"), [("", "no-record-server"), ("http://127.0.0.1:9/fhir", "unreachable")]
)
def test_a_refusal_is_recorded_though_nobody_can_be_looked_up(address: str, why: str) -> None:
    env = {**KEY, "FHIR_ADAPTER_RECORD_SERVER": address}
    ran = run("ledger", "decline", "somebody", "--study", STUDY, "--yes", **env)
    assert ran.status == 0
    assert f"not looked up on the record server ({why})" in ran.flat
    assert opened().declined(STUDY, ["somebody"]) == {"somebody"}


def test_a_wrong_address_knows_nobody_and_is_not_asked_who_is_unknown() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        env = {**KEY, "FHIR_ADAPTER_RECORD_SERVER": f"{server.base_url}/wrong"}
        ran = run("ledger", "decline", CANDIDATE, "--every-study", "--yes", **env)
    assert ran.status == 0
    assert "not looked up on the record server (not-fhir)" in ran.flat
    assert "knows no patient" not in ran.flat


def test_a_refusal_is_recorded_though_the_settings_lead_to_no_server(tmp_path: Path) -> None:
    env = {"FHIR_ADAPTER_RECORD_SERVER": "https://127.0.0.1:9/fhir", **KEY}
    env["FHIR_ADAPTER_RECORD_CA_FILE"] = str(tmp_path / "is-not-there.pem")
    ran = run("ledger", "decline", "somebody", "--every-study", "--yes", **env)
    assert (ran.status, "not looked up" in ran.flat) == (0, True)
    assert opened().opted_out(["somebody"]) == {"somebody"}


def test_a_study_that_is_not_known_is_refused() -> None:
    ran = decline(CANDIDATE, "--study", "NCT00000000", "--yes")
    assert (ran.status, "study-not-found" in ran.err) == (4, True)


def test_a_declined_study_is_judged_and_withheld() -> None:
    assert decline(CANDIDATE, "--study", STUDY, "--yes").status == 0
    assert decline(CANDIDATE, "--study", STUDY, "--json").json["known"] is True
    found = of_the_candidate(one_by_one())
    assert (found["outcome"], found["withheld"]) == ("candidate", True)


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("as_of", [AS_OF, "last-fact"])
@pytest.mark.slow
def test_who_opted_out_is_judged_in_neither_lane(as_of: str, *, forgotten: bool) -> None:
    assert decline(CANDIDATE, "--every-study", "--yes").status == 0
    if forgotten:
        assert run("ledger", "forget", CANDIDATE, "--yes", **KEY).status == 0
    run("cohort", "load", str(COHORT), "--store", "s", "--workers", "1")
    asked = ("--as-of", as_of, "--json")
    cohort = run("cohort", "screen", "s", *asked, **KEY).json
    alone = run("screen", str(COHORT), *asked, **KEY).json
    assert cohort["counts"] == alone["counts"]
    assert CANDIDATE not in {one["patient"] for one in cohort["decisions"]}
    found = of_the_candidate(alone)
    assert (found["outcome"], found["stops"]) == ("not-screened", ["opted-out"])


def test_our_proposal_of_somebody_who_opted_out_is_taken_back() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        watch = ("watch", "--server", server.base_url, "--once", "--as-of", AS_OF, "--write")
        assert run(*watch, **KEY).status == 0
        assert len(list(server._interactions.store.all_of("ResearchSubject"))) == 1
        assert decline(CANDIDATE, "--every-study", "--yes").status == 0
        again = ("screen", "--server", server.base_url, "--as-of", AS_OF, "--write")
        assert run(*again, **KEY).status == 0
        (subject,) = server._interactions.store.all_of("ResearchSubject")
        assert subject["status"] == "ineligible"
        acts = [
            one["what"]
            for one in run("ledger", "access-report", CANDIDATE, "--json", **KEY).json["accesses"]
        ]
        assert acts[:2] == ["read", "write"]
        assert {"opt-out", "access-report"} >= set(acts[2:]) - {"read", "write"}


def test_after_a_merge_that_was_wrong_each_of_the_two_declined() -> None:
    assert decline("a", "b", "--study", STUDY, "--yes").status == 0
    ledger = opened()
    try:
        assert ledger.declined(STUDY, ["a"]) == {"a"}
        assert ledger.declined(STUDY, ["b"]) == {"b"}
        assert ledger.opted_out(["a", "b"]) == frozenset()
        assert not ledger.anybody_opted_out()
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what is declined"),
        (("--every-study", "--study", STUDY), "say what is declined"),
        (("--study", "no-such-study", "--yes"), "no study folder"),
    ],
)
def test_what_is_declined_must_be_said_and_known(words: tuple[str, ...], said: str) -> None:
    ran = decline("a", *words)
    assert (ran.status, said in ran.flat) == (4 if "--yes" in words else 2, True)


@pytest.mark.slow
def test_values_whose_days_are_over_go_by_themselves_once_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days: list[bool] = []
    monkeypatch.setattr(
        "fhir_adapter.bootstrap.watching.purge", lambda *_, write: days.append(write)
    )
    with sandbox(patients=(CANDIDATE,)) as server:
        for _ in range(2):
            run("watch", "--server", server.base_url, "--once", "--write", **KEY)
    assert days == [True]
