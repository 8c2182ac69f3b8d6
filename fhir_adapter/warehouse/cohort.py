"""Questions to a store: all studies of a pass over everybody, some buckets at a time.

Buckets are small, so that an increment touches little; planning a statement costs seconds whatever
it is put to. So buckets are judged together, in parts of a few million facts, each by an engine of
its own in its own thread: patients are independent, and memory is bounded by the parts at work.
Patient numbers are unique over the whole store.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.ports import Asked, Instead, Statements
from fhir_adapter.warehouse.answers import PartAnswers
from fhir_adapter.warehouse.arrow import Table, pa, pc
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.duckdb import Engine as DuckDB
from fhir_adapter.warehouse.engine import Engine
from fhir_adapter.warehouse.rows import Rows, codings
from fhir_adapter.warehouse.store import Store

_READ = ("fact", "fact_concept", "retrieved")
MEMORY = 3072
"""MiB of all engines together."""
PART_FACTS = 5_000_000
"""About how many facts are judged together."""
WORTH_SHARING = 500_000
"""Facts from which on another core saves more than planning the statement again costs."""


class CohortStore:
    """CohortTables over Parquet, with the engine given; with DuckDB where none is.

    ``workers`` DuckDB engines judge at the same time, one part each; ``memory`` is what they may
    use together, in MiB. An engine that is given judges one part at a time.
    """

    def __init__(
        self,
        store: Store,
        *,
        engine: Engine | None = None,
        workers: int = 1,
        memory: int = MEMORY,
    ) -> None:
        self._store = store
        self._given = engine
        self._workers = max(workers, 1) if engine is None else 1
        self._memory = memory
        self._parts = _parts(store, self._workers)
        self._engines = threading.local()

    @property
    def parts(self) -> tuple[int, ...]:
        """Numbers of the parts: some buckets each, judged together."""
        return tuple(range(len(self._parts)))

    @property
    def everyone(self) -> int:
        """How many people the store says it holds."""
        return self._store.manifest.patients

    @property
    def issues(self) -> Mapping[str, int]:
        """Data-quality code to people whose record has it."""
        found: Counter[str] = Counter()
        for bucket in self._store.buckets:
            for codes in self._store.table(bucket, "patient")["issues"].to_pylist():
                found.update(codes)
        return found

    def patients(self, part: int) -> Mapping[int, str]:
        """Number -> logical id of everybody in a part."""
        found: dict[int, str] = {}
        for bucket in self._parts[part]:
            table = self._store.table(bucket, "patient")
            numbers, ids = table["patient"].to_pylist(), table["id"].to_pylist()
            found.update(zip(numbers, ids, strict=True))
        return found

    def ids(self, part: int) -> Iterator[str]:
        """Every id in a part, of those too who were merged away."""
        for bucket in self._parts[part]:
            for name in ("patient", "alias"):
                yield from self._store.table(bucket, name)["id"].to_pylist()

    def named(self, part: int, ids: frozenset[str]) -> tuple[int, ...]:
        """Numbers of who has one of these ids, or ever had, in order."""
        if not ids:
            return ()
        wanted = pa.array(sorted(ids))
        found = set[int]()
        for bucket in self._parts[part]:
            for name in ("patient", "alias"):
                table = self._store.table(bucket, name)
                found |= set(table.filter(pc.is_in(table["id"], wanted))["patient"].to_pylist())
        return tuple(sorted(found))

    def records(
        self, part: int, patients: Iterable[int] | None
    ) -> Iterator[tuple[int, PatientRecord]]:
        """Number and record of everybody in a part, or of those numbered."""
        only = None if patients is None else frozenset(patients)
        for bucket in self._parts[part]:
            if only is None or only & set(self._store.numbers(bucket)):
                yield from self._store.numbered(bucket, only)

    def judge(
        self, statements: Statements, asked: Iterable[Asked]
    ) -> Iterator[tuple[Asked, tuple[PartAnswers, ...]]]:
        """The answers for each part that is asked about, in their order; one for each study."""
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[tuple[Asked, Future[tuple[PartAnswers, ...]]]] = deque()
            try:
                for one in asked:
                    waiting.append((one, pool.submit(self._judged, statements, one)))
                    if len(waiting) > self._workers:
                        yield _next(waiting)
                while waiting:
                    yield _next(waiting)
            finally:
                pool.shutdown(cancel_futures=True)

    def _judged(self, statements: Statements, asked: Asked) -> tuple[PartAnswers, ...]:
        engine, buckets = self._engine(), self._parts[asked.part]
        engine.files({n: [_address(self._store.path(b, n)) for b in buckets] for n in _READ})
        engine.moments(asked.moments)
        found = engine.run(statements, self._store.dictionary)
        for study, instead in asked.instead.items():
            spoken = self._spoken(statements.only(study), instead)
            found[study] = _replaced(found[study], spoken, instead.records)
        ids = self.patients(asked.part)
        return tuple(
            PartAnswers(table.sort_by("patient"), ids, criteria)
            for table, criteria in zip(found, statements.criteria, strict=True)
        )

    def _spoken(self, statements: Statements, instead: Instead) -> Table:
        """What is said of people whose records have changed by what they answered."""
        known = self._store.dictionary
        dictionary = Dictionary(known.codes, known.systems)
        rows = Rows(dictionary)
        for number in sorted(instead.records):
            rows.add(number, instead.records[number])
        tables = rows.tables()
        engine = DuckDB()  # a few people, in memory: no cluster is asked for them
        engine.tables({**tables, "fact_concept": codings(tables["fact"])})
        engine.moments(instead.moments)
        try:
            return engine.run(statements, dictionary)[0]
        finally:
            engine.close()

    def _engine(self) -> Engine:
        """The engine that was given, or the one of this thread."""
        if self._given is not None:
            return self._given
        found: Engine | None = getattr(self._engines, "one", None)
        if found is None:
            each = self._memory // self._workers
            threads = 1 if self._workers > 1 else 0
            found = self._engines.one = DuckDB(memory_limit=f"{each}MiB", threads=threads)
        return found


def _replaced(table: Table, spoken: Table, people: Iterable[int]) -> Table:
    """The answers of these people in place of those from stored facts."""
    numbers = pa.array(sorted(people), table["patient"].type)
    kept = table.filter(pc.invert(pc.is_in(table["patient"], numbers)))
    return pa.concat_tables([kept, spoken], promote_options="permissive")


def _next(
    waiting: deque[tuple[Asked, Future[tuple[PartAnswers, ...]]]],
) -> tuple[Asked, tuple[PartAnswers, ...]]:
    asked, answers = waiting.popleft()
    return asked, answers.result()


def _parts(store: Store, workers: int) -> tuple[tuple[int, ...], ...]:
    """Neighbouring buckets with about equally many facts together; as many for every worker."""
    facts = {bucket: store.manifest.buckets[bucket].facts for bucket in store.buckets}
    total = sum(facts.values())
    shared = workers if total >= WORTH_SHARING else 1
    wanted = -(-total // (PART_FACTS * shared)) * shared or 1
    made: list[list[int]] = []
    held = 0
    for bucket, number in facts.items():
        if not made or held >= total * len(made) / wanted:
            made.append([])
        made[-1].append(bucket)
        held += number
    return tuple(tuple(part) for part in made)


def _address(path: Path) -> str:
    """As an engine reads it that may have another working folder."""
    return str(path.absolute())
