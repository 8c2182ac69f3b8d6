"""Both lanes against cql-execution: the same patients, the same eight criteria, answers compared.

PATIENTS (300) generated ones with faults (``eight_patients``). The yardstick of the run is
cql-execution on parsed resources, one PatientSource for all, CQL translated beforehand.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import by_hand, cql_oracle, eight_patients
from benchmarks.cql_oracle import Said, Verdicts
from benchmarks.eight_tables import eight
from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.cohorts import cores, statement_of
from fhir_adapter.evaluate.record import judge
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.model.dates import local_date
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.truth import Truth
from fhir_adapter.ports import Moment
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.duckdb import Engine
from fhir_adapter.warehouse.rows import Rows, codings
from fhir_adapter.warehouse.writing import write_tables

CQL_AS_OF = "2026-11-22T23:59:59.999+08:00"
"""The end of AS_OF in the demo site's zone."""
_SAID = {Truth.TRUE: True, Truth.FALSE: False}
_ROUNDS = 3
COPIES = 40


def main() -> str:
    """The table; says what is missing where the oracle cannot run."""
    why_not = cql_oracle.missing()
    if why_not:
        return f"### Against cql-execution\n\nNot run: {why_not}."
    bundles = patients(int(os.environ.get("PATIENTS", "300")))
    bench = eight()
    said = cql_oracle.ask(bundles, bench.mappings.by_name, CQL_AS_OF)
    record = RecordLane(bench, bundles)
    with tempfile.TemporaryDirectory() as folder:
        cohort = CohortLane(bench, record.records, copies=COPIES, folder=Path(folder))
        figures = [
            _figure("record lane, parsed resources to verdicts", record.from_resources, "100"),
            _figure("record lane, built facts to verdicts", record.from_facts, "1,000"),
            _figure("cohort lane, tables in memory to verdicts", cohort.in_memory, ""),
            _figure("cohort lane, Parquet to verdicts", cohort.on_disk, ""),
        ]
    return _table(said, figures)


def patients(n: int) -> list[Any]:
    """Bundles as they come from a wire: decoded from text."""
    return [decode(encode(bundle)) for bundle in eight_patients.bundles(n, seed=8)]


class RecordLane:
    """The record lane over some patients, in their order."""

    def __init__(self, bench: bootstrap.Bench, bundles: Sequence[Any]) -> None:
        self._bench, self._bundles = bench, bundles
        self._as_of = moment_of(bench)
        self.records = [self._record(bundle) for bundle in bundles]

    def from_resources(self) -> list[Verdicts]:
        """Sorting out whose resources these are, normalising, judging."""
        return [self._judged(self._record(bundle)) for bundle in self._bundles]

    def from_facts(self) -> list[Verdicts]:
        """Judging."""
        return [self._judged(record) for record in self.records]

    def _record(self, bundle: Any) -> PatientRecord:
        source, screener = BundleRecord(bundle), self._bench.screener
        return screener.normalise(source.pull(next(iter(source.patients())), screener.needs))

    def _judged(self, record: PatientRecord) -> Verdicts:
        compiled = self._bench.screener.compiled
        results = judge(compiled, compiled.case(record, self._as_of)).results
        return {one.criterion: _SAID.get(one.truth) for one in results}


class CohortLane:
    """The cohort lane over the same facts, each patient ``copies`` times under other numbers."""

    def __init__(
        self, bench: bootstrap.Bench, records: Sequence[PatientRecord], *, copies: int, folder: Path
    ) -> None:
        self._statement, self._dictionary = statement_of(bench), Dictionary()
        rows = Rows(self._dictionary)
        for number, record in enumerate(list(records) * copies, 1):
            rows.add(number, record)
        tables = rows.tables()
        tables["fact_concept"] = codings(tables["fact"])
        read = ("fact", "fact_concept", "retrieved")
        write_tables(folder, {name: tables[name] for name in read})
        self._in_memory, self._on_disk = Engine(threads=cores()), Engine(threads=cores())
        self._in_memory.tables(tables)
        self._on_disk.files({name: [str(folder / f"{name}.parquet")] for name in read})
        as_of = moment_of(bench)
        day, everyone = local_date(as_of, bench.zone), range(1, len(records) * copies + 1)
        for engine in (self._in_memory, self._on_disk):
            engine.moments(Moment(number, as_of, day) for number in everyone)

    def in_memory(self) -> list[Verdicts]:
        """The statement over Arrow tables."""
        return self._run(self._in_memory)

    def on_disk(self) -> list[Verdicts]:
        """The statement over Parquet, as in a store."""
        return self._run(self._on_disk)

    def _run(self, engine: Engine) -> list[Verdicts]:
        found = engine.run(self._statement, self._dictionary)[0].sort_by("patient")
        said = (False, None, True)
        columns = [found[f"t{n}"].to_pylist() for n in range(len(by_hand.NAMES))]
        return [
            dict(zip(by_hand.NAMES, (said[truth] for truth in row), strict=True))
            for row in zip(*columns, strict=True)
        ]


def moment_of(bench: bootstrap.Bench) -> int:
    """The moment that everybody is asked about."""
    as_of = bench.moment(eight_patients.AS_OF)
    assert isinstance(as_of, int)
    return as_of


def differences(ours: Sequence[Verdicts], theirs: Sequence[Verdicts]) -> list[str]:
    """Where two differ, one line each."""
    return [
        f"patient {number}, {name}: {one[name]} against {two[name]}"
        for number, (one, two) in enumerate(zip(ours, theirs, strict=True))
        for name in by_hand.NAMES
        if one[name] is not two[name]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    name: str
    verdicts: Sequence[Verdicts]
    wall: float
    cpu: float
    target: str


def _figure(name: str, work: Callable[[], list[Verdicts]], target: str) -> _Figure:
    """The best of three, after one to warm up."""
    found, wall, cpu = work(), float("inf"), float("inf")
    for _ in range(_ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        found = work()
        wall = min(wall, time.perf_counter() - begun)
        cpu = min(cpu, time.process_time() - used)
    return _Figure(name=name, verdicts=found, wall=wall, cpu=cpu, target=target)


def _table(said: Said, figures: Sequence[_Figure]) -> str:
    n = len(said.verdicts)
    yardstick = _Figure(
        name="cql-execution (yardstick)", verdicts=said.verdicts, wall=sum(said.spent),
        cpu=said.cpu, target="",
    )  # fmt: skip
    rows: list[str] = []
    for one in (yardstick, *figures):
        fast = len(one.verdicts) / one.wall
        each = one.cpu / len(one.verdicts)
        theirs = list(said.verdicts) * (len(one.verdicts) // n)
        wrong = len(differences(one.verdicts, theirs))
        rows.append(
            f"| {one.name} | {fast:,.0f} | {each * 1000:.2f} ms | {said.cpu / n / each:,.0f} | "
            f"{one.target} | {wrong} |"
        )
    p50 = statistics.median(said.spent) * 1000
    lines = [
        f"### Against cql-execution: eight criteria, {n} patients",
        "",
        "| what | patients/s | CPU per patient | times as fast by CPU | target | differ |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
        *rows,
        "",
        f"cql-execution: p50 {p50:.0f} ms per patient, peak {said.memory:.0f} MiB.",
        f"Translating the CQL took {said.translated:.1f} s, once, not counted.",
        f"The cohort lane has each patient {COPIES} times.",
        f"Verdicts of cql-execution: {_spread(said.verdicts)}.",
    ]
    return "\n".join(lines)


def _spread(verdicts: Sequence[Verdicts]) -> str:
    counts = Counter(str(truth) for one in verdicts for truth in one.values())
    return ", ".join(f"{counts[name]:,} {name.lower()}" for name in ("True", "False", "None"))
