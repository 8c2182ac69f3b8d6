"""N plausible synthetic patients from a seed, for demos and benchmarks.

Four kinds, in shares of a hospital's hepatology clinic: people with a normal liver, people with a
stable chronic liver disease, acute-on-chronic liver failure, and a COVID-like illness whose
laboratory looks like liver failure while nothing records a liver disease. Patient i of a seed is
the same whatever N is. The figures are plausible, not epidemiology.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from fhir_adapter.fhir.wire import encode
from fhir_adapter.sandbox.chart import Chart

AS_OF = datetime(2026, 11, 22, 7, 40)  # noqa: DTZ001 - charts add their zone
"""The moment that generated records lead up to, in the charts' local time."""

LABS_OF_A_CHECK = ("bilirubin", "inr", "platelets", "albumin", "creatinine", "alt", "ast")
_NORMAL = {
    "bilirubin": (5, 19),
    "inr": (0.9, 1.1),
    "platelets": (160, 380),
    "albumin": (38, 50),
    "creatinine": (55, 100),
    "alt": (10, 45),
    "ast": (12, 40),
}
_LIVER = _NORMAL | {
    "bilirubin": (12, 45),
    "inr": (1.0, 1.4),
    "platelets": (60, 180),
    "albumin": (28, 40),
    "alt": (20, 90),
}
_FAILURE = _LIVER | {
    "bilirubin": (90, 420),
    "inr": (1.5, 3.2),
    "platelets": (30, 130),
    "albumin": (22, 32),
    "alt": (90, 900),
    "ast": (90, 900),
}
_COVID = _NORMAL | {"bilirubin": (88, 260), "inr": (1.5, 2.2), "platelets": (90, 240)}
_Ranges = dict[str, tuple[float, float]]


def patients(n: int, *, seed: int = 1) -> Iterator[Chart]:
    """``n`` charts; every chart is one patient with 40 to 70 resources."""
    for number in range(n):
        yield patient(number, seed=seed)


def patient(number: int, *, seed: int = 1) -> Chart:
    """Patient ``number`` of a seed."""
    dice = Random(f"{seed}:{number}")  # noqa: S311 - nothing secret
    kind = dice.choices(_KINDS, weights=_SHARES)[0]
    born = AS_OF - timedelta(days=dice.randint(19 * 365, 82 * 365))
    chart = Chart(
        patient=f"gen-{seed}-{number:07d}",
        sex=dice.choice(("female", "male")),
        born=f"{born:%Y-%m-%d}",
    )
    kind(chart, dice)
    return chart


def write(n: int, folder: Path, *, seed: int = 1) -> Iterator[int]:
    """``n`` patients as Bulk Data: one gzipped NDJSON file per type; yields after each patient.

    Nothing is kept in memory. Every type that a study may ask for gets a file, an empty one where
    nobody has any, so that the folder says what it holds whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files: dict[str, gzip.GzipFile] = {}
        for name in _TYPES:
            plain = stack.enter_context((folder / f"{name}.ndjson.gz").open("wb"))
            # no name and no time in the header: the same seed gives the same bytes
            files[name] = stack.enter_context(
                gzip.GzipFile("", "wb", compresslevel=5, fileobj=plain, mtime=0)
            )
        for done, chart in enumerate(patients(n, seed=seed), start=1):
            for resource in chart.resources:
                files[resource["resourceType"]].write(encode(resource) + b"\n")
            yield done


_TYPES = (
    "Patient",
    "Observation",
    "Condition",
    "Encounter",
    "Procedure",
    "DiagnosticReport",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationAdministration",
    "MedicationDispense",
    "Immunization",
    "AllergyIntolerance",
    "ServiceRequest",
    "Consent",
    "QuestionnaireResponse",
    "DocumentReference",
    "ResearchSubject",
)


def _healthy(chart: Chart, dice: Random) -> None:
    _checks(chart, dice, _NORMAL, 6)
    if dice.random() < 0.4:  # noqa: PLR2004 - a share of patients
        chart.problem("hypertension", onset=_day(dice, 2000))


def _chronic(chart: Chart, dice: Random) -> None:
    _liver_disease(chart, dice)
    _checks(chart, dice, _LIVER, 6)
    if dice.random() < 0.2:  # noqa: PLR2004 - a share of patients
        chart.order_drug("furosemide", _day(dice, 300))


def _failure(chart: Chart, dice: Random) -> None:
    _liver_disease(chart, dice)
    _checks(chart, dice, _LIVER, 4)
    visit = _admission(chart, dice, _FAILURE, hepatology=True)
    if dice.random() < 0.8:  # noqa: PLR2004 - a share of patients
        chart.problem("ascites", onset=_day(dice, 5), visit=visit)
    if dice.random() < 0.3:  # noqa: PLR2004 - a share of patients
        chart.problem("encephalopathy", onset=_day(dice, 3), visit=visit)
    if dice.random() < 0.3:  # noqa: PLR2004 - a share of patients
        chart.order_drug("ceftriaxone", _day(dice, 3))
    if dice.random() < 0.1:  # noqa: PLR2004 - a share of patients
        chart.problem("hepatocellular-carcinoma", onset=_day(dice, 900))


def _covid(chart: Chart, dice: Random) -> None:
    _checks(chart, dice, _NORMAL, 4)
    visit = _admission(chart, dice, _COVID, hepatology=False)
    chart.problem("covid", onset=_day(dice, 6), visit=visit)


_KINDS: tuple[Callable[[Chart, Random], None], ...] = (_healthy, _chronic, _failure, _covid)
_SHARES = (55, 25, 10, 10)


def _liver_disease(chart: Chart, dice: Random) -> None:
    cause = dice.choice(("hepatitis-b", "alcoholic-hepatitis"))
    chart.problem(cause, onset=_day(dice, 4000, 800))
    chart.problem("cirrhosis", onset=_day(dice, 2500, 400))
    if cause == "hepatitis-b":
        chart.order_drug("entecavir", _day(dice, 700, 100))


def _checks(chart: Chart, dice: Random, ranges: _Ranges, n: int) -> None:
    """Visits of earlier years, each with the usual laboratory."""
    for _ in range(n):
        day = _day(dice, 1500, 45)
        visit = chart.visit(f"{day}T09:00", f"{day}T10:00")
        _panel(chart, dice, ranges, f"{day}T09:20", visit)


def _admission(chart: Chart, dice: Random, ranges: _Ranges, *, hepatology: bool) -> str:
    """A stay that goes on, with a panel every day."""
    days = dice.randint(1, 4)
    first = AS_OF - timedelta(days=days)
    visit = chart.visit(f"{first:%Y-%m-%dT%H:%M}", kind="IMP", hepatology=hepatology)
    for back in range(days + 1):
        when = AS_OF - timedelta(days=back, minutes=dice.randint(30, 90))
        _panel(chart, dice, ranges, f"{when:%Y-%m-%dT%H:%M}", visit)
    return visit


def _panel(chart: Chart, dice: Random, ranges: _Ranges, when: str, visit: str) -> None:
    """Seven results; one in fifteen is never measured."""
    for name in LABS_OF_A_CHECK:
        if dice.random() < 1 / 15:
            continue
        low, high = ranges[name]
        digits = 2 if name == "inr" else 0
        chart.lab(name, f"{dice.uniform(low, high):.{digits}f}", when, visit=visit)


def _day(dice: Random, oldest: int, newest: int = 0) -> str:
    """A day so many days before the moment."""
    return f"{AS_OF - timedelta(days=dice.randint(newest, oldest)):%Y-%m-%d}"
