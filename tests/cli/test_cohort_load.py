"""`cohort load` at the terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.cli_for_tests import run, sandbox
from story.cohort_for_tests import COHORT

FOLDER = str(COHORT)


def load(store, *more, folder=FOLDER):
    return run("cohort", "load", str(folder), "--store", str(store), "--workers", "1", *more)


def test_a_load_says_how_much_there_is_now(tmp_path):
    found = load(tmp_path / "s", "--json").json
    assert set(found) == {
        "patients",
        "resources",
        "facts",
        "buckets",
        "damaged",
        "issues",
        "before",
        "incomplete",
        "not_retrieved",
    }
    assert found["patients"] > 40
    assert (
        f"{found['patients']} patients, {found['resources']} resources" in load(tmp_path / "s").flat
    )


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_issues_are_counted(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n{"resou')
    ran = load(tmp_path / "s", folder=folder)
    assert ran.status == 0
    assert "unreadable-line 1 (Patient.ndjson line 2)" in ran.flat
    assert "patients may be missing" in " ".join(ran.err.split())
    asked = run("cohort", "screen", str(tmp_path / "s"), "--as-of", "2026-11-22", "--json")
    assert "patients may be missing" in " ".join(asked.err.split())
    assert asked.json["issues"] == {"unreadable-line": 1}


def test_an_export_of_nobody_does_not_replace_a_store_of_somebody(tmp_path):
    before = load(tmp_path / "s", "--json").json["patients"]
    empty = tmp_path / "in"
    empty.mkdir()
    (empty / "Patient.ndjson").write_text("")
    ran = load(tmp_path / "s", folder=empty)
    assert (ran.status, "holds nobody" in ran.flat) == (3, True)
    (empty / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n')
    ran = load(tmp_path / "s", folder=empty)
    assert f"The tables before held {before} patients" in ran.flat


def test_a_file_of_other_resources_than_its_name_says_makes_that_type_open(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n')
    (folder / "Procedure.ndjson").write_text(
        '{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/1"}}\n'
    )
    ran = load(tmp_path / "s", "--json", folder=folder)
    assert ran.json["issues"] == {"mislabelled-file": 1}
    assert ran.json["not_retrieved"] == {"Procedure": "mislabelled-file"}
    assert ran.json["incomplete"]["procedure"] == 1
    assert ran.json["damaged"] == ["Procedure.ndjson"]
    said = " ".join(ran.err.split())
    assert "mislabelled-file 1 (Procedure.ndjson)" in said
    assert "holds nothing of the type that it is named after" in said


def test_what_loses_nothing_is_noted_and_no_damage(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n' * 2)
    said = " ".join(load(tmp_path / "s", folder=folder).err.split())
    assert "Noted in the files: duplicate 1" in said
    assert "not whole: duplicate" not in said


def test_the_store_is_its_owner_s_alone(tmp_path):
    load(tmp_path / "s")
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0


def test_an_update_needs_a_store(tmp_path):
    ran = load(tmp_path / "s", "--update")
    assert (ran.status, "store-missing" in ran.flat) == (2, True)


def test_another_site_needs_another_store(tmp_path):
    load(tmp_path / "s")
    ran = load(tmp_path / "s", "--site", "synthea")
    assert (ran.status, "setting-invalid" in ran.flat) == (2, True)


def test_a_folder_without_records_is_a_record_fault(tmp_path):
    (tmp_path / "empty").mkdir()
    ran = load(tmp_path / "s", folder=tmp_path / "empty")
    assert (ran.status, "record-fault" in ran.flat) == (3, True)


@pytest.mark.parametrize("command", ["fhir_adapter.cli.cohort", "fhir_adapter.bootstrap"])
def test_the_engines_are_loaded_by_nobody_else(command):
    code = f"import sys, {command}; print([m for m in ('pyarrow', 'duckdb') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def ask(store, *more, **env):
    return run("cohort", "load", "--store", str(store), "--workers", "1", *more, **env)


@pytest.mark.slow
def test_a_server_exports_where_no_folder_is_named(tmp_path):
    with sandbox(export_polls=0) as server:
        found = ask(tmp_path / "s", "--json", FHIR_ADAPTER_RECORD_SERVER=server.base_url).json
        folder = load(tmp_path / "f", "--json").json
        assert found["patients"] == folder["patients"]
        assert found["facts"] == folder["facts"]
        assert found["export"]["files"] > 10
        assert not found["export"]["resumed"]
        again = ask(tmp_path / "s", "--update", "--server", server.base_url)
        assert again.status == 0
        assert "0 buckets written" in again.flat
        assert "Export as of" in again.flat


@pytest.mark.slow
def test_types_that_may_not_be_seen_are_named(tmp_path):
    with sandbox(forbids_types=frozenset({"Consent"}), export_polls=0) as server:
        ran = ask(tmp_path / "s", "--server", server.base_url)
    assert ran.status == 0
    assert "Not retrieved, open for everybody: Consent (forbidden)" in ran.flat
    assert "export-forbidden 1" in ran.flat
    assert "patients may be missing" in ran.flat


def test_no_server_at_all_is_a_usage_error(tmp_path):
    ran = ask(tmp_path / "s")
    assert (ran.status, "record server" in ran.flat) == (2, True)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_a_server_fault(tmp_path):
    ran = ask(tmp_path / "s", "--server", "http://127.0.0.1:9/fhir")
    assert (ran.status, "server-unreachable" in ran.flat) == (3, True)


@pytest.mark.parametrize(
    "more", [("--server", "http://127.0.0.1:9"), ("--group", "g"), ("--fresh",)], ids=str
)
def test_a_folder_and_a_server_are_not_mixed(tmp_path, more):
    assert load(tmp_path / "s", *more).status == 2
