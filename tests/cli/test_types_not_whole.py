"""A type that a server refuses opens criteria of everybody: it is said once, with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_adapter.cli import runs

import fault_proxy as faults
from cli.cli_for_tests import AS_OF, run, sandbox
from fault_proxy import FaultProxy

FEW = ("42-all-answered", "09-no-pregnancy-test")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize("command", ["screen", "worklist"])
def test_a_refused_type_is_named_once_with_the_scope_that_it_wants(command: str) -> None:
    with sandbox(patients=FEW, forbids_types=frozenset({"Condition"})) as server:
        asked = (command, "--server", server.base_url, "--as-of", AS_OF)
        people = run(*asked)
        told = run(*asked, "--json")
    assert people.flat.count("Condition (forbidden) for everybody") == 1
    assert (
        "Have system/Condition.rs (SMART v2) or system/Condition.read (v1) granted." in people.flat
    )
    assert "Condition (forbidden) for everybody" in told.err, "--json keeps stdout clean only"
    assert told.json["types-not-whole"] == [
        {
            "type": "Condition",
            "why-not": "forbidden",
            "patients": 2,
            "remedy": "Have system/Condition.rs (SMART v2) or system/Condition.read (v1) granted.",
        }
    ]
    assert not any(one in people.err for one in FEW)


@pytest.mark.usefixtures("with_small_study")
def test_a_server_that_gives_all_is_not_talked_about() -> None:
    with sandbox(patients=FEW) as server:
        ran = run("screen", "--server", server.base_url, "--as-of", AS_OF, "--json")
    assert ran.json["types-not-whole"] == []
    assert "Not retrieved whole" not in ran.err


@pytest.mark.usefixtures("with_small_study")
def test_a_type_that_is_not_there_is_for_the_doctor() -> None:
    with sandbox(patients=FEW, refuses_types=frozenset({"Condition"})) as server:
        ran = run("screen", "--server", server.base_url, "--as-of", AS_OF)
    assert "Condition (not-supported) for everybody" in ran.flat
    assert "`fhir-adapter server doctor` says what the server can do." in ran.flat


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize(("many", "said"), [(2, True), (3, False)])
def test_of_many_patients_the_way_by_an_export_is_named(
    many: int, monkeypatch: pytest.MonkeyPatch, *, said: bool
) -> None:
    monkeypatch.setattr(runs, "MANY", many)
    with sandbox(patients=FEW) as server:
        ran = run("screen", "--server", server.base_url, "--as-of", AS_OF, "--json")
    assert ran.status == 0
    assert ("2 patients are pulled one after another" in ran.err) is said
    assert ("cohort load --server" in ran.err) is said


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["auto", "never"])
def test_an_opt_out_that_the_server_empties_is_never_a_proposal(batch: str) -> None:
    """The answer is that of a patient without data: only a canary tells."""
    is_consent = faults.of_type("Consent", faults.is_search)
    emptied = faults.emptied_parameter("patient")
    with sandbox() as server, FaultProxy(server.base_url) as proxy:
        proxy.arm(emptied, on=is_consent)
        in_batch = faults.in_batch(emptied, on=faults.of_type("Consent"))
        proxy.arm(in_batch, on=faults.is_batch)
        asked = ("screen", "--server", proxy.url, "--as-of", AS_OF, "--json", "--write")
        env = {"FHIR_ADAPTER_SITE_KEY": "a secret", "FHIR_ADAPTER_RECORD_BATCH": batch}
        ran = run(*asked, "--patient", "36-opted-out", **env)
        (found,) = ran.json["decisions"]
        assert "opted-out" in found["unproved"]
        assert [one["created"] for one in ran.json["written"]] == [[]]
        assert ran.json["types-not-whole"][0]["why-not"] == "parameter-emptied"
        assert "as if nobody had any" in ran.err
