"""A store loaded from a server's ``$export`` is the store of the same data in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from warehouse.test_one_answer import lab, medication, merged_into, of, order, patient

from fhir_adapter.bootstrap.bulk import EXPORTED
from fhir_adapter.errors import (
    ServerBroken,
    SettingInvalid,
    StoreBusy,
    StoreMissing,
)
from fhir_adapter.sandbox import Habits, Interactions, RunningSandbox, save
from fhir_adapter.sandbox.exports import Exports
from fhir_adapter.warehouse.lock import locked

from cohort_store import loaded, opened, stored
from export_for_tests import from_server, touched

TEN = [str(number) for number in range(10)]
RESOURCES: list[Any] = [
    *(patient(one) for one in TEN),
    *(lab(one, f"o{one}") for one in TEN),
    merged_into("old", "3"),
    lab("old", "before-the-merge", "9"),
    medication("m"),
    order("1", "r", "m"),
    of("2", "Procedure", "p"),
]


class Hospital:
    """A sandbox, and the same records as a folder."""

    def __init__(self, base: Path, **habits: Any) -> None:
        self.base = base
        self.seconds = 0
        self.server = Interactions(now=self.now, habits=Habits(**habits))
        for one in RESOURCES:
            self.server.store.load(one)

    def now(self) -> str:
        self.seconds += 1
        return f"2026-11-22T07:{self.seconds // 60:02d}:{self.seconds % 60:02d}.000Z"

    @property
    def url(self) -> str:
        return self.server.base

    def folder(self, name: str) -> Path:
        save(self.server.store, self.base / name)
        return touched(self.base / name)


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    yield from running(tmp_path)


def running(base: Path, **habits: Any) -> Iterator[Hospital]:
    made = Hospital(base, export_polls=0, **habits)
    with RunningSandbox(made.server):
        yield made


def test_the_store_of_an_export_is_the_store_of_the_folder(hospital, tmp_path):
    counts, exported, _ = from_server(hospital.url, tmp_path / "s")
    folder = loaded(hospital.folder("in"), tmp_path / "f")
    assert stored(tmp_path / "s") == stored(tmp_path / "f")
    assert (counts.patients, counts.resources) == (folder.patients, folder.resources)
    assert counts.issues == folder.issues
    assert counts.not_retrieved == {}
    assert exported.files == 5
    assert all(row.complete for one in stored(tmp_path / "s").values() for row in one.retrieved)


def test_the_tables_are_the_same_bytes_but_for_the_manifest_and_the_order_of_codes(
    hospital, tmp_path
):
    from_server(hospital.url, tmp_path / "s")
    loaded(hospital.folder("in"), tmp_path / "f")
    for name in ("patient", "alias", "retrieved"):
        (one,), (two,) = opened(tmp_path / "s").paths(name), opened(tmp_path / "f").paths(name)
        assert one.read_bytes() == two.read_bytes(), name
    manifest = opened(tmp_path / "s").manifest
    assert all(len(found) == 64 for found in manifest.files.values())
    assert "0001.Patient.ndjson" in manifest.files


def test_files_may_be_split_anywhere(tmp_path):
    for hospital in running(tmp_path, export_lines=3):
        _, exported, _ = from_server(hospital.url, tmp_path / "s")
        assert exported.files == 11
        loaded(hospital.folder("in"), tmp_path / "f")
        assert stored(tmp_path / "s") == stored(tmp_path / "f")


def test_nothing_is_left_on_the_server_or_among_the_downloads(hospital, tmp_path):
    from_server(hospital.url, tmp_path / "s")
    assert not hospital.server.exports._jobs
    assert [one.name for one in (tmp_path / "s" / "download").iterdir()] == ["lock"]


def test_an_increment_asks_for_what_came_since_and_honours_deletions(hospital, tmp_path):
    store = hospital.server.store
    from_server(hospital.url, tmp_path / "s")
    first = opened(tmp_path / "s").manifest.transaction_time
    store.put({**lab("4", "o4", "99")})
    store.put(patient("new"))
    store.delete("Observation", "o5")
    store.delete("Patient", "6")
    store.delete("Observation", "o6")
    counts, _, _ = from_server(hospital.url, tmp_path / "s", update=True)
    assert counts.patients == len(stored(tmp_path / "s"))
    assert "6" not in stored(tmp_path / "s")
    assert "new" in stored(tmp_path / "s")
    loaded(hospital.folder("now"), tmp_path / "f")
    assert stored(tmp_path / "s") == stored(tmp_path / "f")
    assert opened(tmp_path / "s").manifest.transaction_time > first
    counts, _, _ = from_server(hospital.url, tmp_path / "s", update=True)
    assert counts.buckets == 0


def test_an_increment_needs_a_store_of_the_same_export(hospital, tmp_path):
    with pytest.raises(StoreMissing):
        from_server(hospital.url, tmp_path / "s", update=True)
    loaded(hospital.folder("in"), tmp_path / "f")
    with pytest.raises(SettingInvalid, match="not of an export of this server"):
        from_server(hospital.url, tmp_path / "f", update=True)
    from_server(hospital.url, tmp_path / "p", patients=True)
    with pytest.raises(SettingInvalid, match="with or without --patients"):
        from_server(hospital.url, tmp_path / "p", update=True)


def test_a_type_that_may_not_be_seen_is_not_retrieved_and_never_taken_for_absent(tmp_path):
    for hospital in running(tmp_path, forbids_types=frozenset({"Observation"})):
        counts, _, _ = from_server(hospital.url, tmp_path / "s")
        assert counts.not_retrieved == {"Observation": "forbidden"}
        assert counts.issues == {"export-forbidden": 1}
        for record in stored(tmp_path / "s").values():
            rows = {row.kind.value: row for row in record.retrieved}
            assert not rows["observation"].complete
            assert rows["observation"].why_not == "forbidden"
            assert rows["condition"].complete


def test_a_type_that_the_server_does_not_know_is_not_asked_for(tmp_path):
    for hospital in running(tmp_path, refuses_types=frozenset({"Consent", "Composition"})):
        counts, _, _ = from_server(hospital.url, tmp_path / "s")
        assert counts.not_retrieved == {"Composition": "not-supported", "Consent": "not-supported"}
        rows = {row.kind.value: row for row in stored(tmp_path / "s")["1"].retrieved}
        assert (rows["consent"].complete, rows["consent"].why_not) == (False, "not-supported")


def test_without_a_capability_statement_it_says_what_an_export_would_lack(tmp_path):
    for hospital in running(tmp_path, no_metadata=True):
        with pytest.raises(ServerBroken) as caught:
            from_server(hospital.url, tmp_path / "s")
    assert "whether this server exports" in caught.value.message
    assert "`screen --server`" in caught.value.remedy
    assert "R4 (4.0.1) endpoint" not in str(caught.value)


def test_a_type_may_be_left_out_and_is_then_open(hospital, tmp_path):
    counts, _, _ = from_server(hospital.url, tmp_path / "s", without=("Procedure",))
    assert counts.not_retrieved == {"Procedure": "not-asked"}
    rows = {row.kind.value: row for row in stored(tmp_path / "s")["1"].retrieved}
    assert not rows["procedure"].complete
    for name in ("Patient", "Procedur"):
        with pytest.raises(SettingInvalid, match="cannot be left out"):
            from_server(hospital.url, tmp_path / "s", without=(name,))


def test_a_group_is_its_members(hospital, tmp_path):
    members = [{"entity": {"reference": f"Patient/{one}"}} for one in ("1", "2")]
    hospital.server.store.load({"resourceType": "Group", "id": "g", "member": members})
    from_server(hospital.url, tmp_path / "s", group="g")
    found = stored(tmp_path / "s")
    assert sorted(found) == ["1", "2"]
    # the Medication is in no patient's compartment: what refers to it is not whole
    assert any(row.why_not == "reference-missing" for row in found["1"].retrieved)
    with pytest.raises(SettingInvalid, match="members who joined"):
        from_server(hospital.url, tmp_path / "s", group="g", update=True)
    with pytest.raises(SettingInvalid, match="two exports"):
        from_server(hospital.url, tmp_path / "s", group="g", patients=True)


def test_two_runs_into_one_folder_the_second_is_refused(hospital, tmp_path):
    (tmp_path / "d").mkdir()
    with locked(tmp_path / "d"), pytest.raises(StoreBusy):
        from_server(hospital.url, tmp_path / "s", download=tmp_path / "d")


def test_a_folder_with_other_files_is_no_folder_for_downloads(hospital, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("x")
    with pytest.raises(SettingInvalid, match="holds other files"):
        from_server(hospital.url, tmp_path / "s", download=tmp_path / "d")
    assert (tmp_path / "d" / "thesis.txt").exists()


def test_what_is_asked_for_is_all_that_the_normaliser_reads(hospital, tmp_path, monkeypatch):
    asked: list[Any] = []
    begin = Exports.begin

    def noting(self, scope, params, request):
        asked.append(dict(params))
        return begin(self, scope, params, request)

    monkeypatch.setattr(Exports, "begin", noting)
    from_server(hospital.url, tmp_path / "s")
    assert asked[0]["_type"].split(",") == list(EXPORTED)
    assert asked[0]["_outputFormat"] == "application/fhir+ndjson"
    assert "_since" not in asked[0]
    from_server(hospital.url, tmp_path / "s", update=True)
    assert asked[1]["_since"].startswith("2026-11-22T07:")
