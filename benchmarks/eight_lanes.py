"""Eight criteria over many patients: our statement, and SQL written by hand, on the same tables.

PATIENTS (100,000) and BUCKET (10,000 patients per bucket) set the sizes; TABLES keeps the tables in
a folder for the next run. Each lane runs in a process of its own, bucket by bucket, so that its
memory is its own; the tables are Parquet files that were just read once. What is written by hand
gives true, false or null; ours gives truth, reason, effect, evidence and outcome.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
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
from fhir_adapter.warehouse.dialects import steps
from fhir_adapter.warehouse.duckdb import Engine

_READ = ("fact", "fact_concept", "retrieved")
_MEMORY = "3GB"


def main() -> str:
    """The table; an AssertionError where the two do not say the same."""
    patients = int(os.environ.get("PATIENTS", "100000"))
    size = int(os.environ.get("BUCKET", "10000"))
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


def _ours(tables: Tables, bench: bootstrap.Bench, as_of: int, day: int) -> dict[str, Any]:
    begun = time.perf_counter()
    statement = statement_of(bench)
    ready, dictionary = time.perf_counter() - begun, tables.dictionary()
    engine = Engine(memory_limit=_MEMORY, threads=cores())

    def run(bucket: int) -> Any:
        engine.files({name: [tables.path(bucket, name)] for name in _READ})
        engine.moments(Moment(n, as_of, day) for n in tables.numbers(bucket))
        found = engine.run(statement, dictionary)
        truths = {name: found[f"t{n}"] for n, name in enumerate(by_hand.NAMES)}
        return pa.table({"patient": found["patient"], **truths})

    common = len(steps(statement.tree, "duckdb")[0])
    return {"found": run, "ready": ready, "tables": common}


def _hand(tables: Tables, bench: bootstrap.Bench, _as_of: int, day: int) -> dict[str, Any]:
    engine = duckdb.connect(":memory:")
    engine.execute(f"SET threads = {cores()}; SET memory_limit = '{_MEMORY}'")
    engine.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    rows = by_hand.named(tables.dictionary().codes, bench.mappings.by_name)
    columns = [list(column) for column in zip(*rows, strict=True)]
    engine.register("named", pa.table(columns, names=["concept", "kind", "what"]))
    text = by_hand.statement(date.fromordinal(day))

    def run(bucket: int) -> Any:
        path = tables.path(bucket, "fact")
        engine.execute(f"CREATE OR REPLACE VIEW fact AS SELECT * FROM read_parquet('{path}')")
        numbers = tables.numbers(bucket)
        engine.register("moment", pa.table({"patient": pa.array(numbers, pa.int32())}))
        found = engine.sql(text).to_arrow_table()
        truths = {
            name: pc.fill_null(pc.multiply(pc.cast(found[name], pa.int64()), 2), 1)
            for name in by_hand.NAMES
        }
        return pa.table({"patient": found["patient"], **truths})

    return {"found": run}


def child(lane: str, folder: str, patients: str, size: str, scratch: str = "") -> None:
    """One lane over all buckets; its figures as JSON, its verdicts as Parquet."""
    tables = Tables(folder=Path(folder), patients=int(patients), per_bucket=int(size))
    if lane == "make":
        tables.make()
        return
    bench = eight()
    as_of = bench.moment(AS_OF)
    assert isinstance(as_of, int)
    day = local_date(as_of, bench.zone)
    made = (_ours if lane == "ours" else _hand)(tables, bench, as_of, day)
    run = made.pop("found")
    run(0)  # a first run reads the file from disk and prints the statement
    wall, cpu = time.perf_counter(), time.process_time()
    found = [run(bucket) for bucket in tables.buckets]
    made |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    made["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pq.write_table(pa.concat_tables(found), Path(scratch) / f"{lane}.parquet")
    print(json.dumps(made))


if __name__ == "__main__":
    child(*sys.argv[1:])
