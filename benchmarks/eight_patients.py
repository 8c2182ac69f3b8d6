"""Generated patients with the faults of real records, for the eight criteria of benchmarks/eight.

The seeded generator's patients are tidy. Here some results were never measured, have no value, are
preliminary or entered in error, or came in another unit; some diagnoses are refuted, suspected,
of a month only or without onset; some birth dates are a year or missing. A few patients have what
the generator gives nobody: prothrombin activity, a transplanted liver, a pregnancy, other tumours.
Patient i of a seed is the same whatever N is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from fhir_adapter.model.code import LOINC
from fhir_adapter.sandbox import generator
from fhir_adapter.sandbox.chart import Chart

AS_OF = "2026-11-22"
"""A day: its end at the site is the moment that all engines are asked about."""

Resource = dict[str, Any]
_KEY_LABS = frozenset(("14631-6", "6301-6", "777-3", "5894-1"))
_BILIRUBIN, _PLATELETS = "14631-6", "777-3"
_UNKNOWN = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"


def bundles(n: int, *, seed: int = 1) -> Iterator[Resource]:
    """One collection Bundle per patient."""
    for number in range(n):
        yield bundle(number, seed=seed)


def bundle(number: int, *, seed: int = 1) -> Resource:
    """Patient ``number`` of a seed."""
    dice = Random(f"eight:{seed}:{number}")
    chart = generator.patient(number, seed=seed)
    _add(chart, dice)
    missing = {code for code in sorted(_KEY_LABS) if dice.random() < 0.12}
    kept = [one for one in chart.resources if _code(one) not in missing]
    for resource in kept:
        _spoil(resource, dice)
    entries = [{"resource": resource} for resource in kept]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _code(resource: Resource) -> str:
    """The LOINC code of an Observation; empty for anything else."""
    if resource["resourceType"] != "Observation":
        return ""
    return str(resource["code"]["coding"][0]["code"])


def _add(chart: Chart, dice: Random) -> None:
    """What the generator gives nobody, or nobody but the very ill."""
    if dice.random() < 0.3:
        chart.lab("activity", str(dice.randint(20, 110)), f"{_day(dice, 400)}T08:15")
    if dice.random() < 0.15:
        chart.problem("ascites", onset=_day(dice, 90))
    if dice.random() < 0.1:
        chart.problem("encephalopathy", onset=_day(dice, 90))
    for name, share in (("breast-cancer", 0.04), ("hepatocellular-carcinoma", 0.04)):
        if dice.random() < share:
            chart.problem(name, onset=_day(dice, 3000))
    if dice.random() < 0.06:
        chart.problem("transplanted-liver", onset=_day(dice, 3000))
    if dice.random() < 0.02:
        chart.procedure("liver-transplantation", _day(dice, 3000))
    if chart.sex == "female" and dice.random() < 0.15:
        chart.problem("pregnant", onset=_day(dice, 250))


def _day(dice: Random, oldest: int) -> str:
    return f"{date(2026, 11, 21) - timedelta(days=dice.randint(0, oldest))}"


def _spoil(resource: Resource, dice: Random) -> None:
    kind = resource["resourceType"]
    if kind == "Observation":
        _spoil_result(resource, dice)
    elif kind == "Condition":
        _spoil_diagnosis(resource, dice)
    elif kind == "Procedure" and dice.random() < 0.1:
        resource["status"] = "entered-in-error"
    elif kind == "Patient":
        _spoil_birth(resource, dice)


def _spoil_result(resource: Resource, dice: Random) -> None:
    code, quantity = _code(resource), resource["valueQuantity"]
    if code == _BILIRUBIN and dice.random() < 0.3:
        mass = (quantity["value"] / Decimal("17.104")).quantize(Decimal("0.1"))
        unit, value = ("mg/L", mass * 10) if dice.random() < 0.1 else ("mg/dL", mass)
        resource["code"]["coding"][0] |= {"system": LOINC, "code": "1975-2"}
        quantity |= {"value": value, "unit": unit, "code": unit}
    if code == _PLATELETS and dice.random() < 0.2:
        quantity |= {"unit": "10*3/uL", "code": "10*3/uL"}
    fate = dice.random()
    if fate < 0.03:
        resource["status"] = "entered-in-error"
    elif fate < 0.045:
        resource["status"] = "preliminary"
    elif fate < 0.065:
        del resource["valueQuantity"]
        resource["dataAbsentReason"] = {"coding": [{"system": _UNKNOWN, "code": "unknown"}]}


def _spoil_diagnosis(resource: Resource, dice: Random) -> None:
    fate = dice.random()
    for least, status in ((0.03, "refuted"), (0.06, "entered-in-error"), (0.16, "provisional")):
        if fate < least:
            resource["verificationStatus"]["coding"] = [{"system": _VERIFICATION, "code": status}]
            break
    fate = dice.random()
    if fate < 0.1:
        del resource["onsetDateTime"]  # recordedDate stays: it began some time before
    elif fate < 0.14:
        resource["onsetDateTime"] = resource["onsetDateTime"][:7]


def _spoil_birth(resource: Resource, dice: Random) -> None:
    fate = dice.random()
    if fate < 0.02:
        del resource["birthDate"]
    elif fate < 0.04:
        resource["birthDate"] = resource["birthDate"][:4]
    elif fate < 0.08:  # around the lower bound, which the generator keeps away from
        resource["birthDate"] = f"{dice.choice((2007, 2008, 2009))}{resource['birthDate'][4:]}"
