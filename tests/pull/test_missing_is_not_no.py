"""What cannot be read is open, in both readers of a folder: never "nothing is recorded".

Each folder here was found by somebody who looked for the field's great bug: a cirrhosis that an
exclusion does not see becomes *assumed absent*.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.facts import Normaliser
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.ports import Need, Pulled, PulledType, Resource
from fhir_adapter.pull.export import FolderExport
from fhir_adapter.pull.folder import BundleRecord, FolderRecords

from cohort_store import mappings_of

NEEDS = (Need(kind=Kind.CONDITION, resource_type="Condition"),)
PATIENT = {"resourceType": "Patient", "id": "1"}
CODE = {"coding": [{"system": "http://snomed.info/sct", "code": "19943007"}]}
GOOD = {"resourceType": "Condition", "id": "a", "code": CODE, "subject": {"reference": "Patient/1"}}
FORBIDDEN = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "forbidden"}],
}


def about(subject: object) -> Resource:
    return {**GOOD, "id": "b", "subject": subject}


def searchset(*entries: Resource, **more: object) -> Resource:
    return {"resourceType": "Bundle", "type": "searchset", "entry": list(entries), **more}


MATCH = {"resource": GOOD, "search": {"mode": "match"}}
FOLDERS: dict[str, tuple[str, list[Resource], str]] = {
    "an identifier in the place of a reference": (
        "Condition.ndjson",
        [GOOD, about({"type": "Patient", "identifier": {"value": "7"}})],
        "no-patient",
    ),
    "no subject": ("Condition.ndjson", [GOOD, {**GOOD, "id": "b", "subject": None}], "no-patient"),
    "words": ("Condition.ndjson", [GOOD, about("Patient/1")], "no-patient"),
    "small letters": ("Condition.ndjson", [GOOD, about({"reference": "patient/1"})], "no-patient"),
    "a blank": ("Condition.ndjson", [GOOD, about({"reference": "Patient/1 "})], "no-patient"),
    "a urn": ("Condition.ndjson", [GOOD, about({"reference": "urn:uuid:x"})], "no-patient"),
    "a misspelled type": (
        "Condition.ndjson",
        [GOOD, {**GOOD, "resourceType": "Diagnosis"}],
        "unreadable-line",
    ),
    "a type in small letters": (
        "Condition.ndjson",
        [GOOD, {**GOOD, "resourceType": "condition"}],
        "unreadable-line",
    ),
    "a misspelled type in a file of any": (
        "all.ndjson",
        [GOOD, {**GOOD, "resourceType": "Diagnosis"}],
        "unreadable-line",
    ),
    "an outcome among the lines": ("Condition.ndjson", [GOOD, FORBIDDEN], "forbidden"),
    "an outcome in the place of a Bundle": ("page.json", [FORBIDDEN], "forbidden"),
    "an outcome among the matches": (
        "page.json",
        [searchset(MATCH, {"resource": FORBIDDEN, "search": {"mode": "outcome"}}, total=1)],
        "cut-short",
    ),
    "a larger total than was sent": ("page.json", [searchset(MATCH, total=2)], "cut-short"),
    "an entry of no type": (
        "page.json",
        [searchset(MATCH, {"resource": {**GOOD, "resourceType": "Diagnosis"}})],
        "unreadable-entry",
    ),
}


def written(folder: Path, name: str, lines: list[Resource]) -> Path:
    folder.mkdir()
    (folder / "Patient.ndjson").write_text(json.dumps(PATIENT) + "\n")
    (folder / name).write_text("\n".join(map(json.dumps, lines)))
    if name != "Condition.ndjson":
        (folder / "Condition.ndjson").write_text("")
    return folder


@pytest.fixture(scope="module")
def mappings() -> Mappings:
    return mappings_of("demo")


def why_of(pulled: Pulled) -> dict[str, str]:
    return {one.resource_type: one.why_not for one in pulled.types}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_type_that_may_have_more_is_whole_for_nobody(name: str, tmp_path: Path) -> None:
    file, lines, why = FOLDERS[name]
    folder = written(tmp_path / "in", file, lines)
    source = FolderRecords(folder)
    assert why_of(source.pull("1", NEEDS))["Condition"] == why
    for strict in (False, True):
        export = FolderExport(folder)
        pieces = list(export.pieces(strict=strict))
        broken = export.state().broken
        assert broken.get("Condition", broken.get("*")) == why
        assert pieces[0].key == "Patient/1" or file == "Condition.ndjson"
        assert export.state().issues == source.issues


@pytest.mark.parametrize(
    "lines",
    [
        [about({"reference": "Group/1"})],
        [{**FORBIDDEN, "issue": [{"severity": "information", "code": "informational"}]}],
        [searchset(MATCH, {"resource": PATIENT, "search": {"mode": "include"}}, total=1)],
        [{**searchset({"request": {"method": "GET", "url": "Patient"}}), "type": "batch"}],
    ],
)
def test_what_loses_nothing_opens_nothing(lines: list[Resource], tmp_path: Path) -> None:
    name = "page.json" if lines[0]["resourceType"] == "Bundle" else "Condition.ndjson"
    folder = written(tmp_path / "in", name, lines)
    assert why_of(FolderRecords(folder).pull("1", NEEDS))["Condition"] == ""
    export = FolderExport(folder)
    assert list(export.pieces())
    assert export.state().broken == {}


def test_a_vendors_own_type_is_no_damage_in_a_file_of_its_name(tmp_path: Path) -> None:
    own = {"resourceType": "ClientApplication", "id": "x", "subject": {"reference": "Patient/1"}}
    folder = written(tmp_path / "in", "ClientApplication.ndjson", [own])
    assert FolderRecords(folder).issues == {}
    assert list(FolderExport(folder).pieces())


def read(mappings: Mappings, *resources: Resource) -> PatientRecord:
    types = (PulledType(resource_type="Condition", complete=True),)
    return Normaliser(mappings)(Pulled(patient="1", resources=(PATIENT, *resources), types=types))


def test_blanks_around_a_code_belong_to_nothing(mappings: Mappings) -> None:
    blank = {"coding": [{"system": " http://snomed.info/sct", "code": " 19943007 "}]}
    plain, found = read(mappings, GOOD), read(mappings, {**GOOD, "code": blank})
    assert found.facts == plain.facts
    nothing = read(mappings, {**GOOD, "code": {"coding": [{"code": " "}]}})
    assert [fact.concepts for fact in nothing.facts if fact.kind is Kind.CONDITION] == [()]


@pytest.mark.parametrize(
    "code",
    [
        [CODE],
        "19943007",
        {"coding": CODE["coding"][0]},
        {"coding": ["x"]},
        {"coding": [{"code": 19943007}]},
    ],
)
def test_a_code_that_cannot_be_read_leaves_the_kind_open(code: Any, mappings: Mappings) -> None:
    found = read(mappings, GOOD, {**GOOD, "id": "b", "code": code})
    assert "unreadable" in found.issues
    held = {one.kind: one.why_not for one in found.retrieved}
    assert held[Kind.CONDITION] == "unreadable"


def test_words_in_the_place_of_codes_can_be_read(mappings: Mappings) -> None:
    found = read(
        mappings, {**GOOD, "code": {"text": "cirrhosis"}}, {**GOOD, "id": "b", "code": None}
    )
    assert {one.kind: one.complete for one in found.retrieved}[Kind.CONDITION]


def test_a_patients_own_bundle_with_an_outcome_or_a_hole_is_not_whole() -> None:
    for hole in ({"resource": {"resourceType": "Diagnosis"}}, {"resource": FORBIDDEN}, {}):
        entries = [{"resource": PATIENT}, {"resource": GOOD}, hole]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        assert why_of(BundleRecord(bundle).pull("1", NEEDS))["Condition"] in {
            "unreadable-entry",
            "cut-short",
        }
