"""A store of fact tables, for readers.

::

    STORE/manifest.json                       which load each bucket and the dictionary are of
    STORE/shared/load=0003/concept.parquet, coding_systems.parquet, state.json, companions
    STORE/bucket=0007/load=0003/fact.parquet, fact_concept.parquet, patient.parquet, alias.parquet,
                            retrieved.parquet; pieces and keys, for the next load
    STORE/download/                           files of a server's export that is not loaded yet

A reader holds the manifest that it opened; a load writes new folders beside and switches the
manifest, and folders of the load before stay until the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.warehouse.arrow import Table, pa, pq
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.manifest import Manifest, broken_file, hold_basis, read_manifest
from fhir_adapter.warehouse.rows import Tables, dictionary_of, records_of

OF_DICTIONARY = ("concept", "coding_systems")
OF_BUCKET = ("fact", "fact_concept", "patient", "alias", "retrieved")
_OF_RECORD = ("fact", "patient", "alias", "retrieved")


class Store:
    """The tables that the manifest named when the store was opened."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path, *, site: str, facts_basis: str) -> Store:
        """StoreMissing where there is none, StoreOutdated where it was made otherwise."""
        manifest = read_manifest(folder)
        hold_basis(manifest, site, facts_basis)
        return cls(folder, manifest)

    @property
    def buckets(self) -> tuple[int, ...]:
        """Numbers of the buckets in which anything is."""
        found = enumerate(self.manifest.buckets)
        return tuple(number for number, bucket in found if bucket.load)

    def paths(self, table: str) -> tuple[Path, ...]:
        """The Parquet files of a table, in bucket order."""
        if table in OF_DICTIONARY:
            return (shared_folder(self.folder, self.manifest.load) / f"{table}.parquet",)
        return tuple(self.path(number, table) for number in self.buckets)

    def path(self, bucket: int, table: str) -> Path:
        """The Parquet file of a table in one bucket."""
        load = self.manifest.buckets[bucket].load
        return bucket_folder(self.folder, bucket, load) / f"{table}.parquet"

    def table(self, bucket: int, table: str, patients: Iterable[int] | None = None) -> Table:
        """A table of one bucket as Arrow; all of it, or the rows of some patients."""
        return _read(self.path(bucket, table), None if patients is None else sorted(patients))

    @cached_property
    def dictionary(self) -> Dictionary:
        """Numbers of codes and of combinations of code systems."""
        concept, systems = (_read(self.paths(name)[0]) for name in OF_DICTIONARY)
        return dictionary_of(concept, systems)

    def numbers(self, bucket: int) -> list[int]:
        """Patient numbers of one bucket, in order."""
        found: list[int] = _read(self.path(bucket, "patient"), columns=["patient"])[
            "patient"
        ].to_pylist()
        return sorted(found)

    def records(
        self, bucket: int, patients: Iterable[int] | None = None
    ) -> Iterator[PatientRecord]:
        """Records of one bucket, by patient number; all, or those numbered."""
        for _, record in self.numbered(bucket, patients):
            yield record

    def numbered(
        self, bucket: int, patients: Iterable[int] | None = None
    ) -> Iterator[tuple[int, PatientRecord]]:
        """The same with the patient numbers."""
        only = None if patients is None else sorted(patients)
        tables: Tables = {name: self.table(bucket, name, only) for name in _OF_RECORD}
        numbers = tables["patient"]["patient"].to_pylist()
        yield from zip(numbers, records_of(tables, self.dictionary), strict=True)


def bucket_folder(store: Path, bucket: int, load: int) -> Path:
    """Where the tables of a bucket lie."""
    return store / f"bucket={bucket:04d}" / f"load={load:04d}"


def shared_folder(store: Path, load: int) -> Path:
    """Where the dictionary and what is true of the whole export lie."""
    return store / "shared" / f"load={load:04d}"


def _read(path: Path, patients: list[int] | None = None, columns: list[str] | None = None) -> Table:
    filters = None if patients is None else [("patient", "in", patients)]
    try:
        return pq.read_table(path, columns=columns, filters=filters, partitioning=None)
    except (OSError, pa.ArrowException):
        raise broken_file() from None
