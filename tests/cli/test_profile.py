"""The doctor's findings kept in a file, and a server asked and written to as they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.bootstrap.clients import record_client, write_client
from fhir_adapter.bootstrap.profiles import record_profile, write_profile
from fhir_adapter.bootstrap.records import server_records
from fhir_adapter.bootstrap.writing import choice_of
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.settings import Connection, Settings
from fhir_adapter.writeback import Strategy

import fault_proxy as faults
from cli.cli_for_tests import ONE, run, sandbox
from fault_proxy import FaultProxy

pytestmark = pytest.mark.usefixtures("with_small_study")


_FOUND: dict[str, str] = {}
"""Profiles by what the server is like: one examination of each serves all tests."""


@contextmanager
def examined(tmp_path: Path, *more: str, **habits: Any) -> Iterator[Settings]:
    """A server with habits, looked at by the doctor, and settings that name what it found."""
    file, key = tmp_path / "profile.json", f"{more} {habits}"
    with sandbox(patients=(ONE,), **habits) as server:
        if key in _FOUND:
            file.write_text(_FOUND[key], "utf-8")
        else:
            asked = ("--profile", str(file), "--patient", ONE, *more)
            run("server", "doctor", server.base_url, *asked)
            assert json.loads(file.read_text("utf-8"))["server"] == server.base_url
        settings = Settings(record_server=server.base_url, record=Connection(profile=str(file)))
        changed(settings, server=server.base_url)
        _FOUND[key] = file.read_text("utf-8")
        yield settings


def changed(settings: Settings, **elements: Any) -> None:
    file = Path(settings.record.profile)
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **elements}), "utf-8")


@pytest.mark.slow
def test_what_was_found_is_kept_and_read_again(tmp_path: Path) -> None:
    with examined(tmp_path, "--write") as settings:
        found = record_profile(settings)
    assert found is not None
    assert found.works("bundle.search", "query.post", "write.conditional-create")
    assert found.software == "fhir-adapter sandbox"
    kept = Path(settings.record.profile).read_text("utf-8")
    assert ONE not in kept
    assert list(tmp_path.iterdir()) == [Path(settings.record.profile)]


def test_without_a_file_there_is_no_profile() -> None:
    assert record_profile(Settings(record_server="https://ehr.example")) is None
    assert write_profile(Settings(write_server="https://ehr.example")) is None
    assert record_profile(Settings(record=Connection(profile="not read without a server"))) is None


@pytest.mark.slow
def test_a_page_is_as_large_as_the_server_makes_it(tmp_path: Path) -> None:
    with examined(tmp_path, max_page=3) as settings:
        assert server_records(settings).page_size == 3
        assert server_records(Settings(record_server=settings.record_server)).page_size == 500


@pytest.mark.slow
@pytest.mark.parametrize(
    ("habits", "setting", "batches"),
    [
        ({}, "auto", True),
        ({"no_bundles": True}, "auto", False),
        ({"no_bundles": True}, "always", True),
        ({}, "never", False),
    ],
)
def test_a_setting_stands_over_the_profile(
    tmp_path: Path, habits: dict[str, Any], setting: str, *, batches: bool
) -> None:
    with examined(tmp_path, "--write", **habits) as settings:
        given = Connection(profile=settings.record.profile, batch=setting)
        asked = Settings(record_server=settings.record_server, record=given)
        assert server_records(asked).batches() is batches


@pytest.mark.slow
def test_a_batch_that_was_seen_to_work_is_used_whatever_the_server_says(tmp_path: Path) -> None:
    with examined(tmp_path, "--write", no_metadata=True) as settings:
        assert server_records(settings).batches()
        assert not server_records(Settings(record_server=settings.record_server)).batches()


def test_what_was_seen_to_fail_is_not_asked_for(tmp_path: Path) -> None:
    with examined(tmp_path) as settings:
        failing = {
            "query.post": "fails",
            "query.include": "fails",
            "search.Condition.patient": "fails",
        }
        changed(settings, checks=failing)
        records = server_records(settings)
        assert records.refuses("Condition")
        assert not records.refuses("Observation")
        assert records.includes("MedicationRequest") is None
        with FaultProxy(settings.record_server) as proxy:
            changed(settings, server=proxy.url)
            via = Settings(record_server=proxy.url, record=settings.record)
            record_client(via).search("Observation", {"patient": ONE})
            assert {one.method for one in proxy.seen} == {"GET"}


@pytest.mark.parametrize(
    ("habits", "strategy"),
    [
        ({}, Strategy.CONDITIONAL_CREATE),
        ({"no_conditional_create": True}, Strategy.SEARCH_THEN_CREATE),
        ({"refuses_types": frozenset(("ResearchSubject",))}, Strategy.STAND_IN),
    ],
)
@pytest.mark.slow
def test_proposals_go_the_way_that_was_seen_to_work(
    tmp_path: Path, habits: dict[str, Any], strategy: Strategy
) -> None:
    with examined(tmp_path, "--write", **habits) as settings:
        choice = choice_of(settings, write_client(settings))
    assert choice.strategy is strategy
    assert "the doctor saw" in choice.reason


@pytest.mark.slow
def test_a_server_without_versions_is_not_asked_for_them(tmp_path: Path) -> None:
    with examined(tmp_path, "--write", no_versions=True, no_metadata=True) as settings:
        assert not choice_of(settings, write_client(settings)).if_match
        plain = Settings(record_server=settings.record_server)
        assert choice_of(plain, write_client(plain)).if_match


@pytest.mark.slow
def test_a_screening_uses_it(tmp_path: Path) -> None:
    with examined(tmp_path, "--write", no_metadata=True) as settings:
        env = {"FHIR_ADAPTER_RECORD_PROFILE": settings.record.profile}
        with FaultProxy(settings.record_server) as proxy:
            changed(settings, server=proxy.url)
            ran = run("screen", "--server", proxy.url, "--json", **env)
            sent = [one for one in proxy.seen if faults.is_batch(one)]
    assert (ran.status, len(ran.json["decisions"])) == (0, 1)
    assert sent


# --------------------------------------------------------------------------- another server


@pytest.mark.slow
def test_a_profile_of_another_address_is_refused(tmp_path: Path) -> None:
    with examined(tmp_path) as settings:
        env = {"FHIR_ADAPTER_RECORD_PROFILE": settings.record.profile}
        ran = run("screen", "--server", f"{settings.record_server}/other", **env)
        again = run("server", "doctor", settings.record_server, "--patient", ONE, **env)
    assert ran.status == 2
    assert "(profile in [server.record]) is of another server" in ran.flat
    assert "server doctor --write --profile FILE" in ran.flat
    assert again.status != 2


@pytest.mark.slow
def test_a_profile_of_another_version_is_refused_at_every_patient(tmp_path: Path) -> None:
    with examined(tmp_path) as settings:
        changed(settings, software="fhir-adapter sandbox 0.1")
        records = server_records(settings)
        for _ in range(2):
            with pytest.raises(SettingInvalid, match="another version") as caught:
                records.pull(ONE, [])
        with pytest.raises(SettingInvalid, match="another version"):
            choice_of(settings, write_client(settings))
    assert "doctor" in caught.value.remedy


@pytest.mark.slow
def test_a_server_that_does_not_say_what_it_is_is_taken(tmp_path: Path) -> None:
    with examined(tmp_path, no_metadata=True) as settings:
        changed(settings, software="fhir-adapter sandbox 0.1")
        assert server_records(settings).pull(ONE, []).resources
        assert choice_of(settings, write_client(settings))


OTHER_FORMAT = json.dumps(
    {"format": 2, "server": "https://x.example", "software": "", "largest-page": 0, "checks": {}}
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "is no profile"),
        ('{"format": 1}', "is no profile"),
        (OTHER_FORMAT, "another format"),
    ],
)
def test_a_file_that_is_no_profile_is_named_by_its_setting(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "p.json"
    if text is not None:
        file.write_text(text, "utf-8")
    given = Settings(write_server="https://ehr.example", write=Connection(profile=str(file)))
    with pytest.raises(SettingInvalid, match=f"write_profile.*{said}|{said}.*write_profile"):
        write_profile(given)
