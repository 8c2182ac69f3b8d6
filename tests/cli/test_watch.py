"""`watch`: a server's changes as they come, dry and written, and what cannot be watched."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.bootstrap.profiles import keep
from fhir_adapter.bootstrap.watch_loop import Loop
from fhir_adapter.bootstrap.writing import WritingDesk
from fhir_adapter.errors import ServerThrottled
from fhir_adapter.model.server import ServerProfile, Verdict
from fhir_adapter.sandbox import RunningSandbox

import fault_proxy as faults
from cli.cli_for_tests import AS_OF, run, sandbox
from fault_proxy import FaultProxy
from plain_server import plain_server

FEW = ("42-all-answered", "09-no-pregnancy-test", "17-seventeen")
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def once(server: RunningSandbox, *more: str, **env: str) -> Any:
    args = ("watch", "--server", server.base_url, "--once", "--as-of", AS_OF, "--json", *more)
    return run(*args, **{**KEY, **env})


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_everybody_is_read_once_and_then_only_who_has_changed() -> None:
    with sandbox(patients=FEW) as server:
        store = server._interactions.store
        dry = once(server).json
        assert (dry["worked"], dry["dry-run"]) == ({"sweep": 3}, True)
        assert dry["changes"]["sweep"] > 0
        assert "ResearchSubject" not in store.types()
        first = once(server, "--write").json
        assert first["worked"] == {"sweep": 3}
        assert first["changes"] == dry["changes"]
        proposed = store.types().count("ResearchSubject")
        assert once(server, "--write").json["worked"] == {}, "our own writing marks nobody"
        condition = {"resourceType": "Condition", "subject": {"reference": f"Patient/{FEW[0]}"}}
        store.create({**condition, "code": {"text": "something new"}})
        again = once(server, "--write").json
        assert again["worked"] == {"poll": 1}
        assert again["changes"] == {}
        assert store.types().count("ResearchSubject") == proposed


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_watch_with_a_new_ledger_makes_nothing_again_that_a_person_deleted() -> None:
    with sandbox(patients=FEW) as server:
        store = server._interactions.store
        once(server, "--write", FHIR_ADAPTER_LEDGER="first.sqlite")
        proposed = tuple(store.all_of("ResearchSubject"))
        assert proposed
        for one in proposed:
            store.delete("ResearchSubject", one["id"])
        again = once(server, "--write", FHIR_ADAPTER_LEDGER="new.sqlite").json
        assert again["worked"] == {"sweep": 3}
        assert "ResearchSubject" not in store.types()


@pytest.mark.usefixtures("with_small_study")
def test_a_death_takes_the_proposal_back() -> None:
    with sandbox(patients=FEW) as server:
        store = server._interactions.store
        once(server, "--write")
        (subject,) = [
            one for one in store.all_of("ResearchSubject") if FEW[0] in str(one["individual"])
        ]
        patient = store.get("Patient", FEW[0]).resource or {}
        store.put({**patient, "deceasedDateTime": "2026-11-22T06:00:00+08:00"})
        found = once(server, "--write").json
        assert found["worked"] == {"poll": 1}
        assert found["changes"]["poll"] > 0
        kept = store.get("ResearchSubject", str(subject["id"])).resource or {}
        assert kept["status"] == "ineligible"


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_person_s_status_is_left_alone_whatever_changes() -> None:
    with sandbox(patients=FEW) as server:
        store = server._interactions.store
        once(server, "--write")
        subject = next(one for one in store.all_of("ResearchSubject"))
        theirs = store.put({**subject, "status": "screening", "_status": None}).resource
        patient = store.get("Patient", FEW[0]).resource or {}
        store.put({**patient, "deceasedBoolean": True})
        once(server, "--write")
        assert store.get("ResearchSubject", str(subject["id"])).resource == theirs


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize("census", ["auto", "off", "file:ids", "group:g"])
def test_where_nothing_can_be_polled_a_census_is_read(census: str) -> None:
    Path("ids").write_text(f"{FEW[0]}\n\n")
    with sandbox(patients=FEW, no_last_updated=True) as server:
        members = [{"entity": {"reference": f"Patient/{one}"}} for one in FEW[:2]]
        group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True}
        server._interactions.store.put({**group, "member": members})
        ran = once(server, FHIR_ADAPTER_CENSUS=census)
        assert ran.json["polled"] == []
        assert set(ran.json["not-polled"].values()) == {"not-supported"}
        assert ran.status == 0
        assert sum(ran.json["worked"].values()) == 3, "the sweep reads everybody"


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("CENSUS", "everybody", 2),
        ("CENSUS", "file:nowhere", 3),
        ("POLL_SECONDS", "often", 2),
        ("OVERLAP_SECONDS", "10", 2),
        ("WATCH_WORKERS", "0", 2),
    ],
)
def test_settings_that_do_not_serve_are_named(name: str, value: str, status: int) -> None:
    with sandbox(patients=FEW, no_last_updated=True) as server:
        ran = once(server, **{f"FHIR_ADAPTER_{name}": value})
    assert ran.status == status


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_server_that_is_not_there_is_said() -> None:
    ran = run("watch", "--server", "http://127.0.0.1:9", "--once", **KEY)
    assert ran.status == 3
    assert "server-unreachable" in ran.err


LOGIN = (
    "The credentials are missing, wrong or expired: check the token or password settings. Where a "
    "fresh SMART token is refused, check the issuer and audience that this server expects."
)


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_server_that_lets_nobody_in_is_named_with_the_remedy_and_without_a_promise() -> None:
    with plain_server(401) as server:
        people = run("watch", "--server", server.base_url, "--once", **KEY)
        told = run("watch", "--server", server.base_url, "--once", "--json", **KEY).json
    assert people.status == 3
    assert LOGIN in people.flat
    assert "Patient (unauthorized)" in people.flat
    assert "Their changes are found by" not in people.flat
    assert "poll:Patient (server-refused)" in people.flat
    assert told["remedies"] == [LOGIN]
    assert told["not-reached"]["Patient"] == "unauthorized"
    assert told["not-whole"]["sweep"] == "server-refused"
    assert (told["polled"], told["not-polled"]) == ([], {})


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize(
    ("check", "unpolled"),
    [("search.Condition._lastUpdated", {"Condition"}), ("query.last-updated", None)],
)
def test_what_the_doctor_saw_fail_is_not_polled_but_found_by_a_census(
    tmp_path: Path, check: str, unpolled: set[str] | None
) -> None:
    seen = ServerProfile(verdicts={check: Verdict.FAILS}, software="fhir-adapter sandbox")
    with sandbox(patients=FEW) as server:
        keep(seen, server.base_url, tmp_path / "profile.json")
        args = ("watch", "--server", server.base_url, "--once", "--as-of", AS_OF)
        env = {"FHIR_ADAPTER_RECORD_PROFILE": str(tmp_path / "profile.json"), **KEY}
        people = run(*args, **env)
        told = run(*args, "--json", **env).json
    assert set(told["not-polled"].values()) == {"seen-to-fail"}
    assert set(told["not-polled"]) == unpolled or (unpolled is None and told["polled"] == [])
    assert "Their changes are found by: census, sweep." in people.flat


@pytest.mark.slow
def test_it_runs_until_it_is_stopped(small_study: str) -> None:
    with sandbox(patients=FEW) as server:
        command = [
            *(sys.executable, "-m", "fhir_adapter", "watch", "--server", server.base_url),
            *("--study", small_study, "--as-of", AS_OF, "--json", "--log-json"),
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_env()
        ) as process:
            assert process.stderr is not None
            worked = 0
            for line in process.stderr:
                worked += '"patient-worked"' in line
                assert "09-no-pregnancy-test" not in line
                if worked == 3:
                    break
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
    assert '"sweep": 3' in out


def _env() -> dict[str, str]:
    return {**os.environ, **KEY, "FHIR_ADAPTER_POLL_SECONDS": "1"}


@pytest.mark.usefixtures("with_small_study")
def test_people_read_what_was_done_and_what_cannot_be_polled() -> None:
    with sandbox(patients=FEW, forbids_types=frozenset({"Condition"})) as server:
        args = ("watch", "--server", server.base_url, "--once", "--as-of", AS_OF)
        ran = run(*args, **KEY)
    assert ran.status == 0
    assert "Cannot be polled: Condition (forbidden). Their changes are found by: census" in ran.flat
    assert "Patients read again" in ran.out
    assert "Dry run, nothing written. Add --write." in ran.flat


@pytest.mark.usefixtures("with_small_study")
def test_what_failed_is_counted_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise ServerThrottled("too many", remedy="Wait.")

    monkeypatch.setattr(WritingDesk, "send", gone)
    with sandbox(patients=FEW) as server:
        args = ("watch", "--server", server.base_url, "--once", "--as-of", AS_OF, "--write")
        ran = run(*args, **KEY)
        assert ran.status == 3
        assert "server-throttled: 3" in ran.flat
        assert "3 patients wait" in ran.flat


@pytest.mark.usefixtures("with_small_study")
def test_a_signal_ends_it_after_the_patients_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Loop._look

    def interrupted(self: Loop) -> Any:
        found = look(self)
        os.kill(os.getpid(), signal.SIGTERM)  # its handler is in place as long as it loops
        return found

    monkeypatch.setattr(Loop, "_look", interrupted)
    with sandbox(patients=FEW) as server:
        ran = run("watch", "--server", server.base_url, "--as-of", AS_OF, "--json", **KEY)
    assert ran.status == 0
    assert ran.json["errors"] == {}


def test_a_moment_that_moves_with_each_patient_is_refused(small_study: str) -> None:
    with sandbox(patients=FEW) as server:
        args = ("watch", "--server", server.base_url, "--once", "--study", small_study)
        ran = run(*args, "--as-of", "last-fact", **KEY)
    assert (ran.status, "one moment" in ran.err) == (2, True)


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_what_did_not_come_for_once_is_read_again_and_said() -> None:
    """A single 500 on one type may hide an opt-out: nobody is proposed, and nobody forgotten."""

    def consents(asked: faults.Request) -> bool:
        return asked.path.startswith("/Consent") and faults.is_search(asked)

    env = {"FHIR_ADAPTER_RECORD_BATCH": "never"}
    with sandbox(patients=FEW[:1]) as server, FaultProxy(server.base_url) as proxy:
        args = ("watch", "--server", proxy.url, "--once", "--as-of", AS_OF, "--json", "--write")
        proxy.arm(faults.status(500), on=consents)
        first = run(*args, **KEY, **env)
        assert (first.status, first.json["errors"]) == (3, {"server-broken": 1}), first.flat
        assert "ResearchSubject" not in server._interactions.store.types()
        proxy.disarm()
        with sqlite3.connect(".fhir-adapter/ledger.sqlite") as ledger:  # the time has come
            ledger.execute("UPDATE changed SET due_at = 0")
        again = run(*args, **KEY, **env)
        assert (again.status, again.json["worked"]) == (0, {"sweep": 1}), again.flat
        assert server._interactions.store.types().count("ResearchSubject") == 1


@pytest.mark.parametrize("said", ["2:30", "24:00", "night", "02:30:00"])
def test_an_hour_that_is_none_is_refused_by_name(said: str) -> None:
    with sandbox(patients=FEW[:1]) as server:
        ran = once(server, FHIR_ADAPTER_SWEEP_AT=said)
    assert (ran.status, "sweep_at is no time of day" in ran.flat) == (2, True), ran.flat
