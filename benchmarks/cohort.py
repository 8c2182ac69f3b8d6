"""The cohort lane at a hospital's size: the seed study over a store of generated patients.

PATIENTS (100,000; the target is said of 1,000,000) sets the size. Every line is a process of its
own, so that its peak memory is its own: one engine per core, after a run over one patient that
prints the statement. The yardstick is the record lane on facts of the same patients.
Further lines grow one thing at a time: patients, criteria, and studies that share one pass.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import studies as generated
from benchmarks.population import records, write_store
from fhir_adapter import bootstrap, load_study
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap.cohorts import cores, open_store
from fhir_adapter.evaluate.cohort import (
    CohortStatements,
    ForStudy,
    compile_cohort,
    compile_cohorts,
)
from fhir_adapter.evaluate.record import judge
from fhir_adapter.model.dates import local_date
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Asked, Moment
from fhir_adapter.terminology import load_code_sets, load_mappings
from fhir_adapter.warehouse.cohort import CohortStore
from fhir_adapter.warehouse.duckdb import Engine
from fhir_adapter.warehouse.store import Store

AS_OF = "2026-11-22T07:40"
SAMPLE = 300
"""Patients of the record lane's line."""
_READ = ("fact", "fact_concept", "retrieved")


def main() -> str:
    """The tables; each line says how many CPU seconds and how much memory it took."""
    patients = int(os.environ.get("PATIENTS", "100000"))
    small = max(patients // 10, 1)
    with tempfile.TemporaryDirectory() as scratch:
        whole, tenth = Path(scratch) / "whole", Path(scratch) / "tenth"
        mappings = load_study().bench.mappings
        write_store(mappings, whole, patients)
        write_store(mappings, tenth, small)
        yardstick = _child("record", tenth)
        return "\n".join(
            (
                *_patients([_child("study", tenth), _child("study", whole)], yardstick),
                "",
                *_criteria([_child("criteria", tenth, n) for n in (8, 16, 32)]),
                "",
                *_studies([_child("studies", tenth, n) for n in (1, 4, 16)]),
            )
        )


def _patients(found: Sequence[dict[str, float]], record: dict[str, float]) -> Iterator[str]:
    yield f"### Seed study, all criteria, {cores()} cores"
    yield ""
    yield "| patients | wall | CPU | patients/s | CPU each | record lane's | peak memory |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in found:
        each = one["cpu"] / one["patients"]
        yield (
            f"| {one['patients']:,} | {one['wall']:.1f} s | {one['cpu']:.1f} s | "
            f"{one['patients'] / one['wall']:,.0f} | {each * 1e6:.0f} us | "
            f"{record['cpu'] * 1e6:.0f} us: {record['cpu'] / each:.1f} x | "
            f"{one['memory']:,.0f} MiB |"
        )
    ready = found[0]
    yield ""
    yield (
        f"Compiling took {ready['ready']:.1f} s of CPU time and is not counted; answers: "
        f"{int(found[-1]['answers']):,}, one per patient."
    )


def _criteria(found: Sequence[dict[str, float]]) -> Iterator[str]:
    yield "| criteria | common tables | wall | CPU | CPU per criterion |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for one in found:
        yield (
            f"| {one['criteria']:.0f} | {one['tables']:.0f} | {one['wall']:.1f} s | "
            f"{one['cpu']:.1f} s | {one['cpu'] / one['criteria']:.2f} s |"
        )


def _studies(found: Sequence[dict[str, float]]) -> Iterator[str]:
    yield "| generated studies | in one pass, CPU | each alone, CPU | ratio |"
    yield "| ---: | ---: | ---: | ---: |"
    for one in found:
        yield (
            f"| {one['studies']:.0f} | {one['cpu']:.1f} s | {one['alone']:.1f} s | "
            f"{one['alone'] / one['cpu']:.1f} |"
        )


# ---------------------------------------------------------------------- one line, one process


def _child(what: str, store: Path, number: int = 0) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.cohort", what, str(store), str(number)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def child(what: str, store: str, number: str) -> None:
    """Print one line's figures as JSON."""
    bench = load_study().bench
    lines = {"study": _study, "record": _record, "criteria": _of_criteria, "studies": _of_studies}
    print(json.dumps(lines[what](bench, open_store(Path(store), bench.mappings), int(number))))


def _study(bench: bootstrap.Bench, store: Store, _number: int) -> dict[str, float]:
    return _timed(bench, store, bench.screener.compiled.study)


def _of_criteria(bench: bootstrap.Bench, store: Store, number: int) -> dict[str, float]:
    whole = bench.screener.compiled.study
    kept = whole.criteria[:number]
    names = {one.id for one in kept}
    pairs = tuple(pair for pair in whole.pairs if names.issuperset(pair.criteria))
    smaller = msgspec.structs.replace(whole, criteria=kept, pairs=pairs)
    return _timed(bench, store, smaller)


def _timed(bench: bootstrap.Bench, store: Store, study: Study) -> dict[str, float]:
    begun = time.process_time()
    calculators = {item.name: item for item in bench.package.calculators}
    statement = compile_cohort(
        study, bench.mappings, calculators=calculators, own_studies=bench.screener.own_studies
    )
    ready = time.process_time() - begun
    _judged(bench, store, statement, first=1)  # prints the statement, opens the files
    wall, cpu = time.perf_counter(), time.process_time()
    answers = _judged(bench, store, statement)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    patients = store.manifest.patients
    assert answers == patients
    return {
        "patients": patients,
        "answers": answers,
        "criteria": len(study.criteria),
        "tables": len(statement.parts.tables),
        "ready": ready,
        "wall": wall,
        "cpu": cpu,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _judged(
    bench: bootstrap.Bench, store: Store, statement: CohortStatements, *, first: int = 0
) -> int:
    """How many were answered; of the first so many patients only, or everybody."""
    tables = CohortStore(store, workers=cores())
    as_of, day = _moment(bench)
    asked = (
        Asked(part, [Moment(n, as_of, day) for n in _some(tables.patients(part), first)], {})
        for part in tables.parts
    )
    return sum(answers.outcomes.total() for _, (answers,) in tables.judge(statement, asked))


def _some(numbers: Iterable[int], first: int) -> list[int]:
    every = list(numbers)
    return every[:first] if first else every


def _moment(bench: bootstrap.Bench) -> tuple[int, int]:
    as_of = bench.moment(AS_OF)
    assert isinstance(as_of, int)
    return as_of, local_date(as_of, bench.zone)


def _record(bench: bootstrap.Bench, _store: Store, _number: int) -> dict[str, float]:
    compiled, own = bench.screener.compiled, bench.screener.own_studies
    as_of, _ = _moment(bench)
    some = list(records(bench.mappings, SAMPLE))
    for record in some[:20]:
        judge(compiled, compiled.case(record, as_of, own))
    begun = time.process_time()
    for record in some:
        judge(compiled, compiled.case(record, as_of, own))
    return {"cpu": (time.process_time() - begun) / len(some)}


def _of_studies(bench: bootstrap.Bench, store: Store, number: int) -> dict[str, float]:
    code_sets = load_code_sets(mappings_dir() / "terminology" / "value-sets")
    mappings = load_mappings(mappings_dir(), bench.mappings.site.name, code_sets=code_sets)
    asked = [ForStudy(study=one, mappings=mappings) for one in generated.studies(number)]
    together = compile_cohorts(asked)
    each = [compile_cohort(one.study, mappings) for one in asked]
    engine = Engine(memory_limit="3GB", threads=1)
    engine.files({n: [str(path) for path in store.paths(n)] for n in _READ})
    as_of, day = _moment(bench)
    numbers = [n for bucket in store.buckets for n in store.numbers(bucket)]
    engine.moments(Moment(n, as_of, day) for n in numbers)
    begun = time.process_time()
    found = engine.run(together, store.dictionary)
    cpu = time.process_time() - begun
    begun = time.process_time()
    alone = [engine.run(one, store.dictionary)[0] for one in each]
    taken = time.process_time() - begun
    for one, other in zip(found, alone, strict=True):
        assert _outcomes(one) == _outcomes(other)
    return {"studies": number, "cpu": cpu, "alone": taken}


def _outcomes(table: Any) -> Any:
    return table.select(["patient", "outcome"]).sort_by("patient")


if __name__ == "__main__":
    child(*sys.argv[1:])
