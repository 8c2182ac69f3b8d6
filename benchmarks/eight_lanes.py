"""Eight criteria over many patients: our statement, and SQL written by hand, on the same tables.

PATIENTS (100,000) and BUCKET (50,000 patients judged together) set the sizes; TABLES keeps the
tables in a folder for the next run. Each lane runs in a process of its own, so that its memory is
its own: one engine per core with a bucket each; the files were read once before. What is written by
hand gives true, false or null; ours gives truth, reason, effect, evidence and outcome.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import duckdb

from benchmarks import by_hand
from benchmarks.eight_patients import AS_OF
from benchmarks.eight_tables import Tables, eight
from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.cohorts import cores, statement_of
from fhir_adapter.model.dates import local_date
from fhir_adapter.ports import Moment
from fhir_adapter.warehouse.arrow import pa, pc, pq
from fhir_adapter.warehouse.duckdb import Engine

_READ = ("fact", "fact_concept", "retrieved")
_MEMORY = 3072
"""MiB of all engines of a lane together."""


def main() -> str:
    """The table; an AssertionError where the two do not say the same."""
    patients = int(os.environ.get("PATIENTS", "100000"))
    size = int(os.environ.get("BUCKET", "50000"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = os.environ.get("TABLES", scratch)
        arguments = [folder, str(patients), str(size)]
        _child("make", arguments)
        by_lane = {lane: _child(lane, [*arguments, scratch]) for lane in ("hand", "ours")}
        differences = _differences(Path(scratch))
    return _table(patients, size, by_lane, differences)


def _table(
    patients: int, size: int, by_lane: dict[str, dict[str, float]], differences: dict[str, int]
) -> str:
    hand, ours = by_lane["hand"], by_lane["ours"]
    rows = [
        f"| {name} | {one['wall']:.2f} s | {one['cpu']:.2f} s | {patients / one['wall']:,.0f} | "
        f"{one['wall'] / hand['wall']:.1f}, {one['cpu'] / hand['cpu']:.1f} | "
        f"{one['memory']:.0f} MiB |"
        for name, one in (
            ("by hand, true/false/null (yardstick)", hand),
            ("our statement, with reason, evidence, outcome", ours),
        )
    ]
    lines = [
        f"### Eight criteria, {patients:,} patients, buckets of {size:,}, {cores()} cores",
        "",
        "| what | wall | CPU | patients/s | ratio by wall, by CPU (target 2) | peak memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Our statement has {ours['tables']:.0f} common tables, made ready in "
        f"{ours['ready']:.2f} s (not counted above). "
        f"Verdicts that differ: {sum(differences.values())} of {patients * len(by_hand.NAMES):,}"
        + (f" {differences}" if any(differences.values()) else "")
        + ".",
    ]
    assert not any(differences.values()), "\n".join(lines)
    return "\n".join(lines)


def _child(lane: str, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.eight_lanes", lane, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.stdout else {}


def _differences(folder: Path) -> dict[str, int]:
    hand, ours = (
        pq.read_table(folder / f"{lane}.parquet").sort_by("patient") for lane in ("hand", "ours")
    )
    assert hand["patient"] == ours["patient"]
    return {
        name: pc.sum(pc.not_equal(hand[name], ours[name])).as_py() or 0 for name in by_hand.NAMES
    }


class Ours:
    """One engine with our statement."""

    def __init__(self, tables: Tables, bench: bootstrap.Bench, as_of: int) -> None:
        self._tables, self._dictionary = tables, tables.dictionary()
        self._statement = statement_of(bench)
        self._moment = (as_of, local_date(as_of, bench.zone))
        self._engine = Engine(memory_limit=f"{_MEMORY // cores()}MiB", threads=1)

    def run(self, bucket: int) -> Any:
        """The truths of one bucket."""
        self._engine.files({name: [self._tables.path(bucket, name)] for name in _READ})
        self._engine.moments(Moment(n, *self._moment) for n in self._tables.numbers(bucket))
        (found,) = self._engine.run(self._statement, self._dictionary)
        truths = {name: found[f"t{n}"] for n, name in enumerate(by_hand.NAMES)}
        return pa.table({"patient": found["patient"], **truths})


class Hand:
    """One engine with what a person wrote."""

    def __init__(self, tables: Tables, bench: bootstrap.Bench, as_of: int) -> None:
        self._tables = tables
        self._engine = duckdb.connect(":memory:")
        limit = f"{_MEMORY // cores()}MiB"
        self._engine.execute(f"SET threads = 1; SET memory_limit = '{limit}'")
        self._engine.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        rows = by_hand.named(tables.dictionary().codes, bench.mappings.by_name)
        columns = [list(column) for column in zip(*rows, strict=True)]
        self._engine.register("named", pa.table(columns, names=["concept", "kind", "what"]))
        self._text = by_hand.statement(date.fromordinal(local_date(as_of, bench.zone)))

    def run(self, bucket: int) -> Any:
        """The truths of one bucket, in our numbers."""
        path = self._tables.path(bucket, "fact")
        self._engine.execute(f"CREATE OR REPLACE VIEW fact AS SELECT * FROM read_parquet('{path}')")
        numbers = self._tables.numbers(bucket)
        self._engine.register("moment", pa.table({"patient": pa.array(numbers, pa.int32())}))
        found = self._engine.sql(self._text).to_arrow_table()
        truths = {
            name: pc.fill_null(pc.multiply(pc.cast(found[name], pa.int64()), 2), 1)
            for name in by_hand.NAMES
        }
        return pa.table({"patient": found["patient"], **truths})


LANES = {"ours": Ours, "hand": Hand}


def child(lane: str, folder: str, patients: str, size: str, scratch: str = "") -> None:
    """One lane over all buckets; its figures as JSON, its verdicts as Parquet."""
    tables = Tables(folder=Path(folder), patients=int(patients), per_bucket=int(size))
    if lane == "make":
        tables.make()
        return
    bench = eight()
    as_of = bench.moment(AS_OF)
    assert isinstance(as_of, int)
    begun = time.perf_counter()
    statement = statement_of(bench)
    made = {"ready": time.perf_counter() - begun, "tables": len(statement.parts.tables)}
    engines = [LANES[lane](tables, bench, as_of) for _ in range(min(cores(), len(tables.buckets)))]
    found, wall, cpu = _all(engines, tables.buckets)  # a first run reads the files from disk
    found, wall, cpu = _all(engines, tables.buckets)
    made |= {"wall": wall, "cpu": cpu}
    made["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pq.write_table(pa.concat_tables(found), Path(scratch) / f"{lane}.parquet")
    print(json.dumps(made))


def _all(engines: Sequence[Ours | Hand], buckets: range) -> tuple[list[Any], float, float]:
    """Every bucket, as many at a time as there are engines; wall and CPU seconds."""
    free: SimpleQueue[Ours | Hand] = SimpleQueue()
    for engine in engines:
        free.put(engine)

    def one(bucket: int) -> Any:
        engine = free.get()
        try:
            return engine.run(bucket)
        finally:
            free.put(engine)

    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(len(engines)) as pool:
        found = list(pool.map(one, buckets))
    return found, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    child(*sys.argv[1:])
