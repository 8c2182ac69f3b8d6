"""Export bytes to facts, one core: decoding and normalising, by resource type.

Generated patients as NDJSON lines, or the folder of an export named by the environment variable
EXPORT. Process CPU time, best of three rounds, each with a reader that has read nothing before and
with the cyclic collector off, as suits a batch: decoded JSON holds no cycles. The yardstick of the
same run is the decoding, which no adapter can avoid.
"""

from __future__ import annotations

import gc
import gzip
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import cpu_table
from fhir_adapter import load_study
from fhir_adapter.facts import KINDS, Normaliser
from fhir_adapter.fhir.reading import reference
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import Pulled
from fhir_adapter.sandbox import generator

PATIENTS = 400
ROUNDS = 3
Lines = dict[str, list[bytes]]


def main() -> str:
    """The table: one patient's resources are one record, as in the cohort lane."""
    mappings = load_study().bench.mappings
    lines = _export(Path(os.environ["EXPORT"])) if "EXPORT" in os.environ else _generated()
    rows: list[tuple[str, int, float, float]] = []
    for name in lines:
        decoded = min(_spent(lambda name=name: _decoded(lines[name])) for _ in range(ROUNDS))
        records = _records(_decoded(lines[name]))
        read = min(_read(Normaliser(mappings), records) for _ in range(ROUNDS))
        rows.append((name, len(lines[name]), decoded, read))
    rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))  # type: ignore[arg-type] # a name, then numbers
    return cpu_table("Export bytes to facts, one core", rows)


def _generated() -> Lines:
    found: Lines = defaultdict(list)
    for chart in generator.patients(PATIENTS, seed=7):
        for resource in chart.resources:
            found[resource["resourceType"]].append(encode(resource))
    return found


def _export(folder: Path) -> Lines:
    found: Lines = {}
    for file in sorted(folder.glob("*.ndjson.gz")):
        name = file.name.split(".")[0]
        with gzip.open(file) as stream:
            lines = [line for line in stream if line.strip()]
        if name in KINDS and lines:
            found[name] = lines
    return found


def _decoded(lines: list[bytes]) -> list[Any]:
    return [decode(line) for line in lines]


def _records(resources: list[Any]) -> list[Pulled]:
    by_patient: dict[str, list[Any]] = defaultdict(list)
    for resource in resources:
        owner = reference(resource.get("subject")) or reference(resource.get("patient"))
        by_patient[owner.removeprefix("Patient/") or resource["id"]].append(resource)
    return [Pulled(patient=one, resources=own, types=()) for one, own in by_patient.items()]


def _read(normalise: Normaliser, records: list[Pulled]) -> float:
    return _spent(lambda: [normalise(record) for record in records])


def _spent(work: Callable[[], object]) -> float:
    """Seconds of this process's CPU, the collector off; what was made is thrown away after."""
    gc.collect()
    gc.disable()
    try:
        begun = time.process_time()
        made = work()
        spent = time.process_time() - begun
        del made
    finally:
        gc.enable()
    return spent
