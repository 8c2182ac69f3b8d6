"""A store as readers see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_adapter.errors import StoreMissing, StoreOutdated
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.manifest import Bucket, Manifest, write_manifest
from fhir_adapter.warehouse.rows import Rows, codings, dictionary_tables
from fhir_adapter.warehouse.store import Store, bucket_folder, shared_folder
from fhir_adapter.warehouse.writing import write_tables

from facts_for_tests import INR, bilirubin, lab, record

ONE, OTHER = record(bilirubin("5", "2026-11-20")), record(lab(INR, "2", "2026-11-19"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    known = Dictionary()
    for bucket, records in ((0, [ONE, OTHER]), (2, [OTHER])):
        rows = Rows(known)
        for number, one in enumerate(records):
            rows.add(bucket + 1 + 4 * number, one)
        tables = rows.tables()
        tables["fact_concept"] = codings(tables["fact"])
        write_tables(bucket_folder(tmp_path, bucket, 1), tables)
    write_tables(shared_folder(tmp_path, 1), dictionary_tables(known))
    filled, empty = Bucket(load=1, patients=1, facts=1, last_number=1), Bucket(load=0)
    write_manifest(
        tmp_path,
        Manifest(facts_basis="h", site="s", load=1, buckets=(filled, empty, filled, empty)),
    )
    return tmp_path


def test_records_are_read_back_bucket_by_bucket(folder):
    store = Store.open(folder, site="s", facts_basis="h")
    assert store.buckets == (0, 2)
    assert [list(store.records(bucket)) for bucket in store.buckets] == [[ONE, OTHER], [OTHER]]


def test_one_record_is_read_alone(folder):
    store = Store.open(folder, site="s", facts_basis="h")
    assert list(store.records(0, [5])) == [OTHER]


def test_every_table_has_a_file_per_filled_bucket(folder):
    store = Store.open(folder, site="s", facts_basis="h")
    assert [len(store.paths(name)) for name in ("fact", "fact_concept", "concept")] == [2, 2, 1]
    assert all(path.is_file() for path in store.paths("retrieved"))


def test_a_folder_without_tables_is_named(tmp_path):
    with pytest.raises(StoreMissing, match="no fact tables"):
        Store.open(tmp_path, site="s", facts_basis="h")


@pytest.mark.parametrize(
    ("field", "value", "why", "remedy"),
    [
        ("facts_schema", 0, "fact columns have schema 0", "Load the whole export again"),
        ("tables_schema", 99, "tables have schema 99", "Load the whole export again"),
        ("site", "elsewhere", "of site 'elsewhere'", "--site elsewhere"),
        ("facts_basis", "other", "another unit table", "Load the whole export again"),
    ],
)
def test_tables_written_otherwise_are_refused_with_a_remedy(folder, field, value, why, remedy):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(StoreOutdated, match=why) as caught:
        Store.open(folder, site="s", facts_basis="h")
    assert remedy in caught.value.remedy


def test_a_manifest_of_a_later_version_is_refused_by_its_number_not_by_its_fields(folder):
    (folder / "manifest.json").write_text('{"facts_schema": 7, "tables_schema": 7}')
    with pytest.raises(StoreOutdated, match="schema 7"):
        Store.open(folder, site="s", facts_basis="h")


def test_a_broken_manifest_is_named(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(StoreMissing, match="cannot be read"):
        Store.open(folder, site="s", facts_basis="h")


def test_a_file_that_is_gone_is_named(folder):
    store = Store.open(folder, site="s", facts_basis="h")
    store.path(0, "fact").unlink()
    with pytest.raises(StoreMissing, match="gone or broken"):
        list(store.records(0))
