"""Beside an outcome: no proposal on the strength of what was not read; what people have set."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from cli.cli_for_tests import AS_OF, run, sandbox

FEW = ("42-all-answered", "09-no-pregnancy-test")
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("with_small_study")
def test_a_candidate_whose_stop_was_not_read_is_not_counted_as_proposed() -> None:
    with sandbox(patients=FEW, forbids_types=frozenset({"Consent"})) as server:
        at = ("--server", server.base_url, "--as-of", AS_OF)
        people = run("screen", *at)
        told = run("screen", *at, "--json").json
        (first, *_) = csv.DictReader(io.StringIO(run("worklist", *at, "--csv").out))
    assert "candidate (2 of them not proposed)" in people.flat
    assert "Of the candidates and needs data 2 are not proposed" in people.flat
    assert told["counts"]["candidate"] == 2
    assert told["unproved"] == {"candidate": 2}
    assert sum(told["counts"].values()) == told["patients"] == 2
    assert first["outcome"] == "candidate"
    assert first["not proposed"] == "whether the patient opted out is not known"


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_person_s_status_stands_in_the_list() -> None:
    with sandbox(patients=FEW) as server:
        at = ("--server", server.base_url, "--as-of", AS_OF)
        assert run("screen", *at, "--write", **KEY).status == 0
        before = run("worklist", *at, **KEY)
        store = server._interactions.store
        (subject,) = [one for one in store.all_of("ResearchSubject") if FEW[0] in str(one)]
        store.put({**subject, "status": "screening", "_status": None})
        people = run("worklist", *at, **KEY)
        told = run("worklist", *at, "--json", **KEY).json
        rows = list(csv.DictReader(io.StringIO(run("worklist", *at, "--csv", **KEY).out)))
    assert "a person set" not in before.flat
    assert "person set: screening" in people.out
    assert told["set-by-people"] == {FEW[0]: "screening"}
    assert sorted(row["set by a person"] for row in rows) == ["", "screening"]
    assert all(row["not proposed"] == "" for row in rows)
