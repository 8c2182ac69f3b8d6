"""A canary name, id, date and value go through a whole run: none comes out where none may be."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from fhir_adapter.sandbox import load

from cli.cli_for_tests import AS_OF, run, sandbox
from story.cohort_for_tests import COHORT

NAME, ID, DATE, VALUE = "Zanzibarius", "canary-4711", "1981-03-17", "731.25"
CANARIES = (NAME, ID, DATE, VALUE, "19810317")


def canary() -> str:
    """A teaching patient under another name, with one value of its own."""
    text = (COHORT / "09-no-pregnancy-test.json").read_text("utf-8")
    bundle = json.loads(text.replace("09-no-pregnancy-test", ID))
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["name"] = [{"family": NAME}]
            resource["birthDate"] = DATE
    bundle["entry"].append(
        {
            "resource": {
                "resourceType": "Observation", "id": f"{ID}.x", "status": "final",
                "subject": {"reference": f"Patient/{ID}"},
                "code": {"coding": [{"system": "http://loinc.org", "code": "1988-5"}]},
                "effectiveDateTime": "2026-11-21T06:00:00+08:00",
                "valueQuantity": {"value": VALUE, "unit": NAME},
            }
        }
    )  # fmt: skip
    return json.dumps(bundle)


def names_under(folder: Path) -> str:
    return "\n".join(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("_elsewhere")
def test_no_canary_comes_out_of_logs_errors_or_file_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "records.json").write_text(canary())
    key = {"FHIR_ADAPTER_SITE_KEY": "k"}
    said: list[str] = []
    with sandbox(patients=("nobody",)) as server:
        load(server._interactions.store, tmp_path / "records.json")
        base = ("--server", server.base_url, "--as-of", AS_OF, "--log-json")
        written = run("screen", *base, "--write", "--json", **key)
        assert written.status == 0
        assert any(one["created"] for one in written.json["written"])
        assert ID in written.out
        said.append(written.err)
        again = run("screen", *base, "--write", "--json", **key)
        said.append(again.err)
    gone = run("screen", "--server", server.base_url, "--patient", ID, "--log-json")
    said += [gone.err, run("server", "doctor", server.base_url, "--patient", ID).flat]
    (tmp_path / "records.json").unlink()
    text = "\n".join((*said, caplog.text, names_under(tmp_path)))
    assert [word for word in CANARIES if word in text] == []


@pytest.mark.usefixtures("_elsewhere")
def test_errors_about_a_record_name_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "broken.ndjson").write_text(canary()[:-20])
    ran = run("cohort", "report", str(tmp_path / "broken.ndjson"))
    missing = run("explain", ID, str(tmp_path / "broken.ndjson"), "--json")
    text = ran.flat + missing.flat
    assert [word for word in (NAME, DATE, VALUE) if word in text] == []
    assert ID not in missing.flat
