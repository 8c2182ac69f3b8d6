"""Every command, run: what it prints, what it returns, what it writes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest

from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.ledger import open_ledger
from fhir_adapter.present.json_form import result_schema

from cli.cli_for_tests import AS_OF, ONE, run, sandbox
from story.cohort_for_tests import COHORT

FOLDER = str(COHORT)
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands read and write in the folder they are called from."""
    monkeypatch.chdir(tmp_path)


def test_help_teaches_and_the_version_is_said() -> None:
    for command in ("demo", "screen", "explain", "worklist", "study", "cohort", "server"):
        assert command in run("--help").out
    assert run("--version").out.strip().count(".") == 2
    assert run("nonsense").status == 2
    assert run("study", "--help").out.count("study") >= 3


def test_a_patient_id_is_never_cut_and_a_uuid_stands_on_one_line(tmp_path: Path) -> None:
    uuid = "0b7e2f4c-9d1a-4c55-8f0e-6a1d2c3b4e5f"
    text = (COHORT / f"{ONE}.json").read_text("utf-8").replace(ONE, uuid)
    (tmp_path / "one.json").write_text(text, "utf-8")
    ran = run("worklist", str(tmp_path / "one.json"), "--as-of", AS_OF)
    assert f" {uuid} " in ran.out
    assert "\u2026" not in ran.out


@pytest.mark.untraced
def test_screen_counts_everyone_and_lists_who_to_look_at() -> None:
    ran = run("screen", FOLDER, "--as-of", AS_OF, "--log-json")
    assert ran.status == 0
    assert "everyone pulled" in ran.out
    assert "43" in ran.out
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert {line["event"] for line in lines} >= {"run-started", "run-ended"}
    assert len({line["run"] for line in lines}) == 1


@pytest.mark.untraced
def test_screen_as_json_holds_to_its_schema() -> None:
    found = run("screen", FOLDER, "--as-of", AS_OF, "--json", "--patient", ONE).json
    jsonschema.validate(found, result_schema())
    assert found["counts"]["needs-data"] == 1
    assert run("screen", FOLDER, "--as-of", AS_OF, "--all", "-q").status == 0


def test_explain_shows_every_criterion_and_what_to_ask() -> None:
    ran = run("explain", ONE, FOLDER, "--as-of", AS_OF)
    assert ran.status == 0
    for word in ("I2c", "E14", "Next questions", "not for diagnosis"):
        assert word in ran.flat
    found = run("explain", ONE, FOLDER, "--as-of", AS_OF, "--json").json
    assert len(found["criteria"]) == 32
    jsonschema.validate(found, result_schema())
    stopped = run("explain", "12-expired", FOLDER, "--as-of", AS_OF)
    assert "deceased" in stopped.flat


@pytest.mark.slow
@pytest.mark.untraced
def test_worklist_as_table_csv_and_json() -> None:
    table = run("worklist", FOLDER, "--as-of", AS_OF)
    assert "Worklist" in table.out
    rows = list(csv.reader(io.StringIO(run("worklist", FOLDER, "--as-of", AS_OF, "--csv").out)))
    assert "patient" not in rows[0]
    named = run("worklist", FOLDER, "--as-of", AS_OF, "--csv", "--identifiers")
    assert ONE in named.out
    found = run("worklist", FOLDER, "--as-of", AS_OF, "--json").json
    assert {d["outcome"] for d in found["decisions"]} >= {"candidate", "needs-data"}


@pytest.mark.slow
@pytest.mark.untraced
def test_cohort_report_says_what_is_missing_per_criterion() -> None:
    ran = run("cohort", "report", FOLDER, "--as-of", AS_OF)
    assert "Completeness by criterion" in ran.out
    found = run("cohort", "report", FOLDER, "--as-of", AS_OF, "--min-cell", "1", "--json").json
    assert found["patients"] == 43
    kinds = ("fits", "assumed", "against", "against-assumed", "does-not-apply")
    for row in found["criteria"]:
        total = sum(row[k] for k in kinds)
        assert total + sum(row["open"].values()) == found["judged"]


def test_study_is_checked_shown_and_built(tmp_path: Path) -> None:
    checked = run("study", "check")
    assert checked.status == 0
    assert "32 criteria, 0 errors" in checked.out
    assert all(item["severity"] == "warning" for item in run("study", "check", "--json").json)
    assert "study hash" in run("study", "show").out
    assert len(run("study", "show", "--json").json["criteria"]) == 32
    built = run("study", "build", "--out", str(tmp_path / "out"))
    assert "resources in" in built.flat
    assert list((tmp_path / "out").glob("PlanDefinition-*.json"))
    assert run("study", "build", "--out", str(tmp_path / "out"), "-q").out == ""


def test_settings_say_where_each_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "fhir-adapter.toml").write_text('site = "synthea"\n')
    found = run("settings", "--json", **KEY, FHIR_ADAPTER_STUDY="X").json
    by_name = {row["name"]: row for row in found}
    assert by_name["site"]["value"] == "synthea"
    assert by_name["site"]["origin"].endswith("fhir-adapter.toml")
    assert by_name["study"]["origin"] == "environment"
    assert by_name["site_key"]["value"] == "(set)"
    assert "a secret" not in json.dumps(found)
    assert "(not set)" in run("settings").out


@pytest.mark.usefixtures("with_small_study")
def test_a_server_is_screened_dry_then_written_then_left_alone() -> None:
    few = ("42-all-answered", "09-no-pregnancy-test", ONE)
    with sandbox(patients=few) as server:
        base = ("screen", "--server", server.base_url, "--as-of", AS_OF)
        dry = run(*base)
        assert "Dry run, nothing written. With --write:" in dry.flat
        assert server._interactions.store.types().count("ResearchSubject") == 0
        written = run(*base, "--write", **KEY)
        assert written.status == 0
        assert "Written:" in written.flat
        again = run(*base, "--write", "--json", **KEY).json
        assert all(not one["created"] and not one["updated"] for one in again["written"])
        explained = run("explain", ONE, "--server", server.base_url, "--as-of", AS_OF)
        assert "requests to the record server" in explained.err


@pytest.mark.parametrize(
    ("refused", "stands"),
    [({"ResearchSubject"}, "Task"), ({"ResearchSubject", "Task"}, "DocumentReference")],
)
@pytest.mark.slow
def test_a_server_without_research_subjects_gets_what_stands_for_them(
    refused: set[str], stands: str
) -> None:
    few = ("42-all-answered", "09-no-pregnancy-test", ONE)
    with (
        sandbox(patients=few) as records,
        sandbox(patients=few, refuses_types=frozenset(refused)) as server,
    ):
        places = ("--server", records.base_url, "--write-server", server.base_url)
        base = ("screen", *places, "--as-of", AS_OF, "--write", "--json")
        written = run(*base, **KEY).json["written"]
        created = [one.split("/")[0] for each in written for one in each["created"]]
        assert stands in created
        assert "ResearchSubject" not in created
        again = run(*base, **KEY).json
        assert all(not one["created"] and not one["updated"] for one in again["written"])


@pytest.mark.slow
def test_a_study_is_published_and_screened_from_a_server() -> None:
    with sandbox(patients=(ONE,)) as server:
        url = server.base_url
        assert run("study", "publish", "--server", url).flat.endswith(
            "Dry run, nothing written. Add --write. 27 readings are not signed: it needs "
            "--unsigned, too."
        )
        sure = run("study", "publish", "--server", url, "--unsigned")
        assert sure.flat.endswith("Dry run, nothing written. Add --write.")
        refused = run("study", "publish", "--server", url, "--write")
        assert refused.status == 4
        assert "not signed" in refused.flat
        done = run("study", "publish", "--server", url, "--write", "--unsigned", "--json").json
        assert {row["action"] for row in done} == {"created"}
        again = run("study", "publish", "--server", url, "--write", "--unsigned", "--json").json
        assert {row["action"] for row in again} == {"unchanged"}
        here = run("explain", ONE, FOLDER, "--as-of", AS_OF, "--json").json
        there = run(
            "explain", ONE, FOLDER, "--as-of", AS_OF, "--json",
            "--study-server", url, "--study", "NCT05985863",
        ).json  # fmt: skip
        assert there == here
        shown = run("study", "show", "--study-server", url, "--json").json
        assert shown == run("study", "show", "--json").json


@pytest.mark.slow
def test_doctor_says_what_a_server_can_do() -> None:
    with sandbox(patients=(ONE,)) as server:
        ran = run("server", "doctor", server.base_url, "--patient", ONE)
        assert ran.status == 0
        found = run("server", "doctor", server.base_url, "--json").json
        assert {row["result"] for row in found["study"]} <= {"passed", "unproved"}
    with sandbox(patients=(ONE,), forbids_types=frozenset(("Condition",))) as server:
        assert run("server", "doctor", server.base_url).status == 1


@pytest.mark.slow
def test_doctor_reads_the_study_from_a_server() -> None:
    with sandbox(patients=(ONE,)) as server:
        base = ("server", "doctor", server.base_url, "--study-server", server.base_url)
        missing = run(*base)
        assert (missing.status, "study-not-found" in missing.flat) == (4, True)
        run("study", "publish", "--server", server.base_url, "--write", "--unsigned")
        there, here = run(*base, "--json").json, run(*base[:3], "--json").json
        assert there["study"] == here["study"]


@pytest.mark.slow
@pytest.mark.untraced
def test_answers_in_the_ledger_are_heard(tmp_path: Path) -> None:
    before = run("explain", ONE, FOLDER, "--as-of", AS_OF, "--json").json
    path = tmp_path / ".fhir-adapter" / "ledger.sqlite"
    path.parent.mkdir()
    ledger = open_ledger(path, SystemClock())
    ledger.decline(patients=[ONE], study="NCT05985863", who="a", role="coordinator")
    ledger.close()
    after = run("explain", ONE, FOLDER, "--as-of", AS_OF, "--json").json
    assert not before["withheld"]
    assert after["withheld"]
