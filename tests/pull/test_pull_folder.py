"""Records from files and Bundles."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from fhir_fake import need, of, patient

from fhir_adapter.errors import PatientNotFound, RecordFault
from fhir_adapter.ports import Pulled
from fhir_adapter.pull.export import FolderExport
from fhir_adapter.pull.folder import BundleRecord, FolderRecords

DATA = Path(__file__).parents[3] / "shared" / "data"


def lines(*resources: Any) -> str:
    return "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in resources)


def bundle(kind: str, *resources: Any, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [{"resource": r} for r in resources],
        **more,
    }


def why(pulled: Pulled) -> dict[str, str]:
    return {t.resource_type: t.why_not for t in pulled.types}


def keys(pulled: Pulled) -> list[str]:
    return [f"{r['resourceType']}/{r.get('id', '')}" for r in pulled.resources]


def test_a_bulk_folder_gives_each_patient_their_own(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text(lines(patient("2"), patient("1")))
    data = lines(of("1", "Observation", "a"), "\n", of("2", "Observation", "b"))
    (tmp_path / "Observation.000.ndjson.gz").write_bytes(gzip.compress(data.encode()))
    (tmp_path / "Condition.ndjson").write_text("")
    (tmp_path / "notes.csv").write_text("x")
    (tmp_path / ".Observation.ndjson").write_text("rubbish")

    source = FolderRecords(tmp_path, complete_types=("Consent",))
    pulled = source.pull("1", need("Observation", "Condition", "Procedure", "Consent"))

    assert list(source.patients()) == ["1", "2"]
    assert keys(pulled) == ["Patient/1", "Observation/a"]
    assert why(pulled) == {
        "Patient": "",
        "Observation": "",
        "Condition": "",
        "Procedure": "no-file",
        "Consent": "",
    }
    assert (source.issues, pulled.requests) == ({}, 0)


@pytest.mark.parametrize("kind", ["collection", "transaction", "batch"])
def test_a_bundle_holds_everything_about_its_patient(tmp_path: Path, kind: str) -> None:
    (tmp_path / "Jane_Doe.json").write_text(
        json.dumps(bundle(kind, patient("1"), of("1", "Observation", "a")))
    )
    pulled = FolderRecords(tmp_path).pull("1", need("Observation", "Condition"))
    assert why(pulled) == {"Patient": "", "Observation": "", "Condition": ""}


def test_a_searchset_holds_the_types_that_it_shows(tmp_path: Path) -> None:
    links = [{"relation": "next", "url": "x"}]
    (tmp_path / "a.json").write_text(json.dumps(bundle("searchset", patient("1"))))
    (tmp_path / "b.json").write_text(
        json.dumps(bundle("searchset", of("1", "Observation", "a"), link=links))
    )
    source = FolderRecords(tmp_path)
    pulled = source.pull("1", need("Observation", "Condition"))
    assert why(pulled) == {"Patient": "", "Observation": "cut-short", "Condition": "no-file"}


def test_a_document_is_a_summary(tmp_path: Path) -> None:
    file = tmp_path / "ips.json"
    file.write_text(json.dumps(bundle("document", of("1", "Composition", "c"), patient("1"))))
    pulled = FolderRecords(file, complete_types=["Patient"]).pull("1", need("Condition"))
    assert keys(pulled) == ["Patient/1", "Composition/c"]
    assert why(pulled) == {"Patient": "", "Condition": "document-only"}


def test_urn_references_of_a_bundle_are_resolved_and_the_bundle_is_left_alone() -> None:
    request = {
        "resourceType": "MedicationRequest",
        "id": "r",
        "subject": {"reference": "urn:uuid:p"},
        "medicationReference": {"reference": "urn:uuid:m"},
        "note": [{"x": "urn:uuid:p"}],
    }
    given = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": "urn:uuid:p", "resource": {"resourceType": "Patient"}},
            {"fullUrl": "urn:uuid:m", "resource": {"resourceType": "Medication", "id": "9"}},
            {"fullUrl": "http://h/MedicationRequest/r", "resource": request},
        ],
    }
    before = copy.deepcopy(given)

    source = BundleRecord(given)
    pulled = source.pull("p", need("MedicationRequest"))

    assert list(source.patients()) == ["p"]
    assert keys(pulled) == ["Patient/p", "MedicationRequest/r", "Medication/9"]
    assert pulled.resources[1]["medicationReference"] == {"reference": "Medication/9"}
    assert why(pulled) == {"Patient": "", "MedicationRequest": ""}
    assert given == before


@pytest.mark.parametrize(
    ("owner", "found"),
    [
        ({"subject": {"reference": "https://h/fhir/Patient/1"}}, True),
        ({"patient": {"reference": "Patient/1/_history/3"}}, True),
        ({"subject": [{"reference": "Patient/1"}]}, True),
        ({"subject": {"reference": "Patient?identifier=x"}}, False),
        ({"subject": {"reference": "#p"}}, False),
        ({"subject": {"reference": 7}}, False),
        ({"subject": {"reference": "Group/1"}}, False),
        ({"subject": 7}, False),
        ({}, False),
    ],
)
def test_whose_a_resource_is(tmp_path: Path, owner: Any, found: bool) -> None:
    file = tmp_path / "all.ndjson"
    file.write_text(lines(patient("1"), {"resourceType": "Observation", "id": "a", **owner}))
    source = FolderRecords(file)
    assert ("Observation/a" in keys(source.pull("1", need("Observation")))) is found
    code = "subject-no-patient" if "Group" in str(owner) else "no-patient"
    assert source.issues == ({} if found else {code: 1})
    pulled = source.pull("1", need("Observation"))
    said = {"Observation": "no-patient"} if source.issues == {"no-patient": 1} else {}
    assert {name: why for name, why in why(pulled).items() if why} == said


@pytest.mark.parametrize("bad", ['{"resourceType":"Observ', "rubbish\n", "[1]\n", "{}\n"])
def test_a_bad_line_makes_its_types_incomplete_for_everybody(tmp_path: Path, bad: str) -> None:
    (tmp_path / "Patient.ndjson").write_text(lines(patient("1")))
    (tmp_path / "data.ndjson").write_text(lines(of("1", "Observation", "a"), bad))
    source = FolderRecords(tmp_path)
    pulled = source.pull("1", need("Observation"))
    assert keys(pulled) == ["Patient/1", "Observation/a"]
    assert why(pulled) == dict.fromkeys(("Patient", "Observation"), "unreadable-line")
    assert pulled.issues == ("unreadable-line",)
    assert source.issues == {"unreadable-line": 1}


def test_a_file_of_rubbish_makes_every_type_incomplete(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text(lines(patient("1")))
    (tmp_path / "x.ndjson").write_text("rubbish\n")
    pulled = FolderRecords(tmp_path).pull("1", need("Observation"))
    assert set(why(pulled).values()) == {"unreadable-line"}


def test_a_broken_file_may_be_about_whoever_has_a_whole_bundle_too(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(bundle("collection", patient("1"))))
    (tmp_path / "b.json").write_text('{"resourceType":')
    pulled = FolderRecords(tmp_path).pull("1", need("Observation"))
    assert (why(pulled)["Observation"], pulled.issues) == (
        "unreadable-line",
        ("unreadable-file",),
    )


@pytest.mark.parametrize("name", ["Patient.ndjson.gz", "Patient.json.gz"])
def test_a_compressed_file_that_breaks_off_is_counted(tmp_path: Path, name: str) -> None:
    (tmp_path / "Observation.ndjson").write_text(lines(of("1", "Observation", "a")))
    data = gzip.compress(lines(*(patient(str(n)) for n in range(500))).encode())
    (tmp_path / name).write_bytes(data[:-20])
    assert set(FolderRecords(tmp_path).issues) & {"unreadable-line", "unreadable-file"}


@pytest.mark.parametrize("name", ["Patient.ndjson.gz", "Jane_Doe.json.gz"])
@pytest.mark.parametrize("content", ["rubbish", ""])
def test_one_file_that_is_not_compressed_raises_without_a_persons_name(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RecordFault) as caught:
        list(FolderRecords(tmp_path / name).patients())
    assert "Jane" not in str(caught.value)
    assert caught.value.where in {"Patient.ndjson.gz", "file 1"}


@pytest.mark.parametrize("name", ["Condition.ndjson.gz", "Jane_Doe.json.gz"])
def test_a_file_in_a_folder_that_does_not_open_costs_its_types_and_not_the_folder(
    tmp_path: Path, name: str
) -> None:
    """One broken file must not keep a hospital from its other patients."""
    (tmp_path / "Patient.ndjson").write_text(lines(patient("1")))
    (tmp_path / "Condition.000.ndjson").write_text(lines(of("1", "Condition", "a")))
    (tmp_path / name).write_text("rubbish")
    source = FolderRecords(tmp_path)
    assert list(source.patients()) == ["1"]
    assert source.damaged == (
        ("Condition.ndjson.gz line 1",) if name.startswith("C") else ("file 2",)
    )
    export = FolderExport(tmp_path)
    assert (len(list(export.pieces())), export.damaged) == (2, source.damaged)
    pulled = source.pull("1", need("Condition"))
    assert {one.resource_type: one.complete for one in pulled.types}["Condition"] is False
    assert sum(source.issues.values()) == 1


def test_each_place_is_named_by_both_readers_and_an_export_names_a_files_first(
    tmp_path: Path,
) -> None:
    (tmp_path / "Jane_Doe.zip").write_text("PK")
    (tmp_path / "Observation.ndjson").write_text(
        lines(of("1", "Observation", "o")) + '{"resou\n{"resou\n'
    )
    (tmp_path / "Patient.ndjson").write_text(lines(patient("1")))
    (tmp_path / "Procedure.ndjson").write_text(lines(of("1", "Condition", "c")))
    (tmp_path / "readme.md").write_text("no records, and counted among the files")
    source, export = FolderRecords(tmp_path), FolderExport(tmp_path)
    assert list(source.patients()) == ["1"]
    assert source.damaged == (
        "Observation.ndjson line 2",
        "Observation.ndjson line 3",
        "Procedure.ndjson",
        "file 1",
    )
    assert len(list(export.pieces())) == 3
    assert export.damaged == ("Observation.ndjson line 2", "Procedure.ndjson", "file 1")
    assert export.state().issues == source.issues


def test_a_file_that_nobody_may_open_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Patient.ndjson").write_text("")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert list(FolderRecords(tmp_path).patients()) == []
    assert FolderRecords(tmp_path).issues == {"unreadable-line": 1}
    assert set(FolderExport(tmp_path).hashes().values()) == {""}
    with pytest.raises(RecordFault):
        list(FolderRecords(tmp_path / "Patient.ndjson").patients())


@pytest.mark.parametrize("name", ["nothing", "", "x.csv"])
def test_a_path_without_files_raises(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(RecordFault):
        list(FolderRecords(tmp_path / name).patients())


def test_an_unknown_patient_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text(lines(patient("1")))
    with pytest.raises(PatientNotFound):
        FolderRecords(tmp_path).pull("canary", [])


def test_somebody_without_a_patient_resource_is_listed_and_incomplete(tmp_path: Path) -> None:
    (tmp_path / "all.ndjson").write_text(lines(of("1", "Observation", "a"), patient("2")))
    source = FolderRecords(tmp_path)
    assert list(source.patients()) == ["1", "2"]
    assert why(source.pull("1", []))["Patient"] == "no-file"


def test_a_medication_that_the_export_left_out_is_not_retrieved(tmp_path: Path) -> None:
    request = of("1", "MedicationRequest", "r", medicationReference={"reference": "Medication/m"})
    (tmp_path / "all.ndjson").write_text(lines(patient("1"), request))
    pulled = FolderRecords(tmp_path).pull("1", need("MedicationRequest", "Medication"))
    assert why(pulled) == {"Patient": "", "MedicationRequest": "reference-missing"}
    assert pulled.issues == ("medication-unread",)


def test_merges_are_found_from_both_ends(tmp_path: Path) -> None:
    (tmp_path / "all.ndjson").write_text(
        lines(
            patient("1"),
            patient("2", ("replaced-by", "1"), ("refer", "4"), ("replaces", "3")),
            of("3", "Observation", "a"),
        )
    )
    pulled = FolderRecords(tmp_path).pull("1", need("Observation"))
    assert pulled.aliases == ("2", "3")
    assert "Observation/a" in keys(pulled)


@pytest.mark.parametrize(
    ("others", "issue"),
    [
        ([patient("1", ("replaced-by", "1"))], "merge-cycle"),
        ([patient("1", *(("replaces", f"x{n}") for n in range(40)))], "merge-too-wide"),
    ],
)
def test_a_merge_that_makes_no_sense_is_none(tmp_path: Path, others: Any, issue: str) -> None:
    (tmp_path / "all.ndjson").write_text(lines(*others))
    pulled = FolderRecords(tmp_path).pull("1", [])
    assert (pulled.aliases, pulled.issues) == ((), (issue,))


def test_links_to_others_than_patients_join_nothing() -> None:
    linked = {
        **patient("1"),
        "link": [
            {"type": "replaces", "other": {"reference": "RelatedPerson/2"}},
            {"type": "replaces"},
        ],
    }
    assert BundleRecord(bundle("collection", linked)).pull("1", []).aliases == ()


def test_duplicates_and_namelessness_are_counted_and_the_later_one_stands(tmp_path: Path) -> None:
    nameless = {k: v for k, v in of("1", "Observation", "x").items() if k != "id"}
    (tmp_path / "all.ndjson").write_text(
        lines(
            {"resourceType": "Patient"},
            patient("1"),
            of("1", "Observation", "a", v=1),
            of("1", "Observation", "a", v=2),
            nameless,
            nameless,
        )
    )
    source = FolderRecords(tmp_path)
    pulled = source.pull("1", need("Observation"))
    assert [r.get("v") for r in pulled.resources] == [None, 2, None, None]
    assert source.issues == {"duplicate": 1, "no-id": 2, "no-patient": 1}


@pytest.mark.parametrize("entry", [{}, 7, {"resource": {}}])
def test_an_entry_without_resource_is_counted(tmp_path: Path, entry: Any) -> None:
    given = bundle("collection", patient("1"))
    given["entry"].append(entry)
    assert BundleRecord(given).pull("1", []).issues == ("entry-without-resource",)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the sample patients of ../shared/data are not here")
def test_the_synthetic_sample_is_read_whole() -> None:
    source = FolderRecords(DATA / "synthea-24")
    types = (
        "Observation",
        "Condition",
        "Procedure",
        "MedicationRequest",
        "Encounter",
        "Immunization",
    )
    pulled = [source.pull(one, need(*types)) for one in source.patients()]
    counts = [sum(r["resourceType"] == t for p in pulled for r in p.resources) for t in types]
    assert len(pulled) == 24
    assert counts == [10482, 284, 514, 431, 523, 334]
    assert source.issues == {}
    assert all(t.complete for p in pulled for t in p.types)
