"""`watch` and `ledger repair` on a server of R5: as on one of R4, and written in R5."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.sandbox import RunningSandbox

import fault_proxy as faults
import r5_forms
from cli.cli_for_tests import AS_OF, run
from fault_proxy import FaultProxy
from r5_server import put, r5_sandbox

CANDIDATE = "42-all-answered"
FEW = (CANDIDATE, "09-no-pregnancy-test", "17-seventeen")
KEY = {"FHIR_ADAPTER_SITE_KEY": "a secret of the site"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def some(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with r5_sandbox(monkeypatch, patients=FEW) as running:
        yield running


def once(base: str, *more: str, status: int = 0, **env: str) -> Any:
    asked = ("watch", "--server", base, "--once", "--as-of", AS_OF, "--json", *more)
    ran = run(*asked, **{**KEY, **env})
    assert ran.status == status, ran.flat
    return ran.json


def subjects(running: RunningSandbox) -> list[Any]:
    return [
        one
        for one in running._interactions.store.all_of("ResearchSubject")
        if CANDIDATE in one["subject"]["reference"]
    ]


def state(subject: Any) -> str:
    (entry,) = subject["progress"]
    return str(entry["subjectState"]["coding"][0]["code"])


def test_who_has_changed_is_read_again_and_our_own_writes_mark_nobody(some: RunningSandbox) -> None:
    store = some._interactions.store
    assert once(some.base_url, "--write")["worked"] == {"sweep": 3}
    (proposed,) = subjects(some)
    assert (proposed["status"], state(proposed)) == ("active", "candidate")
    assert once(some.base_url, "--write")["worked"] == {}
    patient = store.get("Patient", CANDIDATE).resource or {}
    store.put({**patient, "deceasedDateTime": "2026-11-22T06:00:00+08:00"})
    found = once(some.base_url, "--write")
    assert (found["worked"], found["changes"].keys()) == ({"poll": 1}, {"poll"})
    (taken_back,) = subjects(some)
    assert state(taken_back) == "ineligible"
    r5_forms.valid(taken_back)


def test_a_person_who_moves_it_on_marks_the_patient_and_is_never_overwritten(
    some: RunningSandbox,
) -> None:
    store = some._interactions.store
    once(some.base_url, "--write")
    (proposed,) = subjects(some)
    entry = proposed["progress"][0]
    coding = {**entry["subjectState"]["coding"][0], "code": "screening"}
    theirs = {**proposed, "progress": [{"subjectState": {"coding": [coding]}}]}
    store.put(theirs)
    patient = store.get("Patient", CANDIDATE).resource or {}
    store.put({**patient, "deceasedDateTime": "2026-11-22T06:00:00+08:00"})
    found = once(some.base_url, "--write")
    assert found["worked"] == {"poll": 1}
    (kept,) = subjects(some)
    assert kept["progress"] == theirs["progress"]


def test_the_census_asks_for_stays_in_the_words_of_r5(some: RunningSandbox) -> None:
    """A search for a code that a server does not know may be one that finds nobody."""
    with FaultProxy(some.base_url) as proxy:
        once(proxy.url, FHIR_ADAPTER_CENSUS="encounters")
        params = [dict(one.params) for one in proxy.seen]
    asked = [one["status"] for one in params if "status" in one]
    assert asked == ["planned,in-progress,on-hold"]


def test_a_server_that_said_nothing_yet_is_asked_before_it_is_polled(some: RunningSandbox) -> None:
    """R5 that comes before its /metadata is refused by type, and never read as R4."""
    with FaultProxy(some.base_url) as proxy:
        proxy.arm(faults.no_metadata(500), on=faults.is_metadata)
        found = once(proxy.url, "--write", status=3)
        assert "ResearchSubject" not in some._interactions.store.types()
        assert found["changes"] == {}


def test_duplicates_are_mended(some: RunningSandbox) -> None:
    store = some._interactions.store
    once(some.base_url, "--write")
    (ours,) = subjects(some)
    put(some._interactions, {**ours, "id": "another"})
    words = ("ledger", "repair", "--server", some.base_url, "--json")
    (dry,) = run(*words, **KEY).json["duplicates"]
    assert dry["kept"] == f"ResearchSubject/{ours['id']}"
    assert run(*words, "--write", **KEY).json["duplicates"]
    standing = [one["id"] for one in subjects(some) if state(one) == "candidate"]
    assert standing == [ours["id"]]
    assert run(*words, "--write", **KEY).json["duplicates"] == []
    for one in store.all_of("ResearchSubject"):
        r5_forms.valid(one)
