"""Fact tables of many patients, made fast: a few thousand normalised ones, over and over.

Every copy has numbers of its own, and its values are jittered by a seeded factor of 0.80 to 1.20
(value and reported value alike; the text as sent stays). Files lie as in a store: one folder per
bucket, in the columns and the order of a load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import eight_patients
from fhir_adapter import bootstrap
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.hashing import digest
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse import rows as rows_module
from fhir_adapter.warehouse.arrow import Table, pa, pq
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.rows import Rows, codings, dictionary_of, dictionary_tables
from fhir_adapter.warehouse.writing import write_tables

STUDY = str(Path(__file__).parent / "eight")
BASE = 2000
"""Patients that are really generated and normalised."""
_DECIMALS = ("value_lo", "value_hi", "reported_lo", "reported_hi")


def eight() -> bootstrap.Bench:
    """The study of benchmarks/eight at the demo site."""
    return bootstrap.bench(Settings(study=STUDY))


def records(n: int, bench: bootstrap.Bench, *, seed: int = 1) -> Iterator[PatientRecord]:
    """Generated patients, normalised."""
    for bundle in eight_patients.bundles(n, seed=seed):
        source = BundleRecord(bundle)
        (patient,) = source.patients()
        yield bench.screener.normalise(source.pull(patient, bench.screener.needs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Where made tables lie."""

    folder: Path
    patients: int
    per_bucket: int

    @property
    def buckets(self) -> range:
        """Bucket numbers."""
        return range(-(-self.patients // self.per_bucket))

    def numbers(self, bucket: int) -> range:
        """Patient numbers of a bucket."""
        first = bucket * self.per_bucket
        return range(first + 1, min(first + self.per_bucket, self.patients) + 1)

    def path(self, bucket: int, table: str) -> str:
        """One Parquet file."""
        return str(self.folder / f"bucket={bucket:04d}" / f"{table}.parquet")

    def dictionary(self) -> Dictionary:
        """The numbers of codes."""
        found = (
            pq.read_table(self.folder / f"{one}.parquet") for one in ("concept", "coding_systems")
        )
        return dictionary_of(*found)

    def make(self) -> None:
        """Write all files; those of an earlier call with the same sizes are kept."""
        done = self.folder / "made.json"
        sizes = {
            "patients": self.patients,
            "per_bucket": self.per_bucket,
            "base": BASE,
            "of": _version(),
        }
        if done.exists() and json.loads(done.read_text()) == sizes:
            return
        dictionary, base = Dictionary(), BASE
        rows = Rows(dictionary)
        for number, record in enumerate(records(base, eight()), 1):
            rows.add(number, record)
        tables = rows.tables()
        write_tables(self.folder, dictionary_tables(dictionary))
        dice = np.random.default_rng(1)
        for bucket in self.buckets:
            made = _bucket(tables, self.numbers(bucket), base, dice)
            write_tables(self.folder / f"bucket={bucket:04d}", made)
        done.write_text(json.dumps(sizes))


def _version() -> str:
    made_by = (Path(eight_patients.__file__), Path(__file__), Path(rows_module.__file__))
    return digest(*(path.read_text("utf-8") for path in made_by))


def _bucket(base: Any, numbers: range, size: int, dice: np.random.Generator) -> dict[str, Table]:
    """The tables of some patients: whole copies of the base, and a part of one at the end."""
    made: dict[str, Table] = {}
    for name in ("fact", "retrieved"):
        copies = [
            _renumbered(base[name], first - 1, min(size, numbers.stop - first))
            for first in range(numbers.start, numbers.stop, size)
        ]
        made[name] = pa.concat_tables(copies).combine_chunks()
    made["fact"] = _jittered(made["fact"], dice)
    return {**made, "fact_concept": codings(made["fact"])}


def _renumbered(table: Table, offset: int, size: int) -> Table:
    numbers = table["patient"].to_numpy()
    kept = table.slice(0, int(np.searchsorted(numbers, size, side="right")))
    moved = pa.array(kept["patient"].to_numpy() + offset, pa.int32())
    return kept.set_column(kept.column_names.index("patient"), "patient", moved)


def _jittered(fact: Table, dice: np.random.Generator) -> Table:
    factors = dice.integers(80, 121, len(fact))
    for name in _DECIMALS:
        column = fact[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        validity, values = column.buffers()
        halves = np.frombuffer(values, np.int64).reshape(-1, 2)[: len(column)].copy()
        halves[:, 0] = halves[:, 0] * factors // 100  # small positive numbers: the low half is all
        jittered = pa.Array.from_buffers(
            column.type, len(column), [validity, pa.py_buffer(halves.tobytes())]
        )
        fact = fact.set_column(fact.column_names.index(name), fact.field(name), jittered)
    return fact
