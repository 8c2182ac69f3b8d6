"""Every command alike: its options, its JSON held to a shipped schema, its exit status."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from shutil import copytree
from typing import Any

import jsonschema
import pytest
from typer.main import get_command

import fhir_adapter
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.cli.app import COMMANDS, GROUPS, app
from fhir_adapter.ledger import open_ledger

from cli.cli_for_tests import AS_OF, ONE, run, sandbox
from story.cohort_for_tests import COHORT

FOLDER = str(COHORT)
SCHEMAS = Path(fhir_adapter.__file__).parent / "schemas"
SHARED = ("--json", "--quiet", "--site", "--as-of", "--config")
AT = ("--as-of", AS_OF)


def every_command() -> Iterator[tuple[str, Any]]:
    top = get_command(app)
    for name in COMMANDS:
        found = top.get_command(None, name)  # type: ignore[attr-defined] # of click, behind typer
        if name in GROUPS:
            yield from ((f"{name} {inner}", one) for inner, one in found.commands.items())
        else:
            yield name, found


EVERY = dict(every_command())

FORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "demo": ("result", ("--fresh",)),
    "screen": ("result", (FOLDER, *AT)),
    "explain": ("result", (ONE, FOLDER, *AT)),
    "worklist": ("result", (FOLDER, *AT)),
    "study check": ("study-check", ()),
    "study build": ("study-build", ("--out", "built")),
    "study publish": ("study-publish", ("--server", "URL")),
    "study show": ("study-show", ()),
    "cohort load": ("cohort-load", (FOLDER, "--store", "tables", "--workers", "1")),
    "cohort screen": ("result", ("STORE", *AT)),
    "cohort sql": ("cohort-sql", ()),
    "cohort report": ("cohort-report", (FOLDER, *AT)),
    "cohort generate": ("cohort-generate", ("2",)),
    "server doctor": ("server-doctor", ("URL",)),
    "watch": ("watch", ("--server", "URL", "--once", *AT)),
    "ledger status": ("ledger-status", ()),
    "ledger replay": ("ledger-replay", ("--all",)),
    "ledger repair": ("ledger-repair", ("--server", "URL")),
    "ledger purge": ("ledger-purge", ()),
    "ledger forget": ("ledger-forget", ("a",)),
    "ledger decline": ("ledger-decline", ("a", "--every-study")),
    "ledger access-report": ("ledger-access-report", ("a",)),
    "settings": ("settings", ()),
}
SERVING = {"serve": "serve", "server sandbox": "server-sandbox"}
"""These go on until they are stopped: what they print first is their answer."""


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_the_options_of_every_command(name: str) -> None:
    options = {text for one in EVERY[name].params for text in one.opts}
    assert [option for option in SHARED if option not in options] == []


def test_every_command_has_a_form_and_every_schema_a_use() -> None:
    assert sorted(EVERY) == sorted((*FORMS, *SERVING))
    used = {form for form, _ in FORMS.values()} | {*SERVING.values(), "error", "study"}
    assert used == {path.name.removesuffix(".schema.json") for path in SCHEMAS.iterdir()}
    for name in used:
        jsonschema.Draft202012Validator.check_schema(schema(name))
        assert schema(name)["$id"].endswith(f"/{name}.schema.json")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.deep) if name == "demo" else name for name in FORMS],
)
@pytest.mark.slow
def test_json_of_every_command_holds_to_its_schema_and_stands_alone(
    name: str, tmp_path: Path, with_small_study: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, arguments = FORMS[name]
    if "STORE" in arguments:
        run("cohort", "load", FOLDER, "--store", "tables", "--workers", "1")
    if name.startswith("ledger"):
        (tmp_path / ".fhir-adapter").mkdir()
        open_ledger(tmp_path / ".fhir-adapter" / "ledger.sqlite", SystemClock()).close()
        monkeypatch.setenv("FHIR_ADAPTER_SITE_KEY", "k")
    with sandbox(patients=(ONE,)) if "URL" in arguments else nullcontext() as server:
        said = {"URL": server.base_url if server else "", "STORE": "tables"}
        words = [said.get(word, word) for word in arguments]
        ran = run(*name.split(), *words, "--json", "--quiet", "--site", "demo")
    assert ran.status == 0, ran.flat
    jsonschema.validate(ran.json, schema(form))


@pytest.mark.parametrize("name", [name for name in FORMS if name != "demo"])
def test_an_error_of_every_command_is_json_too(name: str) -> None:
    """A settings file that is not there stops whoever reads settings."""
    _, arguments = FORMS[name]
    ran = run(*name.split(), *arguments, "--json", "--config", "none.toml")
    if name in {"study check", "study build", "cohort generate"}:
        assert ran.status == 0  # these read no settings
        return
    assert ran.status == 2
    assert ran.json["error"] == "setting-invalid"
    jsonschema.validate(ran.json, schema("error"))


MISTAKES = {
    "option": (("screen", "--nope"), "--nope"),
    "command": (("nope",), "nope"),
    "argument": (("explain",), "patient"),
    "value": (("screen", "--as-of"), "--as-of"),
    "port": (("demo", "--serve", "--port", "99999999"), "65535"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_on_the_command_line_is_json_where_json_was_asked_for(name: str) -> None:
    line, said = MISTAKES[name]
    ran = run(line[0], "--json", *line[1:])
    assert ran.status == 2
    assert said in ran.json["message"].casefold()
    jsonschema.validate(ran.json, schema("error"))
    plain = run(*line)
    assert plain.status == 2
    assert said in plain.err.casefold()


@pytest.mark.parametrize("name", SERVING)
@pytest.mark.slow
def test_what_serves_says_its_address_as_json(name: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("format = 1\n")
    more = ("--server", "http://127.0.0.1:9", "--port", "0") if name == "serve" else ()
    (tmp_path / "fhir-adapter.toml").write_text('tokens = "tokens.toml"\n')
    command = [sys.executable, "-m", "fhir_adapter", *name.split(), *more, "--json", *AT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            said = ""
            for line in lines:
                said += line
                if line == "}\n":
                    break
            found = json.loads(said)
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
        finally:
            process.kill()
    jsonschema.validate(found, schema(SERVING[name]))
    assert found["url"].startswith("http://127.0.0.1:")
    assert rest == ""


def test_the_table_of_commands_says_what_each_command_says() -> None:
    top = get_command(app)
    for name, said in COMMANDS.items():
        found = top.get_command(None, name)  # type: ignore[attr-defined] # of click, behind typer
        assert " ".join(found.help.split("\n\n")[0].split()) == said
        assert said[:30] in " ".join(run("--help").out.split())


def test_help_loads_no_command() -> None:
    code = (
        "import sys\nfrom fhir_adapter.cli import app\n"
        "try:\n app(['--help'])\nexcept SystemExit:\n pass\n"
        "names = ('fhir_adapter.', 'fastapi', 'numpy', 'requests')\n"
        "print(*sorted(m for m in sys.modules if m.startswith(names)), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [f"fhir_adapter.{one}" for one in ("cli", "cli.app", "version")]
    assert found.stderr.split() == loaded


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_group_waits_for_no_server_library(group: str) -> None:
    code = (
        f"import sys, fhir_adapter.cli.{group}\n"
        "print({'fastapi', 'requests', 'duckdb'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_store_without_candidates_says_what_to_do_next(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "a"}\n')
    run("cohort", "load", "in", "--store", "tables", "--workers", "1")
    assert "Nobody to look at among 1 patients" in run("cohort", "screen", "tables", *AT).flat


# ----------------------------------------------------------------------------- exit statuses


@pytest.fixture
def invalid(tmp_path: Path) -> str:
    made = copytree(mappings_dir() / "studies" / "NCT05985863", tmp_path / "study")
    path = made / "criteria.yaml"
    path.write_text(path.read_text("utf-8").replace("codes: inr", "codes: inrr"), "utf-8")
    return str(made)


def test_a_study_with_errors_is_four_and_its_findings_are_still_json(invalid: str) -> None:
    ran = run("study", "check", invalid, "--json")
    assert ran.status == 4
    jsonschema.validate(ran.json, schema("study-check"))
    assert "value-set-unknown" in {one["code"] for one in ran.json}


def test_a_mistake_of_ours_is_five_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("Canary 1980-05-01")

    monkeypatch.setattr("fhir_adapter.bootstrap.bench", fail)
    ran = run("explain", ONE, FOLDER, "--json")
    assert ran.status == 5
    jsonschema.validate(ran.json, schema("error"))
    assert "Canary" not in ran.flat


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "a folder and a server": (
        ("screen", FOLDER, "--server", "http://127.0.0.1:9"),
        "Leave out the folder or --server",
    ),
    "the same, one patient": (
        ("explain", ONE, FOLDER, "--server", "http://127.0.0.1:9"),
        "Leave out the folder or --server",
    ),
    "identifiers without CSV": (("worklist", FOLDER, "--identifiers"), "Add --csv"),
    "identifiers of a store": (("cohort", "screen", "s", "--identifiers"), "Add --csv"),
    "two forms": (("worklist", FOLDER, "--csv", "--json"), "Leave one of them out"),
    "one result that goes on": (("demo", "--serve", "--json"), "Leave one of them out"),
    "a value set that is none": (
        ("screen", FOLDER, "--as-of", "last-fact:bilirubine"),
        "'bilirubine', which is no value set of this study",
    ),
    "a value set misspelt": (
        ("explain", ONE, FOLDER, "--as-of", "last-fact:total-bilirubine"),
        "Did you mean 'total-bilirubin'?",
    ),
    "no value set": (("worklist", FOLDER, "--as-of", "last-fact:"), "no value set"),
    "another word": (("screen", FOLDER, "--as-of", "last-facts"), "is not a date"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused_with_a_remedy(name: str) -> None:
    command, said = REFUSED[name]
    ran = run(*command)
    assert ran.status == 2, ran.flat
    assert said in ran.flat


def test_a_site_file_that_is_not_there_is_named_as_it_was_given() -> None:
    ran = run("screen", FOLDER, "--site", "foo.toml")
    assert ran.status == 4
    assert re.search(r"site-invalid: foo\.toml", ran.flat)


# -------------------------------------------------------------------------------- for people


@pytest.mark.untraced
def test_an_empty_worklist_says_what_to_do_next(tmp_path: Path) -> None:
    (tmp_path / "Patient.ndjson").write_text("")
    assert "No patient was found" in run("worklist", str(tmp_path)).flat
    (tmp_path / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "a"}\n')
    ran = run("worklist", str(tmp_path), *AT)
    assert "Nobody to look at among 1 patients" in ran.flat
    assert "cohort report" in run("screen", str(tmp_path), *AT).flat
    assert "Nobody to look at" not in run("worklist", str(tmp_path), *AT, "--quiet").flat


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("worklist", FOLDER, *AT), ("explain", ONE, FOLDER, *AT), ("settings",)]
)
def test_on_a_narrow_terminal_each_row_is_lines_of_its_own(command: tuple[str, ...]) -> None:
    narrow, wide = run(*command, COLUMNS="60"), run(*command)
    assert narrow.status == 0
    assert max(map(len, narrow.out.splitlines())) <= 60
    assert "│" not in narrow.out
    assert "│" in wide.out
    assert re.search(r"^(outcome|effect|setting): ", narrow.out, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["", "--json"])
def test_whoever_reads_only_the_first_line_is_told_of_no_failure(form: str) -> None:
    command = [sys.executable, "-m", "fhir_adapter", "study", "show", *form.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (0, b"")
