"""What users meet: each fault one sentence with its place and remedy, the right exit status."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree
from typing import Any

import jsonschema
import pytest

from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap.writing import WritingDesk
from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ServerUnreachable
from fhir_adapter.ports import Written
from fhir_adapter.present.json_form import result_schema
from fhir_adapter.screening import Screened

from cli.cli_for_tests import AS_OF, ONE, run, sandbox
from story.cohort_for_tests import COHORT

FOLDER = str(COHORT)
SETTLED = ("candidate", "needs-data", "not-now", "not-eligible", "not-proposed", "not-screened")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/fhir+json") -> Iterator[str]:
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def outcome(code: str) -> bytes:
    return json.dumps(
        {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": code, "diagnostics": "Nobody Canary 1980"}],
        }
    ).encode()


SERVERS: dict[str, tuple[int, bytes, str]] = {
    "401": (401, outcome("login"), "unauthorized"),
    "403": (403, outcome("forbidden"), "forbidden"),
    "404": (404, outcome("not-found"), "not-found"),
    "429": (429, outcome("throttled"), "throttled"),
    "500": (500, outcome("exception"), ""),
    "503": (503, b"", ""),
    "HTML": (200, b"<html>please log in</html>", ""),
    "an empty body": (200, b"", ""),
    "not FHIR": (200, b'{"hello": "world"}', ""),
    "a list": (200, b"[]", ""),
}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.usefixtures("with_small_study")
def test_a_server_that_fails_is_named_with_a_remedy_and_without_its_words(name: str) -> None:
    status, body, _ = SERVERS[name]
    with answering(status, body) as url:
        ran = run("screen", "--server", url, "--as-of", AS_OF)
        assert ran.status == 3, ran.flat
        assert "Canary" not in ran.flat
        assert len(ran.err.split()) > 5
        as_json = run("screen", "--server", url, "--as-of", AS_OF, "--json")
        assert as_json.json["remedy"]
        doctor = run("server", "doctor", url)
        assert doctor.status in (1, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_server_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = FhirClient.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "sleep", lambda _: None)  # type: ignore[arg-type] # no pause here
    with answering(200, b"") as url:
        gone = url
    for command in (("screen", "--server", gone), ("explain", ONE, "--server", gone),
                    ("server", "doctor", gone)):  # fmt: skip
        ran = run(*command)
        assert ran.status in (1, 3)
        said = "nothing answers at this address" if command[0] == "server" else "unreachable"
        assert said in ran.flat


def test_a_server_that_forbids_a_type_leaves_it_open_and_drops_nobody() -> None:
    with sandbox(patients=("42-all-answered", ONE), forbids_types=frozenset(("Condition",))) as s:
        found = run("screen", "--server", s.base_url, "--as-of", AS_OF, "--json").json
    assert found["patients"] == 2
    assert sum(found["counts"].values()) + len(found["failed"]) == 2
    reasons = {c["reason-code"] for d in found["decisions"] for c in d["criteria"]}
    assert "not-retrieved" in reasons
    assert {d["outcome"] for d in found["decisions"]} <= {"needs-data", "not-proposed"}


@pytest.mark.slow
def test_a_fault_while_writing_stops_one_patient_and_loses_no_result() -> None:
    forbids = frozenset(("ResearchSubject",))
    with sandbox(patients=("42-all-answered", ONE), forbids_types=forbids) as server:
        base = ("screen", "--server", server.base_url, "--as-of", AS_OF)
        ran, told = run(*base, "--json"), run(*base)
    assert (ran.status, told.status) == (3, 3)
    jsonschema.validate(ran.json, result_schema())
    assert len(ran.json["decisions"]) == 2
    assert {one["error"] for one in ran.json["written"]} == {"server-refused"}
    assert "everyone pulled" in told.flat
    assert "scopes" in told.flat


@pytest.mark.usefixtures("with_small_study")
def test_a_server_that_goes_away_while_writing_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def gone(_: WritingDesk, one: Screened) -> Written:
        asked.append(one.patient)
        raise ServerUnreachable("no answer", remedy="Try again.")

    monkeypatch.setattr(WritingDesk, "send", gone)
    with sandbox(patients=("42-all-answered", ONE)) as server:
        ran = run("screen", "--server", server.base_url, "--as-of", AS_OF, "--json")
    assert ran.status == 3
    assert [one["error"] for one in ran.json["written"]] == ["server-unreachable"] * 2
    assert len(asked) == 1


@pytest.mark.usefixtures("with_small_study")
def test_an_empty_server_is_no_mistake() -> None:
    with sandbox(patients=("nobody",)) as server:
        ran = run("screen", "--server", server.base_url, "--as-of", AS_OF)
        assert ran.status == 0
        assert "everyone pulled │        0" in ran.out
        unknown = run("explain", "nobody", "--server", server.base_url, "--as-of", AS_OF)
        assert unknown.status == 3
        assert "patient-not-found" in unknown.flat


@pytest.mark.parametrize(
    "habits",
    [
        {"relative_links": True, "max_page": 5},
        {"empty_for_unknown_parameter": True},
        {"needs_patient": True, "no_last_updated": True},
        {"strips_versions": True, "no_versions": True},
        {"refuses_types": frozenset(("Consent", "Immunization", "MedicationDispense"))},
    ],
    ids=["links", "unknown parameters", "wants a patient", "no versions", "missing types"],
)
@pytest.mark.untraced
@pytest.mark.slow
def test_the_habits_of_a_server_do_not_change_an_answer(habits: dict[str, Any]) -> None:
    plain = run("explain", ONE, FOLDER, "--as-of", AS_OF, "--json").json
    with sandbox(patients=(ONE,), **habits) as server:
        found = run("explain", ONE, "--server", server.base_url, "--as-of", AS_OF, "--json").json
    assert found["outcome"] == plain["outcome"]
    effects = {c["number"]: (c["effect"], c["reason-code"]) for c in found["criteria"]}
    expected = {c["number"]: (c["effect"], c["reason-code"]) for c in plain["criteria"]}
    if "refuses_types" not in habits:
        assert effects == expected


USAGE: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no source": (("screen",), 2, "--server"),
    "no such folder": (("screen", "nowhere"), 3, "there is no such folder or file"),
    "no such study": (("screen", FOLDER, "--study", "NCT0"), 4, "NCT05985863"),
    "no such site": (("screen", FOLDER, "--site", "dema"), 4, "Did you mean 'demo'?"),
    "no such patient": (("explain", "nobody", FOLDER), 3, "patient-not-found"),
    "a date that is none": (("screen", FOLDER, "--as-of", "soon"), 2, "last-fact"),
    "nowhere to write": (("screen", FOLDER, "--write"), 2, "--write-server"),
    "tables among the records": (("cohort", "load", ".", "--store", "tables"), 2, "outside"),
    "files under a file": (("study", "build", "--out", "a-file/x"), 2, "cannot be written there"),
    "patients under a file": (
        ("cohort", "generate", "3", "--out", "a-file/x"),
        2,
        "cannot be written there",
    ),
    "an unknown option": (("screen", FOLDER, "--colour"), 2, "--colour"),
    "a missing config": (("settings", "--config", "none.toml"), 2, "existing TOML file"),
}


@pytest.mark.parametrize("name", USAGE)
def test_a_mistake_at_the_keyboard_gets_a_way_out(name: str) -> None:
    command, status, said = USAGE[name]
    Path("a-file").write_text("", "utf-8")
    ran = run(*command)
    assert ran.status == status, ran.flat
    assert said in ran.flat


TOMLS: dict[str, tuple[str, str]] = {
    "an unknown key": ('sitee = "demo"', "Did you mean 'site'?"),
    "no TOML": ("site = ", "not valid TOML"),
    "a number": ("site = 3", "quotes"),
    "a secret": ('site_key = "x"', "FHIR_ADAPTER_SITE_KEY"),
    "a secret in no file": ('site_key = "@none"', "cannot be read"),
    "a word of nothing": ('zzzzzz = "x"', "fhir-adapter settings"),
}


@pytest.mark.parametrize("name", TOMLS)
def test_a_wrong_settings_file_names_its_key(name: str, tmp_path: Path) -> None:
    text, said = TOMLS[name]
    (tmp_path / "fhir-adapter.toml").write_text(text)
    ran = run("settings")
    assert ran.status == 2
    assert said in ran.flat


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k\n")
    (tmp_path / "fhir-adapter.toml").write_text('site-key = "@key"')
    assert any(row["value"] == "(set)" for row in run("settings", "--json").json)


@pytest.mark.usefixtures("with_small_study")
def test_writing_needs_a_key_and_a_basis(tmp_path: Path) -> None:
    with sandbox(patients=(ONE,)) as server:
        base = ("screen", "--server", server.base_url, "--as-of", AS_OF, "--write")
        ran = run(*base)
        assert (ran.status, "FHIR_ADAPTER_SITE_KEY" in ran.flat) == (2, True)
        site = tmp_path / "bare.toml"
        site.write_text('format = 1\ntitle = "Bare"\nzone = "UTC"\n')
        ran = run(*base, "--site", str(site), FHIR_ADAPTER_SITE_KEY="k")
        assert ran.status in (2, 4)
        assert "basis" in ran.flat
        nobody = run("screen", FOLDER, "--as-of", AS_OF, "--site", str(site))
        assert "nobody is screened" in nobody.flat


# ----------------------------------------------------------------------- studies and records


@pytest.fixture
def study(tmp_path: Path) -> Path:
    source = mappings_dir() / "studies" / "NCT05985863"
    made = tmp_path / "study"
    made.mkdir()
    for name in ("protocol.md", "study.yaml", "criteria.yaml"):
        (made / name).write_text((source / name).read_text("utf-8"), "utf-8")
    return made


def test_a_broken_study_names_file_line_criterion_and_remedy(study: Path) -> None:
    path = study / "criteria.yaml"
    path.write_text(path.read_text("utf-8").replace("if-absent: unknown", "if-absnt: unknown", 1))
    for command in (("study", "check", str(study)), ("screen", FOLDER, "--study", str(study))):
        ran = run(*command)
        assert ran.status == 4
        assert "criteria.yaml line" in ran.flat
        assert "Did you mean `if-absent`?" in ran.flat


def test_a_study_that_is_not_utf_8_is_the_users_to_mend(study: Path) -> None:
    (study / "criteria.yaml").write_bytes(b"\xff\xfe criteria")
    ran = run("study", "check", str(study))
    assert (ran.status, "UTF-8" in ran.flat) == (4, True)


def test_a_study_with_errors_is_checked_and_not_published(study: Path) -> None:
    path = study / "criteria.yaml"
    path.write_text(path.read_text("utf-8").replace("codes: inr", "codes: inrr"))
    checked = run("study", "check", str(study))
    assert checked.status == 4
    assert "value-set-unknown" in checked.flat
    with sandbox(patients=("nobody",)) as server:
        ran = run("study", "publish", str(study), "--server", server.base_url)
        assert ran.status == 4
        assert "study check" in ran.flat


def test_a_plan_of_others_is_open_for_everybody_and_says_so() -> None:
    plan = {
        "resourceType": "PlanDefinition", "id": "theirs", "status": "active", "title": "Theirs",
        "identifier": [{"system": "urn:r", "value": "T1"}], "url": "urn:theirs",
        "action": [{"title": "Adult", "code": [{"text": "inclusion"}], "condition": [{
            "kind": "applicability",
            "expression": {"language": "text/cql", "expression": "Adult"}}]}],
    }  # fmt: skip
    trial = {
        "resourceType": "ResearchStudy",
        "id": "T1",
        "status": "active",
        "title": "Theirs",
        "identifier": [{"system": "urn:r", "value": "T1"}],
        "protocol": [{"reference": "PlanDefinition/theirs"}],
    }
    with sandbox(patients=("nobody",)) as server:
        server._interactions.store.load(plan)
        server._interactions.store.load(trial)
        ran = run("study", "show", "T1", "--study-server", server.base_url)
        assert ran.status == 0, ran.flat
        assert "Adult" in ran.out


def test_records_that_are_rubbish_are_open_or_named_and_nobody_is_lost(tmp_path: Path) -> None:
    records = tmp_path / "records"
    copytree(COHORT, records, ignore=lambda _, names: [n for n in names if ONE not in n])
    (records / "odd.json").write_text(
        json.dumps(
            {
                "resourceType": "Bundle",
                "entry": [
                    {"resource": {"resourceType": "Patient", "id": "odd", "birthDate": 7}},
                    {
                        "resource": {
                            "resourceType": "Observation", "id": "o", "status": "final",
                            "subject": {"reference": "Patient/odd"},
                            "code": {"coding": [{"system": "http://loinc.org", "code": "1975-2"}]},
                            "effectiveDateTime": "2026-11-21",
                            "valueQuantity": {"value": 9, "unit": "furlong"},
                        }
                    },
                ],
            }
        )
    )  # fmt: skip
    found = run("screen", str(records), "--as-of", AS_OF, "--json").json
    assert found["patients"] == 2
    odd = next(d for d in found["decisions"] if d["patient"] == "odd")
    reasons = {c["number"]: c["reason-code"] for c in odd["criteria"]}
    assert reasons["I2c"] == "unit-not-convertible"
    assert reasons["I1"] == "date-missing-or-too-coarse"
    (records / "broken.ndjson").write_text('{"resourceType": "Patient", "id": "x"\n[]\n7\n')
    again = run("screen", str(records), "--as-of", AS_OF, "--json").json
    odd = next(d for d in again["decisions"] if d["patient"] == "odd")
    assert {c["reason-code"] for c in odd["criteria"]} >= {"not-retrieved"}
    assert again["patients"] == 2


def test_what_a_broken_file_may_have_held_is_never_assumed_absent(tmp_path: Path) -> None:
    """The cancer stood in the file that cannot be read: nobody may call it absent."""
    name = "21-confirmed-cancer"
    bundle = json.loads((COHORT / f"{name}.json").read_text("utf-8"))
    codes = [json.dumps(entry["resource"].get("code", {})) for entry in bundle["entry"]]
    cancer = next(place for place, code in enumerate(codes) if "C22.0" in code)
    lost = json.dumps({**bundle, "entry": [bundle["entry"].pop(cancer)]})
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text(json.dumps(bundle), "utf-8")
    (tmp_path / "records" / "b.json").write_text(lost[:-40], "utf-8")
    ran = run("screen", str(tmp_path / "records"), "--as-of", AS_OF, "--json")
    one = ran.json["decisions"][0]
    cancer_row = next(row for row in one["criteria"] if row["number"] == "E3a")
    assert (cancer_row["effect"], cancer_row["reason-code"]) == ("open", "not-retrieved")
    assert one["outcome"] != "candidate"


def test_a_patient_who_cannot_be_judged_is_no_success() -> None:
    ran = run("screen", FOLDER, "--patient", ONE, "--patient", "nobody", "--as-of", AS_OF)
    assert ran.status == 3
    assert "nobody could not be judged" in ran.flat


def test_a_login_page_has_no_patients_to_explain() -> None:
    with answering(*SERVERS["HTML"][:2]) as url:
        ran = run("explain", "nobody", "--server", url, "--as-of", AS_OF)
    assert ran.status == 3
    assert "not-fhir" in ran.err


def test_settings_never_show_a_password() -> None:
    for more in ((), ("--json",)):
        said = run("settings", "--server", "http://bob:hunter2@h.example/", *more).flat
        assert "hunter2" not in said
        assert "(hidden)@h.example" in said


def test_settings_never_show_the_token_of_a_spark_server() -> None:
    address = "sc://h.example:443/;use_ssl=true;token=hunter2"
    for more in ((), ("--json",)):
        said = run("settings", *more, FHIR_ADAPTER_SPARK_REMOTE=address).flat
        assert "hunter2" not in said
        assert "token=(hidden)" in said


@pytest.mark.parametrize("command", ["screen", "worklist", "cohort report"])
@pytest.mark.usefixtures("with_small_study")
def test_damaged_files_are_said_aloud_whatever_the_command(command: str, tmp_path: Path) -> None:
    records = tmp_path / "records"
    copytree(COHORT, records, ignore=lambda _, names: [n for n in names if ONE not in n])
    (records / "Canary.json").write_text('{"resourceType": "Bundle", "entry": [')
    (records / "Patient.ndjson").write_text('{"resourceType": "Patient", "id"\n')
    for more in ((), ("--quiet",), ("--json",)):
        ran = run(*command.split(), str(records), "--as-of", AS_OF, *more)
        assert ran.status == 0
        said = " ".join(ran.err.split())
        assert "unreadable-file 1, unreadable-line 1" in said
        assert "patients may be missing" in said
        assert "Canary" not in ran.flat
    assert ran.json["issues"] or command == "cohort report"


def test_a_folder_in_which_nobody_can_be_read_is_an_error_and_not_an_empty_list(
    tmp_path: Path,
) -> None:
    (tmp_path / "Patient.ndjson").write_text('{"resourceType": "Patient", "id"')
    for command in (("screen",), ("worklist", "--csv"), ("cohort", "report")):
        ran = run(*command, str(tmp_path), "--as-of", AS_OF)
        assert ran.status == 3
        assert "no patient could be read" in ran.flat
        assert "unreadable-line 1" in ran.flat


def test_an_export_of_nobody_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text("")
    assert run("screen", str(tmp_path), "--as-of", AS_OF).status == 0


def test_a_mistake_of_ours_is_five_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Canary 1980-05-01")

    monkeypatch.setattr("fhir_adapter.bootstrap.bench", fail)
    ran = run("explain", ONE, FOLDER)
    assert ran.status == 5
    assert "Canary" not in ran.flat
    assert "report" in ran.flat


def test_basic_credentials_need_a_password() -> None:
    secret = {"FHIR_ADAPTER_RECORD_TOKEN": "basic:only-a-user"}
    ran = run("screen", "--server", "http://127.0.0.1:9", **secret)
    assert ran.status == 2
    assert "basic:USER:PASSWORD" in ran.flat
    assert "only-a-user" not in ran.flat


@pytest.mark.parametrize("store", ["/proc/nobody", "/dev/null/x"])
def test_a_store_where_nothing_can_be_made_is_no_mistake_of_ours(store: str) -> None:
    ran = run("cohort", "load", FOLDER, "--store", store)
    assert (ran.status, "store-unwritable" in ran.flat) == (2, True)


def test_a_study_that_is_a_file_and_a_server_that_is_not_set_say_what_to_give() -> None:
    ran = run("study", "check", str(COHORT.parent / "study.yaml"))
    assert (ran.status, "Give the folder" in ran.flat) == (4, True)
    ran = run("study", "publish")
    assert (ran.status, "no server for studies" in ran.flat) == (2, True)


def test_a_year_that_nobody_can_mean_says_which_years_can_be() -> None:
    assert "1900 to 2199" in run("screen", FOLDER, "--as-of", "9999-12-31").flat


@pytest.mark.slow
def test_who_is_counted_and_not_listed_is_said(tmp_path: Path) -> None:
    unlisted = "not in the list: 1 not to be asked, as somebody said; 2 with nothing that points at"
    assert unlisted in run("screen", FOLDER, "--as-of", AS_OF).flat
    assert "not in the list" not in run("screen", FOLDER, "--as-of", AS_OF, "--all").flat


def test_a_mistyped_year_that_moves_the_question_is_said(tmp_path: Path) -> None:
    person = {"resourceType": "Patient", "id": "canary", "birthDate": "1970-01-01"}
    lab = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "subject": {"reference": "Patient/canary"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "1975-2"}]},
        "valueQuantity": {"value": 6, "unit": "mg/dL", "code": "mg/dL"},
        "effectiveDateTime": "2096-11-20",
    }
    (tmp_path / "Patient.ndjson").write_text(json.dumps(person))
    (tmp_path / "Observation.ndjson").write_text(json.dumps(lab))
    ran = run("screen", str(tmp_path), "--as-of", "last-fact", "--json")
    assert "newest fact of 1 of 1 patients" in ran.err
    assert "canary" not in ran.err
    assert "newest fact" not in run("screen", str(tmp_path), "--as-of", AS_OF).err


def test_a_study_nested_too_deeply_is_a_mistake_of_its_writer(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    copytree(COHORT.parent, folder, ignore=lambda *_: ["cohort"])
    with (folder / "criteria.yaml").open("a") as file:
        file.write("x: " + "[" * 300 + "]" * 300 + "\n")
    ran = run("study", "check", str(folder))
    assert (ran.status, "study-invalid" in ran.flat) == (4, True)
    with (folder / "criteria.yaml").open("a") as file:
        file.write("y: " + "[" * 3000 + "]" * 3000 + "\n")
    ran = run("study", "check", str(folder))
    assert (ran.status, "study-invalid" in ran.flat) == (4, True)


def test_a_server_that_knows_nothing_of_fhir_is_a_wrong_address(tmp_path: Path) -> None:
    with answering(404, b"<h1>Not Found</h1>", "text/html") as url:
        ran = run("screen", "--server", url, "--as-of", AS_OF)
    assert (ran.status, "Check the base URL" in ran.flat) == (3, True)


def test_a_resource_that_does_not_say_whose_it_is_opens_its_type_for_everybody(
    tmp_path: Path,
) -> None:
    records = tmp_path / "records"
    copytree(COHORT, records, ignore=lambda _, names: [n for n in names if ONE not in n])
    (records / "Condition.ndjson").write_text('{"resourceType": "Condition", "id": "x"}\n')
    said = " ".join(run("screen", str(records), "--as-of", AS_OF).err.split())
    assert "no-patient 1" in said
    assert "their types are open for everybody" in said
