"""The cohort lane: the seed study's statement over teaching patients, repeated, in memory.

Every patient of the teaching cohort is a hard one (nearly all have the laboratory values that the
study reads): a hospital's average is easier. The yardstick is the record lane on the same facts.
"""

from __future__ import annotations

import time
from datetime import datetime

from fhir_adapter import bootstrap
from fhir_adapter.evaluate.cohort import compile_cohort
from fhir_adapter.evaluate.record import judge
from fhir_adapter.facts import Normaliser
from fhir_adapter.model.dates import instant, local_date
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.ports import Moment
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse.dialects import steps
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.duckdb import Engine
from fhir_adapter.warehouse.rows import Rows, codings

SIZES = (1, 200, 1000)
"""How many times the teaching cohort (43 patients)."""


def main() -> str:
    """One line per size; CPU time of all cores, and the record lane's beside it."""
    bench = bootstrap.bench(Settings())
    study, zone = bench.screener.compiled.study, bench.zone
    as_of = instant(datetime(2026, 11, 22, 7, 40, tzinfo=zone))
    folder = bootstrap.study_folder(study.id) / "cohort"
    source = bootstrap.folder_records(folder, bench.mappings)
    normalise = Normaliser(bench.mappings)
    needs = bench.screener.needs
    records = [normalise(source.pull(patient, needs)) for patient in source.patients()]
    begun = time.process_time()
    calculators = {item.name: item for item in bench.package.calculators}
    statement = compile_cohort(study, bench.mappings, calculators=calculators)
    compiled = time.process_time() - begun
    tables, _ = steps(statement.tree, "duckdb")
    lines = [
        f"{study.id}: {len(tables)} common tables; compiled in {compiled:.1f} s CPU",
        "",
        "| patients | wall | CPU | CPU per patient | record lane, CPU per patient | ratio |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    one = _record_lane(bench, records, as_of)
    for times in SIZES:
        wall, cpu = _run(statement, records * times, as_of, local_date(as_of, zone))
        each = cpu / (len(records) * times)
        lines.append(
            f"| {len(records) * times:,} | {wall:.1f} s | {cpu:.1f} s | {each * 1e3:.2f} ms | "
            f"{one * 1e3:.2f} ms | {one / each:.1f} |"
        )
    return "\n".join(lines)


def _record_lane(bench: bootstrap.Bench, records: list[PatientRecord], as_of: int) -> float:
    compiled = bench.screener.compiled
    begun = time.process_time()
    for record in records * 3:
        judge(compiled, compiled.case(record, as_of, bench.screener.own_studies))
    return (time.process_time() - begun) / (len(records) * 3)


def _run(
    statement: object, records: list[PatientRecord], as_of: int, day: int
) -> tuple[float, float]:
    dictionary = Dictionary()
    rows = Rows(dictionary)
    for number, record in enumerate(records, 1):
        rows.add(number, record)
    tables = rows.tables()
    engine = Engine()
    engine.tables({**tables, "fact_concept": codings(tables["fact"])})
    engine.moments(Moment(number, as_of, day) for number in range(1, len(records) + 1))
    wall, cpu = time.perf_counter(), time.process_time()
    found = engine.run(statement, dictionary)  # type: ignore[arg-type]
    assert found.num_rows == len(records)
    taken = time.perf_counter() - wall, time.process_time() - cpu
    engine.close()
    return taken
