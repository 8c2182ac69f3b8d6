"""One made-up patient whose resources have the shapes that the teaching cohort lacks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

LOINC, SNOMED, ATC = "http://loinc.org", "http://snomed.info/sct", "http://www.whocc.no/atc"
UCUM = "http://unitsofmeasure.org"
SUBJECT = {"reference": "Patient/shapes"}
VISIT = {"reference": "Encounter/visit"}


def _concept(*codings: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} for system, code in codings]}


def _local(code: str) -> dict[str, Any]:
    """A coding without a system."""
    return {"coding": [{"code": code}]}


def _amount(value: str, code: str, **more: Any) -> dict[str, Any]:
    return {"value": Decimal(value), "unit": code, "system": UCUM, "code": code, **more}


def _of(kind: str, own: str, **elements: Any) -> dict[str, Any]:
    owner = {"Immunization": "patient", "AllergyIntolerance": "patient",
             "ResearchSubject": "individual"}.get(kind, "subject")  # fmt: skip
    return {"resourceType": kind, "id": own, owner: SUBJECT, **elements}


_PRESSURE = [
    {"code": _concept((LOINC, "8480-6")), "valueQuantity": _amount("120", "mm[Hg]"),
     "interpretation": [_concept(("urn:interpretation", "N"))]},
    {"code": _concept((LOINC, "8462-4"), (SNOMED, "271650006")),
     "valueQuantity": _amount("80.50", "mm[Hg]"),
     "referenceRange": [{"high": _amount("90", "mm[Hg]")}]},
    {"code": {"text": "position"}, "valueCodeableConcept": _concept((SNOMED, "33586001"))},
]  # fmt: skip
_RESULT = {"status": "final", "code": _concept((LOINC, "6301-6"))}
_LIMIT = {"low": _amount("3.5", "g/dL"), "high": _amount("5.0", "g/dL")}

OBSERVATIONS = [
    _of("Observation", "pressure", status="final", code=_concept((LOINC, "85354-9")),
        effectiveDateTime="2026-03-04T10:11:12.5+08:00", component=_PRESSURE, encounter=VISIT),
    _of("Observation", "members", status="final", code=_concept((LOINC, "24323-8")),
        effectiveDateTime="2026-03-04", hasMember=[{"reference": "Observation/period"}]),
    _of("Observation", "period", **_RESULT, valueQuantity=_amount("1.20", "{INR}"),
        effectivePeriod={"start": "2026-03-01", "end": "2026-03-02"}),
    _of("Observation", "instant", **_RESULT, effectiveInstant="2026-03-04T10:00:00Z",
        valueQuantity={"value": Decimal("0.5"), "comparator": "<", "unit": "INR"}),
    _of("Observation", "issued", **_RESULT, issued="2026-03-05T10:00:00Z", valueInteger=2),
    _of("Observation", "words", status="preliminary", code=_local("INR"),
        effectiveDateTime="2026-03", valueString="not done"),
    _of("Observation", "range", **_RESULT, effectiveDateTime="2026",
        valueRange={"low": _amount("1", "1"), "high": _amount("2", "1")}),
    _of("Observation", "missing", **_RESULT, effectiveDateTime="2026-03-06",
        dataAbsentReason=_concept(("urn:reason", "unknown"))),
    _of("Observation", "answer", status="final", code={"text": "jaundice?"},
        effectiveDateTime="2026-03-06", valueCodeableConcept=_concept((SNOMED, "373066001")),
        interpretation=[_concept(("urn:interpretation", "A"))]),
    _of("Observation", "yes", status="final", code=_concept((SNOMED, "77386006")),
        effectiveDateTime="2026-03-06", valueBoolean=True),
    _of("Observation", "albumin", status="amended", code=_concept((LOINC, "1751-7")),
        effectiveDateTime="2026-03-06T08:00:00+08:00", valueQuantity=_amount("4.10", "g/dL"),
        referenceRange=[_LIMIT], meta={"versionId": "3"}),
]  # fmt: skip

_CONFIRMED = _concept(("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"))
_CIRRHOSIS = _concept((SNOMED, "19943007"), ("urn:hospital", "LC"))

EVENTS = [
    _of("Encounter", "visit", status="finished",
        **{"class": {"system": "urn:class", "code": "IMP"}},
        type=[_concept(("urn:type", "A")), _concept(("urn:type", "B"))],
        serviceType=_concept(("urn:service", "hep")), reasonCode=[_concept((SNOMED, "19943007"))],
        period={"start": "2026-03-01T08:00:00+08:00", "end": "2026-03-09"},
        hospitalization={"admitSource": _concept(("urn:source", "gp"))}),
    _of("Condition", "since", code=_CIRRHOSIS, verificationStatus=_CONFIRMED,
        onsetPeriod={"start": "2019-04"}, encounter=VISIT),
    _of("Condition", "written", code=_CIRRHOSIS, recordedDate="2020-05-06"),
    _of("Condition", "over", code=_CIRRHOSIS, verificationStatus=_CONFIRMED,
        onsetDateTime="2019", abatementDateTime="2021-07-08",
        meta={"lastUpdated": "2026-01-01T00:00:00Z"}),
    _of("Condition", "said", code={"text": "jaundice"}, onsetString="as a child"),
    _of("Procedure", "long", status="in-progress", code=_concept((SNOMED, "302497006")),
        performedPeriod={"start": "2026-03-02T08:00:00+08:00"}),
    _of("Immunization", "shot", status="completed", vaccineCode=_concept(("urn:cvx", "08")),
        occurrenceDateTime="2024-01-02"),
    _of("AllergyIntolerance", "allergy", code=_concept((SNOMED, "91936005")),
        verificationStatus=_CONFIRMED, criticality="high", recordedDate="2018",
        reaction=[{"substance": _concept((SNOMED, "764146007")), "severity": "severe",
                   "manifestation": [_concept((SNOMED, "39579001")), _concept(("urn:m", "x"))]}]),
    _of("AllergyIntolerance", "dated", code=_concept((SNOMED, "91936005")),
        verificationStatus=_CONFIRMED, onsetDateTime="2018-09-01"),
    _of("ServiceRequest", "order", status="active", intent="order", authoredOn="2026-03-03",
        code=_concept((LOINC, "6301-6")), category=[_concept((SNOMED, "108252007"))]),
    _of("DiagnosticReport", "report", status="final", code=_concept((LOINC, "24558-9")),
        category=[_concept(("urn:section", "RAD"))], issued="2026-03-03T09:00:00Z",
        conclusionCode=[_concept((SNOMED, "389026000"))]),
    _of("ResearchSubject", "subject", status="on-study", study={"reference": "ResearchStudy/x"},
        period={"start": "2026-01-01", "end": "2026-02-01"}),
]  # fmt: skip

_DRUG = _concept((ATC, "J05AF10"), ("urn:hospital", "ENT"))

MEDICATIONS = [
    {"resourceType": "Medication", "id": "mix", "code": _concept(("urn:hospital", "MIX")),
     "ingredient": [{"itemCodeableConcept": _concept((ATC, "J01CR02"))}]},
    _of("MedicationRequest", "referred", status="active", intent="order", authoredOn="2026-03-01",
        medicationReference={"reference": "Medication/mix"}),
    _of("MedicationRequest", "coded", status="stopped", intent="order", authoredOn="2026-02",
        medicationCodeableConcept=_DRUG, encounter=VISIT),
    _of("MedicationRequest", "line", status="completed", intent="order", authoredOn="2026-02-03",
        medicationCodeableConcept=_DRUG, dosageInstruction=[{"timing": {"repeat": {
            "boundsPeriod": {"start": "2026-02-04", "end": "2026-02-11"}}}}]),
    _of("MedicationStatement", "takes", status="active", medicationCodeableConcept=_DRUG,
        effectivePeriod={"start": "2025-12-01"}),
    _of("MedicationStatement", "took", status="completed", medicationCodeableConcept=_DRUG,
        effectivePeriod={"start": "2025-12-01", "end": "2025-12-09"}),
    _of("MedicationStatement", "said", status="completed", medicationCodeableConcept=_DRUG,
        dateAsserted="2026-01-05"),
    _of("MedicationAdministration", "given", status="completed", medicationCodeableConcept=_DRUG,
        effectivePeriod={"start": "2026-03-02T08:00:00Z", "end": "2026-03-02T09:00:00Z"},
        context=VISIT),
    _of("MedicationDispense", "handed", status="completed", medicationCodeableConcept=_DRUG,
        whenHandedOver="2026-03-02", daysSupply=_amount("28", "d")),
    _of("MedicationDispense", "prepared", status="in-progress", whenPrepared="2026-03-01",
        medicationCodeableConcept={"text": "an ointment"}),
]  # fmt: skip

RECORD: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "shapes", "gender": "female", "birthDate": "1970-02"},
    *OBSERVATIONS,
    *EVENTS,
    *MEDICATIONS,
]
