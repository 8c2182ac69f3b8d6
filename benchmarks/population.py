"""Fact tables of any number of patients, written straight into a store: what SQL runs on.

A few thousand generated patients are normalised once; the others are those again under numbers of
their own, so that every share of the cohort stays what it was. Nothing here is timed: ingest has a
benchmark of its own (ingest.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_adapter.bootstrap.cohorts import EVERY_NEED
from fhir_adapter.bootstrap.judging import whole_types
from fhir_adapter.facts import Normaliser
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.sandbox import generator
from fhir_adapter.terminology import facts_basis
from fhir_adapter.warehouse.arrow import pa, pc
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.manifest import Bucket, Manifest, write_manifest
from fhir_adapter.warehouse.rows import Rows, codings, dictionary_tables
from fhir_adapter.warehouse.store import bucket_folder, shared_folder
from fhir_adapter.warehouse.writing import write_tables

BASE = 2000
"""Different patients."""
PER_BUCKET = 10_000


def records(mappings: Mappings, number: int = BASE) -> Iterator[PatientRecord]:
    """The different patients, normalised."""
    normalise, whole = Normaliser(mappings), whole_types(mappings)
    for chart in generator.patients(number):
        source = BundleRecord(chart.bundle(), complete_types=whole)
        yield normalise(source.pull(next(iter(source.patients())), EVERY_NEED))


def write_store(mappings: Mappings, folder: Path, patients: int) -> int:
    """A store of about so many patients (whole repetitions of the base); how many it holds."""
    dictionary = Dictionary()
    base = Rows(dictionary)
    for number, record in enumerate(records(mappings, min(BASE, patients))):
        base.add(number, record)
    tables = base.tables()
    once = tables["patient"].num_rows
    times = max(min(PER_BUCKET, patients) // once, 1)
    buckets = -(-patients // (once * times))
    for bucket in range(buckets):
        made = {name: _again(table, times, bucket, buckets, once) for name, table in tables.items()}
        made["fact_concept"] = codings(made["fact"])
        write_tables(bucket_folder(folder, bucket, 1), made)
    write_tables(shared_folder(folder, 1), dictionary_tables(dictionary))
    facts = tables["fact"].num_rows * times
    each = Bucket(load=1, patients=once * times, facts=facts, last_number=once * times)
    write_manifest(
        folder,
        Manifest(
            facts_basis=facts_basis(mappings),
            site=mappings.site.name,
            load=1,
            buckets=(each,) * buckets,
        ),
    )
    return once * times * buckets


def _again(table: Any, times: int, bucket: int, buckets: int, once: int) -> Any:
    """The table ``times`` times, patients numbered as a load numbers them: no number twice."""
    copies: list[Any] = []
    at = table.column_names.index("patient")
    for copy in range(times):
        place = pc.add(table["patient"], pa.scalar(copy * once, pa.int32()))
        number = pc.add(pc.multiply(place, pa.scalar(buckets, pa.int32())), bucket + 1)
        copies.append(table.set_column(at, "patient", pc.cast(number, pa.int32())))
    return pa.concat_tables(copies)
