"""An export to fact tables, against DuckDB reading the same files bare, in the same run.

The bare read (``read_ndjson`` into a table per file) gives no dates, units, codes or standing: it
is what parsing costs an engine written in C++. Patients come from the seeded generator.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import duckdb

from fhir_adapter.bootstrap import cohorts
from fhir_adapter.sandbox import generator
from fhir_adapter.settings import Settings

PATIENTS = int(os.environ.get("PATIENTS", "10000"))
Loaded = tuple[dict[str, float], cohorts.LoadCounts, float]
"""Seconds per phase, counts, MiB."""


def main() -> str:
    """The table."""
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "export"
        for _ in generator.write(PATIENTS, folder, seed=1):
            pass
        bare = _bare(folder)
        spent, counts, memory = _alone(_load, folder, Path(base) / "store")
    whole = sum(spent.values())
    rate = counts.resources / whole
    share = bare / whole
    rows = [
        ("DuckDB read_ndjson (yardstick)", bare, counts.resources / bare, ""),
        *((name, one, counts.resources / one, "") for name, one in spent.items()),
        ("whole load", whole, rate, f"{share:.3f} x read_ndjson (target 0.15)"),
    ]
    size = f"{counts.patients} patients, {counts.resources} resources, {counts.facts} facts"
    lines = [
        f"### Ingest, {size}, {cohorts.cores()} workers",
        "",
        "| what | s | resources/s | ratio |",
        "| --- | ---: | ---: | --- |",
        *(f"| {name} | {one:.2f} | {per:,.0f} | {note} |" for name, one, per, note in rows),
        "",
        f"Peak memory of the load's processes together at most {memory:.0f} MiB.",
    ]
    return "\n".join(lines)


def _bare(folder: Path) -> float:
    """Seconds for every file into a table of its own."""
    begun = time.perf_counter()
    with duckdb.connect() as engine:
        engine.execute(f"SET threads = {cohorts.cores()}")
        for path in sorted(folder.glob("*.ndjson*")):
            if path.stat().st_size > 100:
                engine.execute(f"CREATE OR REPLACE TABLE t AS SELECT * FROM read_ndjson('{path}')")
    return time.perf_counter() - begun


def _alone(work: Callable[[Path, Path], Loaded], folder: Path, store: Path) -> Loaded:
    """In a process of its own: this one holds what generating and the bare read took."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(work, folder, store).result()


def _load(folder: Path, store: Path) -> Loaded:
    """Seconds per phase, what came out, MiB."""
    steps = cohorts.load_cohort(Settings(), folder, store, workers=cohorts.cores())
    spent: dict[str, float] = {}
    last = time.perf_counter()
    while True:
        try:
            name = next(steps).name
        except StopIteration as end:
            spent["switch"] = time.perf_counter() - last
            return spent, end.value, _memory()
        now = time.perf_counter()
        spent[name] = spent.get(name, 0.0) + now - last
        last = now


def _memory() -> float:
    """MiB: this process at its largest, and every worker at the size of the largest.

    Not its own ``ru_maxrss``: that begins with the size of whoever started the process.
    """
    status = Path("/proc/self/status").read_text("utf-8")
    own = int(status.partition("VmHWM:")[2].split()[0])
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + cohorts.cores() * worker) / 1024
