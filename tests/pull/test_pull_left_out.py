"""What is not read is said, and opens whatever it may hold: never a silently smaller record."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.model.fact import Kind
from fhir_adapter.ports import Need
from fhir_adapter.pull.export import FolderExport
from fhir_adapter.pull.folder import FolderRecords
from fhir_adapter.pull.index import EVERY_TYPE

from cli.cli_for_tests import AS_OF, run
from story.cohort_for_tests import COHORT

NEEDS = (
    Need(kind=Kind.CONDITION, resource_type="Condition"),
    Need(kind=Kind.PROCEDURE, resource_type="Procedure"),
)
PATIENT = '{"resourceType": "Patient", "id": "p"}'
CUT = '{"resourceType": "Condition", "id": "c", "subject": {"reference": "Pat'


def folder(at: Path, **files: str) -> Path:
    """Whole files of three types, and others."""
    for name in ("Condition", "Procedure"):
        (at / f"{name}.ndjson").write_text("")
    (at / "Patient.ndjson").write_text(PATIENT + "\n")
    for name, content in files.items():
        (at / name).write_text(content)
    return at


def open_types(at: Path) -> tuple[set[str], dict[str, int]]:
    """Types that are not whole, by both readers."""
    records, export = FolderRecords(at), FolderExport(at)
    types = records.pull("p", NEEDS).types
    found = {one.resource_type for one in types if not one.complete}
    list(export.pieces())
    state = export.state()
    every = EVERY_TYPE in state.broken
    assert found == ({t.resource_type for t in types} if every else set(state.broken) & _ASKED)
    assert dict(state.issues) == dict(records.issues)
    return found, dict(records.issues)


_ASKED = {"Patient", "Condition", "Procedure"}


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("Condition.2.ndjson.zip", {"Condition"}),
        ("Patient.001.ndjson.part", {"Patient"}),
        ("Condition.xml", {"Condition"}),
        ("part-2.parquet", _ASKED),
        ("everything.tar", _ASKED),
        ("download.tmp", _ASKED),
        ("export", _ASKED),
    ],
)
def test_a_file_of_another_form_opens_what_it_may_hold(
    tmp_path: Path, name: str, opened: set[str]
) -> None:
    found, issues = open_types(folder(tmp_path, **{name: "something"}))
    assert (found, issues) == (opened, {"file-not-read": 1})


@pytest.mark.parametrize(
    "name", ["README.md", "notes.txt", "Condition.ndjson.md5", "LICENSE", "_SUCCESS", ".DS_Store"]
)
def test_what_plainly_holds_no_records_opens_nothing(tmp_path: Path, name: str) -> None:
    assert open_types(folder(tmp_path, **{name: "something"})) == (set(), {})


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert open_types(folder(tmp_path, **{"Condition.2.ndjson.part": ""})) == (set(), {})


def test_capitals_are_read(tmp_path: Path) -> None:
    line = '{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}}\n'
    at = folder(tmp_path, **{"Condition.2.NDJSON": line})
    (at / "Procedure.2.NDJSON.GZ").write_bytes(
        gzip.compress(line.replace("Condition", "Procedure").encode())
    )
    resources = FolderRecords(at).pull("p", NEEDS).resources
    assert {one["resourceType"] for one in resources} == {"Patient", "Condition", "Procedure"}
    assert open_types(at) == (set(), {})


@pytest.mark.parametrize(
    ("name", "line", "opened"),
    [
        ("Procedure.2.ndjson", CUT, {"Condition", "Procedure"}),
        ("part-7.ndjson", CUT, {"Condition"}),
        ("part-7.ndjson", '{"id": "c", "resourceType": "Cond', _ASKED),
        ("part-7.ndjson", '{"contained": [{"resourceType": "Procedure"}], "resour', _ASKED),
        ("Procedure.2.ndjson", '{"id": "c", "resourceType": "Cond', {"Procedure"}),
        ("part-7.ndjson", '{"resourceType": "Bundle", "entry": [', _ASKED),
    ],
)
def test_an_unreadable_line_opens_what_it_may_be(
    tmp_path: Path, name: str, line: str, opened: set[str]
) -> None:
    found, issues = open_types(folder(tmp_path, **{name: line + "\n"}))
    assert (found, issues) == (opened, {"unreadable-line": 1})


def test_a_cancer_in_a_file_that_is_not_read_makes_nobody_a_candidate(
    tmp_path: Path, with_small_study: None
) -> None:
    """Both lanes; as a stranger found it: one Condition line in a zip beside all the others."""
    lines: dict[str, list[str]] = {}
    for path in sorted(COHORT.glob("*.json")):
        for entry in json.loads(path.read_text("utf-8"))["entry"]:
            resource: dict[str, Any] = entry["resource"]
            lines.setdefault(resource["resourceType"], []).append(json.dumps(resource))
    cancer = next(one for one in lines["Condition"] if "21-confirmed-cancer" in one)
    lines["Condition"].remove(cancer)
    at = tmp_path / "export"
    at.mkdir()
    for name, found in lines.items():
        (at / f"{name}.ndjson").write_text("\n".join(found))
    (at / "Condition.2.ndjson.zip").write_text(cancer)
    ran = run("screen", str(at), "--as-of", AS_OF, "--json")
    assert "file-not-read" in ran.err
    told = {one["patient"]: one for one in ran.json["decisions"]}
    assert told["21-confirmed-cancer"]["outcome"] != "candidate"
    run("cohort", "load", str(at), "--store", str(tmp_path / "s"), "--workers", "1", "--quiet")
    cohort = run("cohort", "screen", str(tmp_path / "s"), "--as-of", AS_OF, "--json").json
    assert cohort["counts"] == ran.json["counts"]
    shutil.rmtree(at)
