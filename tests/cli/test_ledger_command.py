"""`ledger`: decisions made again, values that go, patients who are forgotten, duplicates mended."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import fhir_adapter
from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.ledger import open_ledger
from fhir_adapter.sandbox import RunningSandbox

from cli.cli_for_tests import AS_OF, ONE, Ran, run, sandbox

CANDIDATE = "42-all-answered"
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}
LEDGER = Path(".fhir-adapter/ledger.sqlite")
SCHEMAS = Path(fhir_adapter.__file__).parent / "schemas"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


def screen(server: RunningSandbox, *more: str) -> Ran:
    return run("screen", "--server", server.base_url, "--as-of", AS_OF, "--write", *more, **KEY)


def screened(*patients: str) -> None:
    """A ledger after one writing run; of a server that is gone again."""
    with sandbox(patients=patients or (CANDIDATE, ONE)) as server:
        assert screen(server).status == 0


def ledger(*words: str, **env: str) -> Ran:
    return run("ledger", *words, **KEY, **env)


def as_json(*words: str, status: int = 0) -> Any:
    ran = ledger(*words, "--json", "--quiet")
    assert ran.status == status, ran.flat
    schema = json.loads((SCHEMAS / f"ledger-{words[0]}.schema.json").read_text("utf-8"))
    jsonschema.validate(ran.json, schema)
    return ran.json


def sql(statement: str) -> list[Any]:
    import sqlite3  # noqa: PLC0415 - for the schema's own view of things

    database = sqlite3.connect(LEDGER)
    try:
        found = database.execute(statement).fetchall()
        database.commit()
    finally:
        database.close()
    return found


@pytest.mark.slow
def test_a_stored_decision_is_made_again_byte_for_byte() -> None:
    screened()
    found = as_json("replay", "--all")
    assert {one["result"] for one in found if not one["reasons"]} == {"same"}
    assert {tuple(one["reasons"]) for one in found} <= {(), ("never-kept",)}
    assert as_json("replay", CANDIDATE)[0]["result"] == "same"
    number = next(str(one["decision"]) for one in found if one["result"] == "same")
    assert [one["decision"] for one in as_json("replay", "--decision", number)] == [int(number)]
    assert "same" in ledger("replay", "--all").flat


def test_what_people_have_said_since_does_not_change_a_decision_that_is_made_again() -> None:
    screened(CANDIDATE)
    opened = open_ledger(LEDGER, SystemClock())
    (study,) = {row[0] for row in sql("SELECT study FROM decisions")}
    opened.decline(patients=[CANDIDATE], study=study, who="n", role="coordinator")
    opened.close()
    assert as_json("replay", "--all")[0]["result"] == "same"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("study_hash = 'x'", "study-changed"),
        ("mappings = 'x'", "mappings-changed"),
        ("engine = '0'", "engine-changed"),
        ("facts_schema = 0", "facts-schema-changed"),
        ("body = NULL", "values-forgotten"),
        ("input = NULL", "values-forgotten"),
        ("engine = NULL", "recorded-by-older-ledger"),
        ("study = 'nowhere'", "study-not-found"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_made_again_says_exactly_why(change: str, reason: str) -> None:
    screened(CANDIDATE)
    sql("INSERT INTO retention VALUES (1)")
    sql(f"UPDATE decisions SET {change}")
    (one,) = as_json("replay", "--all", status=1)
    assert (one["result"], one["reasons"]) == ("cannot", [reason])
    assert ledger("replay", "--all").status == 1


def test_a_decision_that_comes_out_differently_is_told() -> None:
    screened(CANDIDATE)
    sql("INSERT INTO retention VALUES (1)")
    sql("UPDATE decisions SET declined = 1")
    (one,) = as_json("replay", "--all", status=1)
    assert one["result"] == "differs"
    assert "comes out differently" in ledger("replay", "--all").flat


def test_replay_wants_to_know_which() -> None:
    screened(CANDIDATE)
    assert ledger("replay").status == 2
    assert ledger("replay", CANDIDATE, "--all").status == 2
    assert "No such decision" in ledger("replay", "nobody").flat


def test_status_counts_and_names_the_place() -> None:
    screened()
    found = as_json("status")
    assert (found["engine"], found["place"], found["subjects"]) == (
        "sqlite", str(LEDGER), {"proposed": 1},
    )  # fmt: skip
    assert found["outbox"]["waiting"] == 0
    assert found["outbox"]["done"] == found["decisions"] == 2
    assert "outbox: done" in ledger("status").flat


def test_without_a_ledger_each_says_so() -> None:
    for words in (("status",), ("replay", "--all"), ("purge",), ("forget", "p")):
        ran = ledger(*words)
        assert ran.status == 2
        assert "there is no ledger yet" in ran.flat
    assert not LEDGER.exists()


@pytest.mark.slow
def test_a_purge_says_first_and_does_with_yes_what_is_over() -> None:
    screened(CANDIDATE)
    assert as_json("purge")["decisions"] == 0
    old = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    sql("INSERT INTO retention VALUES (1)")
    sql(f"UPDATE decisions SET recorded_at = {old}")
    sql(f"UPDATE inputs SET kept_at = {old}")
    sql("DELETE FROM retention")
    dry = as_json("purge")
    assert (dry["dry_run"], dry["decisions"], dry["inputs"]) == (True, 1, 1)
    assert "Dry run" in ledger("purge").flat
    assert as_json("purge", "--yes")["decisions"] == 1
    assert sql("SELECT count(*) FROM decisions WHERE body IS NOT NULL") == [(0,)]
    assert sql("SELECT count(*) FROM inputs") == [(0,)]
    assert as_json("purge", "--yes")["decisions"] == 0
    assert as_json("replay", "--all", status=1)[0]["reasons"] == ["values-forgotten"]


@pytest.mark.parametrize("days", ["0", "soon", "99999999"])
def test_days_that_are_none_are_refused(days: str) -> None:
    screened(CANDIDATE)
    assert ledger("purge", FHIR_ADAPTER_RETENTION_DAYS=days).status == 2


def test_forgetting_says_first_and_leaves_no_id_anywhere(tmp_path: Path) -> None:
    screened(CANDIDATE)
    ids = tmp_path / "ids.txt"
    ids.write_text(f"{CANDIDATE}\n\n")
    dry = as_json("forget", "--patient-file", str(ids))
    assert dry["dry_run"]
    assert dry["rows"]["decisions"] == 1
    as_json("forget", "--patient-file", str(ids), "--yes")
    for table in ("decisions", "inputs", "subjects", "audit", "outbox", "declines", "answers"):
        column = sql(f"SELECT patient FROM {table}")
        assert CANDIDATE not in {row[0] for row in column}, table
    report = as_json("access-report", CANDIDATE)
    assert report["forgotten"]
    assert {one["what"] for one in report["accesses"]} == {"write", "forget"}
    assert "forget" in ledger("access-report", CANDIDATE).flat
    assert CANDIDATE not in {row[0] for row in sql("SELECT patient FROM audit")}


def test_the_same_proposal_is_found_again_after_forgetting() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server)
        as_json("forget", CANDIDATE, "--yes")
        again = screen(server, "--json").json["written"]
    assert [one["created"] for one in again] == [[]]


def test_forgetting_wants_the_key_of_the_site() -> None:
    screened(CANDIDATE)
    ran = run("ledger", "forget", CANDIDATE, "--yes")
    assert ran.status == 2
    assert "FHIR_ADAPTER_SITE_KEY" in ran.flat


def test_ids_come_from_stdin_where_a_dash_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner  # noqa: PLC0415 - stdin of one command

    from fhir_adapter.cli import app  # noqa: PLC0415 - likewise

    screened(CANDIDATE)
    found = CliRunner().invoke(app, ["ledger", "access-report", "-", "--json"], input=CANDIDATE)
    assert json.loads(found.stdout)["with_values"] == 1
    assert CliRunner().invoke(app, ["ledger", "access-report", "-"], input="\n").exit_code == 2


def test_patients_named_twice_or_not_at_all_are_a_mistake() -> None:
    screened(CANDIDATE)
    assert ledger("forget").status == 2
    assert ledger("forget", "p", "--patient-file", "x").status == 2
    assert ledger("forget", "--patient-file", "nowhere").status == 2


def all_of(server: RunningSandbox, kind: str = "ResearchSubject") -> list[Any]:
    return list(server._interactions.store.all_of(kind))


def doubled(server: RunningSandbox) -> Any:
    """Our proposal, and a twin of it that another writer made: with a Provenance of its own."""
    screen(server)
    store = server._interactions.store
    (ours,) = all_of(server)
    twin = {name: value for name, value in ours.items() if name not in ("id", "meta")}
    made = store.create(twin)
    (proof, *_) = [
        one
        for one in all_of(server, "Provenance")
        if any("ResearchSubject" in target["reference"] for target in one["target"])
    ]
    other = {name: value for name, value in proof.items() if name not in ("id", "meta")}
    store.create({**other, "target": [{"reference": f"ResearchSubject/{made.resource['id']}"}]})
    return ours


@pytest.mark.slow
def test_a_duplicate_is_shown_first_and_then_mended() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        ours = doubled(server)
        words = ("repair", "--server", server.base_url)
        (dry,) = as_json(*words)["duplicates"]
        assert dry["kept"] == f"ResearchSubject/{ours['id']}"
        assert len(all_of(server)) == 2
        assert "Dry run" in ledger(*words).flat
        as_json(*words, "--write")
        standing = [one for one in all_of(server) if one["status"] == "candidate"]
        assert [one["id"] for one in standing] == [ours["id"]]
        assert as_json(*words, "--write")["duplicates"] == []
        assert "No duplicates" in ledger(*words).flat
        assert "nothing; all stands already" in screen(server).flat


@pytest.mark.slow
def test_two_that_a_person_touched_are_told_and_left_alone() -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        doubled(server)
        store = server._interactions.store
        for one in all_of(server):
            store.put({**one, "status": "screening"})
        before = all_of(server)
        words = ("repair", "--server", server.base_url, "--write")
        (told,) = as_json(*words, status=1)["duplicates"]
        assert {one["act"] for one in told["done"]} == {"tell"}
        assert all_of(server) == before
        assert ledger(*words).status == 1


def test_repair_with_write_wants_a_basis(tmp_path: Path) -> None:
    with sandbox(patients=(CANDIDATE,)) as server:
        screen(server)
        site = next(Path(fhir_adapter.__file__).parents[1].glob("mappings/sites/demo.toml"))
        bare = site.read_text("utf-8").split("\n[[basis]]")[0]
        (tmp_path / "bare.toml").write_text(bare)
        ran = ledger("repair", "--server", server.base_url, "--write", "--site", "bare.toml")
    assert ran.status == 2
    assert "basis-missing" in ran.flat
