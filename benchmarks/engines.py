"""The seed study on DuckDB, Sail and Spark: the same statement, store and answers.

Each engine runs in a process of its own, with the environment that `make servers` built for it, and
prints JSON: seconds of two runs over all buckets at once (the first plans and prints the statement)
and a digest of every answer. `PATIENTS=500` takes fewer; `ENGINES=sail` leaves Spark out.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap import cohorts
from fhir_adapter.model.dates import local_date
from fhir_adapter.ports import Moment
from fhir_adapter.sandbox import generator
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse.duckdb import Engine as DuckDB
from fhir_adapter.warehouse.spark import SparkEngine

ROOT = Path(__file__).parents[1]
PATIENTS = int(os.environ.get("PATIENTS", "2000"))
ENGINES = os.environ.get("ENGINES", "sail spark").split()
AS_OF = "2026-11-22T07:40"
READ = ("fact", "fact_concept", "retrieved")


def main() -> str:
    """One line per engine, with its ratio to DuckDB; different answers stop the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        export, store = Path(folder) / "export", Path(folder) / "store"
        for _ in generator.write(PATIENTS, export, seed=1):
            pass
        for _ in cohorts.load_cohort(Settings(), export, store, workers=cohorts.cores()):
            pass
        found = {"duckdb": _asked(sys.executable, "duckdb", store)}
        for name in ENGINES:
            python = ROOT / ".servers" / name / "bin" / "python"
            if python.exists():
                found[name] = _asked(str(python), name, store)
    assert len({one["answers"] for one in found.values()}) == 1, "engines answer differently"
    best = min(found["duckdb"]["seconds"])
    size = f"{PATIENTS:,} generated patients, {found['duckdb']['facts']:,} facts"
    lines = [
        f"Seed study, {size}; every answer equal",
        "",
        "| engine | first run | second run | against DuckDB |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, one in found.items():
        first, second = one["seconds"]
        ratio = min(one["seconds"]) / best
        lines.append(f"| {name} | {first:.1f} s | {second:.1f} s | {ratio:.1f} |")
    lines += [f"{name} is not here: make servers" for name in ENGINES if name not in found]
    return "\n".join(lines)


def _asked(python: str, name: str, store: Path) -> Any:
    words = [python, "-m", "benchmarks.engines", name, str(store)]
    ran = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def run(name: str, folder: Path) -> str:
    """What one engine says, as JSON."""
    bench = bootstrap.bench(Settings())
    store = cohorts.open_store(folder, bench.mappings)
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    assert isinstance(moment, int)
    day = local_date(moment, bench.zone)
    numbers = [number for bucket in store.buckets for number in store.numbers(bucket)]
    statement, seconds = cohorts.statement_of(bench), list[float]()
    digest = ""
    with _engine(name) as engine:
        engine.files({table: [str(path) for path in store.paths(table)] for table in READ})
        engine.moments(Moment(number, moment, day) for number in numbers)
        for _ in range(2):
            begun = time.perf_counter()
            (answers,) = engine.run(statement, store.dictionary)
            seconds.append(time.perf_counter() - begun)
            digest = _digest(answers)
    said = {"seconds": seconds, "answers": digest, "facts": store.manifest.facts}
    return json.dumps(said)


def _digest(answers: Any) -> str:
    rows = sorted(answers.to_pylist(), key=lambda row: row["patient"])
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


@contextmanager
def _engine(name: str) -> Iterator[Any]:
    if name == "duckdb":
        yield DuckDB()
        return
    sys.path.insert(0, str(ROOT / "tests" / "servers"))
    import spark_sessions  # noqa: PLC0415 - of the environment that has Spark

    with spark_sessions.remote() as address, spark_sessions.session(address) as session:
        yield SparkEngine(session)


if __name__ == "__main__":
    print(run(sys.argv[1], Path(sys.argv[2])))
