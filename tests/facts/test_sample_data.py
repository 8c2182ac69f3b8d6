"""Every bilirubin, INR, platelet and AKI figure of the sample data's facts.csv, from our facts.

The files were computed from the source tables, not by any adapter; they are not part of this
project, so these tests skip where ../shared/data is not there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter import bootstrap
from fhir_adapter.evaluate.absence import Absence
from fhir_adapter.evaluate.judged import Judged
from fhir_adapter.model.code import key_of
from fhir_adapter.model.criterion import AnyOf, Events, Rise, Window
from fhir_adapter.model.dates import instant
from fhir_adapter.model.fact import Fact, Kind, PatientRecord
from fhir_adapter.model.truth import Truth
from fhir_adapter.screening import Screener
from fhir_adapter.settings import Settings

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
THREE_DAYS = 72 * 3600 * 1_000_000

pytestmark = [
    pytest.mark.skipif(
        not DATA.is_dir(),
        reason="../shared/data is not beside this checkout: nothing to compare with",
    ),
    pytest.mark.untraced,
]


def rows(folder: str) -> list[dict[str, str]]:
    if not DATA.is_dir():
        return []
    with (DATA / folder / "facts.csv").open() as file:
        return list(csv.DictReader(file))


class Sample:
    """One folder of sample records, read through its own site file."""

    def __init__(self, folder: str, site: str) -> None:
        bench = bootstrap.bench(Settings(site=site))
        self.screener: Screener = bench.screener
        self.source = bootstrap.folder_records(DATA / folder, bench.mappings)
        self.records: dict[str, PatientRecord] = {}

    def record(self, patient: str) -> PatientRecord:
        if patient not in self.records:
            pulled = self.source.pull(patient, self.screener.needs)
            self.records[patient] = self.screener.normalise(pulled)
        return self.records[patient]

    def numbers(self, patient: str, code_set: str) -> list[Fact]:
        """Numeric results of a value set, oldest first."""
        member = self.screener.compiled.compiler.membership
        found = [
            fact
            for fact in self.record(patient).facts
            if fact.kind is Kind.OBSERVATION
            and any(code_set in member(key_of(code)) for code in fact.concepts)
            and (fact.value_lo is not None or fact.value_hi is not None)
        ]
        return sorted(found, key=lambda fact: fact.start_lo)


@pytest.fixture(scope="module")
def synthea() -> Sample:
    return Sample("synthea-24", "synthea")


@pytest.fixture(scope="module")
def mimic() -> Sample:
    return Sample("mimic3-demo-10", "mimic3-demo")


def number(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def moment(text: str) -> int | None:
    return instant(datetime.fromisoformat(text)) if text else None


def exact(fact: Fact) -> Decimal | None:
    """The number where it is one, not a bound such as LESS THAN 1.0."""
    return fact.value_lo if fact.value_lo == fact.value_hi else None


def values(facts: list[Fact]) -> list[Decimal]:
    return [value for value in map(exact, facts) if value is not None]


def first_pair(sample: Sample, patient: str) -> int | None:
    """When the first bilirubin >= 5 and INR >= 1.5, at most 72 hours apart, is complete."""
    bilirubin = [f for f in sample.numbers(patient, "total-bilirubin") if reaches(f, "5")]
    inr = [f for f in sample.numbers(patient, "inr") if reaches(f, "1.5")]
    complete = (
        max(b.start_lo, i.start_lo)
        for b in bilirubin
        for i in inr
        if abs(b.start_lo - i.start_lo) <= THREE_DAYS
    )
    return min(complete, default=None)


def reaches(fact: Fact, bound: str) -> bool:
    return fact.value_lo is not None and fact.value_lo >= Decimal(bound)


def figures(sample: Sample, patient: str) -> dict[str, Any]:
    bilirubin = sample.numbers(patient, "total-bilirubin")
    inr = sample.numbers(patient, "inr")
    platelets = sample.numbers(patient, "platelets")
    return {
        "n_bili": len(values(bilirubin)),
        "max_bili": max(values(bilirubin), default=None),
        "n_inr": len(values(inr)),
        "max_inr": max(values(inr), default=None),
        "min_plt": min(values(platelets), default=None),
        "first_bili5_inr15_within72h": first_pair(sample, patient),
    }


def expected(row: dict[str, str]) -> dict[str, Any]:
    return {
        "n_bili": int(row["n_bili"]),
        "max_bili": number(row["max_bili"]),
        "n_inr": int(row["n_inr"]),
        "max_inr": number(row["max_inr"]),
        "min_plt": number(row["min_plt"]),
        "first_bili5_inr15_within72h": moment(row["first_bili5_inr15_within72h"]),
    }


@pytest.mark.parametrize("row", rows("synthea-24"), ids=lambda row: row["patient"][:8])
@pytest.mark.slow
def test_synthea_figures_are_reproduced(row: dict[str, str], synthea: Sample) -> None:
    assert figures(synthea, row["patient"]) == expected(row)


@pytest.mark.parametrize("row", rows("mimic3-demo-10"), ids=lambda row: row["subject_id"])
def test_mimic_figures_are_reproduced(row: dict[str, str], mimic: Sample) -> None:
    patient = patient_of(mimic, row["subject_id"])

    assert figures(mimic, patient) == expected(row)


@pytest.mark.parametrize("row", rows("mimic3-demo-10"), ids=lambda row: row["subject_id"])
@pytest.mark.slow
def test_lowest_platelets_before_the_first_pair(row: dict[str, str], mimic: Sample) -> None:
    patient = patient_of(mimic, row["subject_id"])
    pair = first_pair(mimic, patient)
    before = [
        f for f in mimic.numbers(patient, "platelets") if pair is not None and f.start_lo <= pair
    ]

    assert min(values(before), default=None) == number(row["min_plt_before_that"])


@pytest.mark.parametrize("row", rows("mimic3-demo-10"), ids=lambda row: row["subject_id"])
@pytest.mark.slow
def test_the_rise_node_finds_the_first_kidney_injury(row: dict[str, str], mimic: Sample) -> None:
    patient = patient_of(mimic, row["subject_id"])

    found = next(injuries(mimic, patient), None)

    assert found == moment(row["first_aki_kdigo_creatinine"])


def injuries(sample: Sample, patient: str) -> Iterator[int]:
    """Moments of creatinine results at which the KDIGO creatinine rules hold, oldest first."""
    compiled = sample.screener.compiled
    week = Events(
        kind=(Kind.OBSERVATION,), codes="creatinine", window=Window(from_="as-of - 7 days")
    )
    kdigo = AnyOf(
        of=(
            Rise(of=week, by="0.3 mg/dL", within="48 hours"),
            Rise(of=week, factor="1.5", within="7 days"),
        )
    )
    free = Absence("unknown", reopen_outside=False, known_kinds=())
    closure = compiled.compiler.closure(kdigo, free, None)
    for fact in sample.numbers(patient, "creatinine"):
        judged: Judged = closure(compiled.case(sample.record(patient), fact.start_lo))
        if judged.truth is Truth.TRUE:
            yield fact.start_lo


def patient_of(sample: Sample, subject: str) -> str:
    """The patient that carries the subject number of the source table as identifier."""
    for patient in sample.source.patients():
        for resource in sample.source.pull(patient, ()).resources:
            if {"value": subject} in [
                {"value": i["value"]} for i in resource.get("identifier", ())
            ]:
                return patient
    raise LookupError(subject)
