"""Records out of a store are those of the record lane on the same folder, faults and all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.errors import RecordFault
from fhir_adapter.model.fact import Kind

from cohort_store import assert_equal, loaded, pulled, stored, write_lines

pytestmark = pytest.mark.untraced

ROOT = Path(__file__).parents[2]
COHORT = ROOT / "mappings" / "studies" / "NCT05985863" / "cohort"
DATA = ROOT.parent / "shared" / "data"
Files = dict[str, Any]


def patient(number: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": number, "birthDate": "1980-05-01", **more}


def of(number: str | None, kind: str, name: str, **more: Any) -> dict[str, Any]:
    owner = "patient" if kind in ("AllergyIntolerance", "Immunization", "Consent") else "subject"
    whose = {} if number is None else {owner: {"reference": f"Patient/{number}"}}
    return {"resourceType": kind, "id": name, **whose, **more}


def lab(number: str, name: str, value: str = "5.0", **more: Any) -> dict[str, Any]:
    return of(
        number, "Observation", name, status="final", effectiveDateTime="2026-11-20",
        code={"coding": [{"system": "http://loinc.org", "code": "1975-2"}]},
        valueQuantity={"value": float(value), "unit": "mg/dL"}, **more,
    )  # fmt: skip


def order(number: str, name: str, medication: str) -> dict[str, Any]:
    return of(
        number, "MedicationRequest", name, status="active", authoredOn="2026-11-20",
        medicationReference={"reference": f"Medication/{medication}"},
    )  # fmt: skip


def medication(name: str, code: str = "L04AD01") -> dict[str, Any]:
    coding = [{"system": "http://www.whocc.no/atc", "code": code}]
    return {"resourceType": "Medication", "id": name, "code": {"coding": coding}}


def merged_into(number: str, other: str, link: str = "replaced-by") -> dict[str, Any]:
    return patient(number, link=[{"other": {"reference": f"Patient/{other}"}, "type": link}])


def bundle(kind: str, *resources: Any, **more: Any) -> str:
    entries = [{"resource": one} for one in resources]
    return json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries, **more})


def urn_bundle() -> str:
    entries = [
        {"fullUrl": "urn:uuid:7", "resource": {"resourceType": "Patient"}},
        {
            "fullUrl": "urn:uuid:8",
            "resource": {"resourceType": "Condition", "subject": {"reference": "urn:uuid:7"}},
        },
        {"request": {"method": "PUT"}},
    ]
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


PLAIN: Files = {
    "Patient.ndjson": [patient("1"), patient("2"), patient("3")],
    "Observation.ndjson": [lab("1", "a"), lab("2", "b", "7"), lab("1", "c")],
    "Condition.ndjson": [],
}
FAULTS: dict[str, Files] = {
    "plain": PLAIN,
    "a line that is cut off": {
        **PLAIN, "Observation.ndjson": [lab("1", "a"), '{"resourceType": "Obs'],
    },
    "a line whose tail is rubbish": {
        **PLAIN,
        "Observation.ndjson": [lab("1", "a"), '{"resourceType":"Observation","id":"x","z":1e9x}'],
    },
    "a line that is no resource": {**PLAIN, "x.ndjson": ["[]", "17", "{}", "null", '{"id": 1}']},
    "an exponent that no decimal holds": {
        **PLAIN,
        "Observation.ndjson": [
            '{"resourceType":"Observation","id":"x","valueQuantity":{"value":1.0e99999999999999999}}',
            lab("1", "a"),
        ],
    },
    "mixed types in one file": {"everything.ndjson": [patient("1"), lab("1", "a"), lab("9", "z")]},
    "other types than the name says": {**PLAIN, "Condition.ndjson": [lab("3", "q"), patient("4")]},
    "blank lines and a byte order mark": {
        **PLAIN,
        "Procedure.ndjson": ["", "\ufeff" + json.dumps(of("1", "Procedure", "p")), "   "],
    },
    "half a download: a type has no file": {"Patient.ndjson": [patient("1")]},
    "resources without Patient": {"Observation.ndjson": [lab("1", "a")]},
    "resources of nobody": {**PLAIN, "Procedure.ndjson": [of(None, "Procedure", "p")]},
    "without id": {
        **PLAIN,
        "Procedure.ndjson": [{k: v for k, v in of("1", "Procedure", "p").items() if k != "id"}] * 2,
        "Practitioner.ndjson": [{"resourceType": "Practitioner"}],
        "Medication.ndjson": [{"resourceType": "Medication"}],
    },
    "ids and references of other types": {
        **PLAIN,
        "Procedure.ndjson": [
            {**of("1", "Procedure", "p"), "id": 7},
            {**of("1", "Procedure", "q"), "id": None},
            {"resourceType": "Procedure", "id": "r", "subject": [{"reference": "Patient/1"}]},
            {"resourceType": "Procedure", "id": "s", "subject": "Patient/1"},
            {"resourceType": "Procedure", "id": "t", "subject": {"reference": 1}},
            {"resourceType": "Procedure", "id": "u", "subject": {"reference": "Group/1"}},
            {
                "resourceType": "Procedure",
                "id": "v",
                "subject": {"reference": "http://x.example/fhir/Patient/1/_history/2"},
                "patient": {"reference": "Patient/2"},
            },
        ],
    },
    "the same twice": {
        **PLAIN,
        "Observation.2.ndjson": [lab("1", "a", "9"), lab("2", "b", "7")],
        "Practitioner.ndjson": [{"resourceType": "Practitioner", "id": "1"}] * 3,
        "Medication.ndjson": [medication("m"), medication("m", "L04AD02")],
        "MedicationRequest.ndjson": [order("1", "o", "m")],
    },
    "a medication that is missing": {
        **PLAIN,
        "Medication.ndjson": [medication("m")],
        "MedicationRequest.ndjson": [order("1", "o", "m"), order("2", "p", "gone")],
    },
    "merged patients": {
        **PLAIN,
        "Patient.ndjson": [merged_into("1", "2"), patient("2"), merged_into("3", "4", "replaces")],
        "Observation.ndjson": [lab("1", "a"), lab("2", "b"), lab("1", "c"), lab("3", "d")],
    },
    "a merge in a file of another name": {
        **PLAIN,
        "Observation.2.ndjson": [merged_into("1", "2"), lab("2", "z")],
    },
    "a merge written with escapes": {
        **PLAIN,
        "Patient.2.ndjson": [
            json.dumps(merged_into("1", "2")).replace("replaced", "\\u0072eplaced")
        ],
    },
    "a circle of merges": {
        **PLAIN, "Patient.ndjson": [merged_into("1", "2"), merged_into("2", "1")],
    },
    "a merge of very many": {
        "Patient.ndjson": [merged_into(f"p{n}", f"p{n + 1}") for n in range(40)],
        "Observation.ndjson": [lab("p3", "a")],
    },
    "see-also is no merge": {**PLAIN, "Patient.ndjson": [merged_into("1", "2", "seealso")]},
    "a resource of two patients": {
        **PLAIN,
        "AllergyIntolerance.ndjson": [
            {**of("1", "AllergyIntolerance", "x"), "subject": {"reference": "Patient/2"}}
        ] * 2,
    },
    "bundles": {
        "a.json": bundle("collection", patient("1"), lab("1", "a"), lab("1", "a")),
        "b.json": bundle("document", patient("2"), lab("2", "b")),
        "c.json": bundle("searchset", patient("3"), lab("3", "c"), link=[{"relation": "next"}]),
        "d.json": urn_bundle(),
        "e.json": json.dumps(patient("4"), indent=2),
        "f.json": "{",
    },
    "bundles as lines, merged": {
        "x.ndjson": [
            bundle("batch", merged_into("1", "2"), lab("1", "a")),
            bundle("collection", patient("2")),
            bundle("document", patient("5")),
        ],
    },
    "deletions": {
        **PLAIN,
        "deleted.ndjson": [
            {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [{"request": {"method": "DELETE", "url": "Observation/a"}}],
            }
        ],
    },
    "studies": {
        **PLAIN,
        "ResearchStudy.ndjson": [{"resourceType": "ResearchStudy", "id": "s", "title": "x"}],
        "ResearchSubject.ndjson": [
            {
                "resourceType": "ResearchSubject",
                "id": "r",
                "status": "on-study",
                "individual": {"reference": "Patient/1"},
                "study": {"reference": "ResearchStudy/s"},
            }
        ],
    },
    "nobody": {"Patient.ndjson": []},
    "numbers of every size": {
        "Patient.ndjson": [patient("1")],
        "Observation.ndjson": [
            lab("1", "a", "0.30000000000000004"),
            lab("1", "b", "123456789012345678901234567890"),
            lab("1", "c", "1e-30"),
            {**lab("1", "d", "1e25"), "code": {"text": "no code"}},
            {**lab("1", "e"), "valueQuantity": {"value": 1e300, "unit": "strange"}},
        ],
    },
}  # fmt: skip


def write_files(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, content in files.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
        else:
            write_lines(folder / name, content)
    return folder


@pytest.mark.parametrize("files", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("bucket_bytes", [10**9, 1000], ids=["one-bucket", "many"])
@pytest.mark.slow
def test_whatever_is_wrong_with_a_folder_both_lanes_say_it(tmp_path, files, bucket_bytes):
    folder = write_files(tmp_path / "in", files)
    assert_equal(folder, tmp_path / "store", bucket_bytes=bucket_bytes)


def test_the_teaching_cohort(tmp_path):
    counts = assert_equal(COHORT, tmp_path / "store", bucket_bytes=50_000)
    assert counts.patients > 40


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not beside this checkout")
@pytest.mark.parametrize(
    ("name", "site"), [("synthea-24", "synthea"), ("mimic3-demo-10", "mimic3-demo")]
)
@pytest.mark.slow
def test_sample_data(tmp_path, name, site):
    assert_equal(DATA / name, tmp_path / "store", site, bucket_bytes=2**20)


def test_a_file_of_nothing_but_a_byte_order_mark_is_empty_and_whole(tmp_path):
    """As a Windows program writes it of a type that nobody has."""
    folder = write_files(tmp_path / "in", PLAIN)
    (folder / "Procedure.ndjson").write_bytes(b"\xef\xbb\xbf\r\n")
    counts = assert_equal(folder, tmp_path / "store")
    assert counts.issues == {}
    rows = stored(tmp_path / "store")["1"].retrieved
    assert [row.complete for row in rows if row.kind is Kind.PROCEDURE] == [True]


def test_a_packed_file_that_breaks_off(tmp_path):
    folder = write_files(tmp_path / "in", PLAIN)
    data = gzip.compress(b"".join(json.dumps(lab("1", str(n))).encode() + b"\n" for n in range(99)))
    (folder / "Observation.2.ndjson.gz").write_bytes(data[:-40])
    assert_equal(folder, tmp_path / "store")
    assert any(not row.complete for row in stored(tmp_path / "store")["1"].retrieved)


def _resources() -> st.SearchStrategy[Any]:
    ids = st.sampled_from(["1", "2", "3", "4", "5"])
    names = st.sampled_from([str(n) for n in range(8)])
    makers: list[Callable[..., Any]] = [lab, order, _merge]
    return st.one_of(
        *(st.builds(make, ids, names, ids) for make in makers),
        st.builds(medication, ids),
        st.builds(patient, ids),
        st.builds(lambda a, b: bundle("collection", patient(a), lab(a, b)), ids, names),
        st.builds(lambda a, b: bundle("searchset", merged_into(a, b)), ids, ids),
        st.sampled_from(["{", "", '{"resourceType": "Basic", "id": "b"}']),
    )


def _merge(number: str, _: str, other: str) -> Any:
    return merged_into(number, other)


@pytest.mark.property
@given(
    st.dictionaries(
        st.sampled_from(["Patient.ndjson", "x.ndjson", "Observation.ndjson", "Medication.ndjson"]),
        st.lists(_resources(), max_size=12),
        min_size=1,
    ),
    st.sampled_from([500, 10**6]),
)
@pytest.mark.slow
def test_any_folder_gives_the_same_records_in_both_lanes(tmp_path_factory, files, bucket_bytes):
    base = tmp_path_factory.mktemp("any")
    folder = write_files(base / "in", files)
    records, issues = pulled(folder)
    if records or not issues:
        assert_equal(folder, base / "store", bucket_bytes=bucket_bytes)
        return
    with pytest.raises(RecordFault, match="no patient could be read"):  # as `screen` refuses it
        loaded(folder, base / "store")
