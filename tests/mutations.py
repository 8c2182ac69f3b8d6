"""Records as they should not be: resources with parts taken out, swapped, or of another type.

``mutated`` changes a copy of a resource in one to three places; the same dice give the same copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from decimal import Decimal
from random import Random
from typing import Any

Json = dict[str, Any]

_LOINC = {"system": "http://loinc.org", "code": "1975-2"}
_FLAG = {"url": "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"}
ODD: tuple[Any, ...] = (
    None, [], {}, "", " ", 0, -1, True, False, 3.5, 10**30, [None], ["x"], [{}], [[{}]],
    *map(Decimal, ("1.50", "1e40", "1e-20", "9999999999999999999.5", "NaN", "Infinity")),
    "2026", "2026-03", "2026-03-04", "2026-03-04T05:06", "2026-03-04T23:59:60Z", "2026-02-30",
    "2026-03-04T05:06:07.123456789+08:00", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59Z",
    "banana", "final", "active", "entered-in-error", "unknown", "mg/dL", "umol/L", "K/uL", "{INR}",
    "5", "< 5", "LESS THAN 1.0", "1.2 - 1.4", "5 mg/dL", "Patient/p", "Patient/other", "#a",
    "http://x.example/fhir/Patient/p/_history/3", "urn:uuid:1", "Patient?identifier=1",
    {"reference": "Patient/p"}, {"reference": "Patient/q"}, {"coding": [_LOINC]},
    {"coding": [_LOINC, {"code": 5}, {"code": "x", "display": "X"}]}, {"coding": _LOINC},
    {"value": 5, "unit": "mg/dL"}, {"value": "5", "unit": "mg/dL"}, {"value": 9000, "code": "a"},
    {"value": Decimal("5.0"), "unit": "umol/L", "comparator": ">="}, {"value": 40, "unit": "years"},
    {"value": 5, "system": "http://unitsofmeasure.org", "code": "mg/dL", "unit": "x"},
    {"start": "2026-01", "end": "2026-02-03"}, {"end": "2026-02"}, {"resourceType": "x"},
    {"low": {"value": 1, "unit": "mg/dL"}, "high": {"value": 2, "unit": "mg/dL"}},
    {"extension": [{**_FLAG, "valueCoding": {"code": "V"}}]},
)  # fmt: skip
"""Values that stand where they do not belong."""

ELEMENTS: tuple[str, ...] = (
    "modifierExtension", "implicitRules", "extension", "component", "hasMember", "focus",
    "specimen", "contained", "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued",
    "valueQuantity", "valueString", "valueInteger", "valueRange", "valueRatio", "valueBoolean",
    "valueCodeableConcept", "valueDateTime", "dataAbsentReason", "interpretation",
    "referenceRange", "onsetDateTime", "onsetAge", "onsetPeriod", "onsetString",
    "abatementDateTime", "abatementPeriod", "recordedDate", "clinicalStatus", "verificationStatus",
    "stage", "severity", "code", "status", "meta", "encounter", "context", "subject", "id",
    "period", "performedDateTime", "performedPeriod", "performedAge", "performedString",
    "authoredOn", "doNotPerform", "intent", "dosageInstruction", "dispenseRequest", "daysSupply",
    "whenHandedOver", "occurrenceDateTime", "occurrenceString", "recorded", "reaction",
    "hospitalization", "class", "type", "reasonCode", "medicationReference", "dateAsserted",
    "medicationCodeableConcept", "date", "custodian", "content", "deceasedBoolean",
    "deceasedDateTime", "birthDate", "gender", "link", "identifier", "scope", "provision",
    "dateTime", "study", "questionnaire", "author", "item", "section", "conclusionCode",
)  # fmt: skip
"""Elements that the normaliser reads, of whatever type."""


def mutated(dice: Random, resource: Json, donors: Sequence[Json]) -> Json:
    """A copy that is wrong in one to three places; its type stays."""
    copy = deepcopy(resource)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        dice.choice(_CHANGES)(dice, copy, donors)
    return copy


def _taken_out(dice: Random, copy: Json, _donors: Sequence[Json]) -> None:
    place, key = dice.choice(_places(copy))
    del place[key]


def _swapped(dice: Random, copy: Json, _donors: Sequence[Json]) -> None:
    place, key = dice.choice(_places(copy))
    place[key] = deepcopy(dice.choice(ODD))


def _put_in(dice: Random, copy: Json, _donors: Sequence[Json]) -> None:
    copy[dice.choice(ELEMENTS)] = deepcopy(dice.choice(ODD))


def _listed(dice: Random, copy: Json, _donors: Sequence[Json]) -> None:
    place, key = dice.choice(_places(copy))
    place[key] = [place[key]]


def _borrowed(dice: Random, copy: Json, donors: Sequence[Json]) -> None:
    donor = dice.choice(donors)
    name = dice.choice(sorted(donor))
    if name != "resourceType":
        copy[name] = deepcopy(donor[name])


_CHANGES = (_taken_out, _swapped, _swapped, _put_in, _listed, _borrowed)


def _places(value: Any, *, top: bool = True) -> list[tuple[Any, Any]]:
    """Every (container, key) inside, but for the resource's own type."""
    if isinstance(value, dict):
        keys: list[Any] = [key for key in value if not (top and key == "resourceType")]
    else:
        keys = list(range(len(value))) if isinstance(value, list) else []
    found = [(value, key) for key in keys]
    return found + [p for key in keys for p in _places(value[key], top=False)] or [({0: 0}, 0)]
