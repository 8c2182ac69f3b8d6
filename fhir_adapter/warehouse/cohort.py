"""Questions to a store: one statement over every bucket, one bucket in memory at a time.

Patient numbers are unique over the whole store: an engine may as well be given several buckets'
files at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.ports import Moment, Statement
from fhir_adapter.warehouse.answers import BucketAnswers
from fhir_adapter.warehouse.arrow import Table, pa, pc
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.duckdb import Engine as DuckDB
from fhir_adapter.warehouse.engine import Engine
from fhir_adapter.warehouse.rows import Rows, codings
from fhir_adapter.warehouse.store import Store

_READ = ("fact", "fact_concept", "retrieved")


class CohortStore:
    """CohortTables over Parquet, with the engine given; with DuckDB where none is."""

    def __init__(
        self, store: Store, *, engine: Engine | None = None, memory_limit: str = "3GB"
    ) -> None:
        self._store = store
        self._engine = engine or DuckDB(memory_limit=memory_limit)

    @property
    def buckets(self) -> tuple[int, ...]:
        """Numbers of the buckets in which somebody is."""
        return self._store.buckets

    @property
    def everyone(self) -> int:
        """How many people the store says it holds."""
        return self._store.manifest.patients

    @property
    def issues(self) -> Mapping[str, int]:
        """Data-quality code to people whose record has it."""
        found: Counter[str] = Counter()
        for bucket in self.buckets:
            for codes in self._store.table(bucket, "patient")["issues"].to_pylist():
                found.update(codes)
        return found

    def patients(self, bucket: int) -> Mapping[int, str]:
        """Number -> logical id of everybody in a bucket."""
        table = self._store.table(bucket, "patient")
        numbers, ids = table["patient"].to_pylist(), table["id"].to_pylist()
        return dict(zip(numbers, ids, strict=True))

    def named(self, bucket: int, ids: frozenset[str]) -> tuple[int, ...]:
        """Numbers of who has one of these ids, or ever had, in order."""
        if not ids:
            return ()
        wanted = pa.array(sorted(ids))
        found = set[int]()
        for name in ("patient", "alias"):
            table = self._store.table(bucket, name)
            found |= set(table.filter(pc.is_in(table["id"], wanted))["patient"].to_pylist())
        return tuple(sorted(found))

    def records(self, bucket: int, patients: Iterable[int] | None) -> Iterator[PatientRecord]:
        """Records of one bucket, by patient number; all, or those numbered."""
        return self._store.records(bucket, patients)

    def judge(
        self,
        bucket: int,
        statement: Statement,
        moments: Iterable[Moment],
        instead: Mapping[int, PatientRecord],
    ) -> BucketAnswers:
        """The statement over one bucket; ``instead``: records in which people have since spoken."""
        every = list(moments)
        plain = [moment for moment in every if moment.patient not in instead]
        engine = self._engine
        engine.files({name: [_address(self._store.path(bucket, name))] for name in _READ})
        engine.moments(plain)
        found = [engine.run(statement, self._store.dictionary)]
        if instead:
            others = [moment for moment in every if moment.patient in instead]
            found.append(self._spoken(statement, others, instead))
        table = pa.concat_tables(found, promote_options="permissive").sort_by("patient")
        return BucketAnswers(table, self.patients(bucket), statement.criteria)

    def _spoken(
        self,
        statement: Statement,
        moments: Sequence[Moment],
        records: Mapping[int, PatientRecord],
    ) -> Table:
        known = self._store.dictionary
        dictionary = Dictionary(known.codes, known.systems)
        rows = Rows(dictionary)
        for number in sorted(records):
            rows.add(number, records[number])
        tables = rows.tables()
        engine = DuckDB()  # a few people, in memory: no cluster is asked for them
        engine.tables({**tables, "fact_concept": codings(tables["fact"])})
        engine.moments(moments)
        try:
            return engine.run(statement, dictionary)
        finally:
            engine.close()


def _address(path: Path) -> str:
    """As an engine reads it that may have another working folder."""
    return str(path.absolute())
