"""Loads that break off, meet one another, or find no room: the tables before stay the store."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from warehouse.test_one_answer import lab, patient

from fhir_adapter.errors import InternalFault, StoreBusy, StoreFault, StoreMissing, StoreUnwritable
from fhir_adapter.population import load
from fhir_adapter.pull.export import FolderExport
from fhir_adapter.warehouse import loading, work
from fhir_adapter.warehouse.lock import locked
from fhir_adapter.warehouse.pieces import read_pieces

from cohort_store import finished, loaded, opened, stored, tables, write_lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    write_lines(made / "Patient.ndjson", [patient(str(n)) for n in range(20)])
    write_lines(made / "Observation.ndjson", [lab(str(n), f"o{n}") for n in range(20)])
    return made


@pytest.fixture
def other(tmp_path: Path) -> Path:
    made = tmp_path / "other"
    write_lines(made / "Patient.ndjson", [patient(f"x{n}") for n in range(9)])
    return made


@pytest.fixture
def store(tmp_path: Path, folder: Path) -> Path:
    loaded(folder, tmp_path / "store", bucket_bytes=1000)
    return tmp_path / "store"


def test_two_loads_at_once_the_second_is_refused(store, other):
    with locked(store), pytest.raises(StoreBusy, match="another load"):
        loaded(other, store)
    assert len(stored(store)) == 20
    loaded(other, store)
    assert len(stored(store)) == 9


@pytest.mark.parametrize("steps", range(1, 9, 2))
def test_a_load_that_breaks_off_anywhere_leaves_the_tables_before(store, other, steps):
    running = load(FolderExport(other), tables(store, bucket_bytes=300).loading())
    for _ in range(steps):
        next(running)
    running.close()
    assert len(stored(store)) == 20
    assert not (store / "loading").exists()
    loaded(other, store)
    assert len(stored(store)) == 9


def test_a_reader_keeps_what_it_opened_while_a_load_switches(store, other):
    reader = opened(store)
    loaded(other, store)
    assert sum(len(list(reader.records(one))) for one in reader.buckets) == 20


def test_what_nobody_reads_any_more_is_swept_by_the_next_load(store, other):
    loaded(other, store)
    loaded(other, store)
    loads = {path.name for path in store.glob("*/load=*")}
    assert loads == {"load=0002", "load=0003"}


@pytest.mark.parametrize(
    ("number", "error", "why"),
    [
        (errno.ENOSPC, StoreUnwritable, "the disk is full"),
        (errno.EACCES, StoreUnwritable, "may not be written"),
        (errno.EIO, InternalFault, "failed with OSError"),
    ],
)
@pytest.mark.parametrize("room", ["_collect", "write_tables"])
def test_no_room_switches_nothing(store, other, monkeypatch, number, error, why, room):
    def full(*_):
        raise OSError(number, os.strerror(number), "/Jane_Doe")

    monkeypatch.setattr(work, room, full)
    with pytest.raises(error, match=why) as caught:
        loaded(other, store)
    assert "Jane" not in str(caught.value)
    monkeypatch.undo()
    assert len(stored(store)) == 20


def test_no_room_while_splitting_switches_nothing(store, other, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "x")

    monkeypatch.setattr(loading.PieceWriter, "flush", full)
    with pytest.raises(StoreUnwritable, match="disk is full"):
        loaded(other, store)
    assert len(stored(store)) == 20


@pytest.mark.parametrize("room", ["write_tables", "write_pieces", "write_manifest"])
def test_no_room_at_the_end_switches_nothing(store, other, monkeypatch, room):
    """The tables of patients stand already; what names them does not."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/Jane_Doe")

    monkeypatch.setattr(loading, room, full)
    with pytest.raises(StoreUnwritable, match="disk is full") as caught:
        loaded(other, store)
    assert "Jane" not in str(caught.value)
    monkeypatch.undo()
    assert len(stored(store)) == 20


def test_a_store_in_the_place_of_a_file_is_named(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match="is a file"):
        loaded(folder, tmp_path / "file")


def test_a_foreign_error_is_named_without_its_text(store, other, monkeypatch):
    def broken(*_):
        raise ValueError("Jane Doe has 7.5 mg/dL")

    monkeypatch.setattr(work, "codings", broken)
    with pytest.raises(InternalFault, match="failed with ValueError") as caught:
        loaded(other, store)
    assert "Jane" not in str(caught.value)


def test_broken_pieces_are_named(store, other):
    bucket = opened(store).path(opened(store).buckets[0], "fact").parent
    (bucket / "pieces").write_bytes(b"\x05\x00\x00\x00\x05\x00\x00\x00rubbish")
    with pytest.raises(StoreMissing, match="broken"):
        list(read_pieces(bucket / "pieces"))
    write_lines(other / "Patient.ndjson", [patient(str(n)) for n in range(20)])
    with pytest.raises(StoreFault):
        loaded(other, store, update=True)


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bytes(tmp_path, folder):
    for workers in (1, 2):
        loaded(folder, tmp_path / str(workers), bucket_bytes=1000, workers=workers)
    files = [path for path in (tmp_path / "1").rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        twin = tmp_path / "2" / path.relative_to(tmp_path / "1")
        assert path.read_bytes() == twin.read_bytes(), path.name


@pytest.mark.slow
def test_an_error_in_a_worker_process_comes_through_whole(store, folder):
    path = opened(store).path(opened(store).buckets[0], "fact").parent / "pieces"
    path.write_bytes(b"rubbish!rubbish")
    write_lines(folder / "Procedure.ndjson", [])  # a new type: all is read again
    with pytest.raises(StoreMissing, match="broken") as caught:
        loaded(folder, store, update=True, workers=2)
    assert caught.value.remedy == "Load the whole export again."


def test_progress_is_told_step_by_step(tmp_path, folder):
    source = FolderExport(folder)
    counts, steps = finished(load(source, tables(tmp_path / "s", bucket_bytes=1000).loading()))
    assert list(dict.fromkeys(step.name for step in steps)) == ["split", "normalise", "write"]
    assert all(step.done <= step.total for step in steps)
    assert counts.patients == 20


def test_the_manifest_names_files_without_names_of_people(tmp_path, folder):
    (folder / "Jane_Doe.json").write_text('{"resourceType": "Patient", "id": "j"}')
    loaded(folder, tmp_path / "s")
    files = opened(tmp_path / "s").manifest.files
    assert sorted(files) == ["Observation.ndjson", "Patient.ndjson", "file 1"]
    assert all(len(found) == 64 for found in files.values())
