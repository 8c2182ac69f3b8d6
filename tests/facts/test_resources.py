"""Resource by resource: what each element becomes, what is ignored, what makes unknown.

A row: the resource, then what its (one) fact must show. "start" and "end" are local dates:
"2026-01-02", "2026-01-02..2026-01-09", "..2026-01-09", "2026-01-02..", "?" for anywhere.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from fhir_adapter import bootstrap
from fhir_adapter.facts import KINDS, Normaliser
from fhir_adapter.model.code import LOINC, SNOMED, Code
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Standing
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import BASE, LOCAL_FINDINGS, STRUCTURE
from fhir_adapter.ports import Pulled, PulledType
from fhir_adapter.settings import Settings

ME = {"reference": "Patient/p"}
IPS = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
BILIRUBIN = {"coding": [{"system": LOINC, "code": "1975-2"}]}
WEST_HAVEN = {"coding": [{"system": LOCAL_FINDINGS, "code": "west-haven-grade"}]}
CANCER = {"coding": [{"system": SNOMED, "code": "109841003"}], "text": "Liver cancer"}
ATC = {"coding": [{"system": "http://www.whocc.no/atc", "code": "L04AD01"}]}
FLAG = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
SICK, COUNTS, IGNORED = Standing.MAKES_UNKNOWN, Standing.COUNTS, Standing.IGNORED


@cache
def normaliser() -> Normaliser:
    return Normaliser(bootstrap.bench(Settings()).mappings)


def read(*resources: dict[str, Any], patient: bool = True, **more: Any) -> PatientRecord:
    own = [{"resourceType": "Patient", "id": "p", "birthDate": "1980-05-01"}] if patient else []
    types = more.pop("types", [PulledType(resource_type=name, complete=True) for name in KINDS])
    numbered = [{"id": f"r{n}", **r} for n, r in enumerate(resources)]
    pulled = Pulled(patient="p", resources=[*own, *numbered], types=tuple(types), **more)
    return normaliser()(pulled)


def facts(*resources: dict[str, Any], **more: Any) -> list[Fact]:
    found = read(*resources, **more).facts
    return [fact for fact in found if not fact.source.startswith("Patient/p")]


def days(lo: int, hi: int) -> str:
    if lo <= DATE_EARLIEST and hi >= DATE_LATEST:
        return "?"
    if lo == hi and lo < DATE_LATEST:
        return date.fromordinal(lo).isoformat()
    if lo >= DATE_LATEST:
        return "running"
    first = "" if lo <= DATE_EARLIEST else date.fromordinal(lo).isoformat()
    last = "" if hi >= DATE_LATEST else date.fromordinal(hi).isoformat()
    return f"{first}..{last}"


def shown(fact: Fact, name: str) -> Any:
    if name == "start":
        return days(fact.start_date_lo, fact.start_date_hi)
    if name == "end":
        return days(fact.end_date_lo, fact.end_date_hi)
    if name == "known":
        return days(*(2 * [fact.known_from // 86_400_000_000 + 719_163]))
    if name == "codes":
        return [code.code for code in fact.concepts]
    if name == "values":
        return [code.code for code in fact.value_concepts]
    found = getattr(fact, name)
    return found.normalize() if isinstance(found, Decimal) else found


def obs(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "status": "final", "code": BILIRUBIN, "subject": ME,
        "effectiveDateTime": "2026-01-02", **more,
    }  # fmt: skip


def quantity(value: Any, unit: str = "mg/dL", **more: Any) -> dict[str, Any]:
    return {"valueQuantity": {"value": value, "unit": unit, **more}}


def coded_unit(value: Any, unit: str, code: str) -> dict[str, Any]:
    return quantity(value, unit, system="http://unitsofmeasure.org", code=code)


def bare(resource: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in names}


OBSERVATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a number": (
        obs(**quantity(Decimal("5.0"))),
        {"value_lo": Decimal(5), "unit": "mg/dL", "standing": COUNTS, "start": "2026-01-02"},
    ),
    "another unit": (
        obs(**quantity(85, "umol/L")),
        {"reported_lo": Decimal(85), "reported_unit": "umol/L", "unit": "mg/dL"},
    ),
    "a unit shown as another than its code": (
        obs(**coded_unit(210, "umol/L", "mg/dL")),
        {
            "value_lo": None, "reported_lo": None, "raw_value": "210", "raw_unit": "mg/dL",
            "standing_reason": Reason.RECORDED_UNUSABLE, "issues": ("unit-contradicts-code",),
        },
    ),
    "a unit shown in other letters": (
        obs(**coded_unit(5, "MG/DL", "mg/dL")), {"value_lo": Decimal(5), "issues": ()},
    ),
    "a unit shown in words nobody knows": (
        obs(**coded_unit(5, "milligrams", "mg/dL")), {"value_lo": Decimal(5), "issues": ()},
    ),
    "a unit shown beside an unknown code": (
        obs(**coded_unit(5, "mg/dL", "furlong")),
        {"standing_reason": Reason.UNIT_NOT_CONVERTIBLE, "issues": ("unit-not-convertible",)},
    ),
    "another name of a unit of the same size": (
        obs(code={"coding": [{"system": LOINC, "code": "777-3"}]},
            **coded_unit(48, "K/uL", "10*9/L")),
        {"value_lo": Decimal(48), "issues": ()},
    ),
    "two units of a code without units": (
        obs(code={"text": "?"}, **coded_unit(5, "umol/L", "mg/dL")), {"reported_lo": Decimal(5)},
    ),
    "a range with an end in two units": (
        obs(valueRange={"low": {"value": 3, "unit": "mg/dL"},
                        "high": coded_unit(4, "umol/L", "mg/dL")["valueQuantity"]}),
        {"value_lo": None, "issues": ("unit-contradicts-code",)},
    ),
    "limits in two units": (
        obs(**quantity(5), referenceRange=[
            {"high": coded_unit(17, "umol/L", "mg/dL")["valueQuantity"]}]),
        {"ref_high": None, "value_lo": Decimal(5)},
    ),
    "below": (
        obs(**quantity(5, comparator="<")),
        {"value_lo": None, "value_hi": Decimal(5), "value_hi_open": True},
    ),
    "at most": (obs(**quantity(5, comparator="<=")), {"value_lo": None, "value_hi_open": False}),
    "above": (obs(**quantity(5, comparator=">")), {"value_hi": None, "value_lo_open": True}),
    "at least": (obs(**quantity(5, comparator=">=")), {"value_hi": None, "value_lo_open": False}),
    "no number": (
        obs(valueQuantity={"unit": "mg/dL"}),
        {"standing": SICK, "standing_reason": Reason.RECORDED_UNUSABLE, "issues": ()},
    ),
    "a word for a number": (
        obs(**quantity("five")), {"standing": SICK, "issues": ("value-not-a-number",)},
    ),
    "not a number at all": (obs(**quantity(Decimal("NaN"))), {"standing": SICK}),
    "an unknown unit": (
        obs(**quantity(5, "furlong")),
        {"standing_reason": Reason.UNIT_NOT_CONVERTIBLE, "value_lo": None, "raw_value": "5"},
    ),
    "too large": (
        obs(**quantity(Decimal("1e30"))),
        {"standing_reason": Reason.RECORDED_UNUSABLE, "issues": ("value-does-not-fit",)},
    ),
    "below zero": (
        obs(**quantity(-5)),
        {
            "value_lo": None, "reported_lo": None, "raw_value": "-5",
            "standing_reason": Reason.RECORDED_UNUSABLE, "issues": ("value-negative",),
        },
    ),
    "far too large": (obs(**quantity(Decimal("1e300"))), {"issues": ("value-does-not-fit",)}),
    "too large once converted": (
        obs(
            code={"coding": [{"system": "http://loinc.org", "code": "1742-6"}]},
            **quantity(Decimal("9e18"), "ukat/L"),
        ),
        {"value_lo": None, "reported_lo": None, "issues": ("value-does-not-fit",)},
    ),
    "too large in an unknown unit": (
        obs(**quantity(Decimal("1e19"), "furlong")),
        {"reported_lo": None, "issues": ("value-does-not-fit",)},
    ),
    "too large for a code without units": (
        obs(code={"text": "?"}, **quantity(Decimal("1e30"))),
        {"reported_lo": None, "standing": SICK, "issues": ("value-does-not-fit",)},
    ),
    "more decimals than are held": (
        obs(**quantity(Decimal("0.30000000000000004"))),
        {"reported_lo": Decimal("0.3"), "value_lo": Decimal("0.3"), "issues": ()},
    ),
    "the last grade of a scale": (
        obs(code=WEST_HAVEN, valueInteger=4), {"value_lo": Decimal(4), "issues": ()},
    ),
    "a grade beyond its scale": (
        obs(code=WEST_HAVEN, valueInteger=15),
        {
            "value_lo": None, "raw_value": "15", "standing_reason": Reason.RECORDED_UNUSABLE,
            "issues": ("value-off-scale",),
        },
    ),
    "grades that end beyond their scale": (
        obs(code=WEST_HAVEN, valueString="3 - 5"),
        {"value_hi": None, "issues": ("number-in-text", "value-off-scale")},
    ),
    "grades without an end": (
        obs(code=WEST_HAVEN, valueQuantity={"value": 2, "comparator": ">="}),
        {"value_lo": Decimal(2), "value_hi": None, "issues": ()},
    ),
    "a score below its scale": (
        obs(code={"coding": [{"system": LOCAL_FINDINGS, "code": "child-pugh-score"}]},
            valueInteger=4),
        {"value_lo": None, "issues": ("value-off-scale",)},
    ),
    "text with a number": (
        obs(valueString="LESS THAN 1.0 mg/dL"),
        {"value_hi": Decimal(1), "comparator": "<", "issues": ("number-in-text",)},
    ),
    "text with a range": (
        obs(valueString="1.2 - 1.4 mg/dL"),
        {"value_lo": Decimal("1.2"), "value_hi": Decimal("1.4")},
    ),
    "text with two signs": (obs(valueString="> 1.2 - 1.4"), {"value_lo": None, "unit": ""}),
    "text with a foreign unit": (
        obs(valueString="5 apples"), {"value_lo": None, "standing": COUNTS},
    ),
    "text": (obs(valueString="haemolysed"), {"raw_value": "haemolysed", "value_lo": None}),
    "no text": (obs(valueString=""), {"raw_value": ""}),
    "an integer without unit": (
        obs(valueInteger=5), {"standing_reason": Reason.UNIT_NOT_CONVERTIBLE},
    ),
    "an integer that is none": (obs(valueInteger="x"), {"issues": ("value-not-a-number",)}),
    "a range": (
        obs(valueRange={"low": {"value": 3, "unit": "mg/dL"}, "high": {"value": 4}}),
        {"value_lo": Decimal(3), "value_hi": Decimal(4)},
    ),
    "an empty range": (obs(valueRange={}), {"standing": SICK}),
    "a ratio": (obs(valueRatio={}), {"issues": ("value-type-not-read",)}),
    "yes": (obs(valueBoolean=True), {"values": ["yes"]}),
    "a rubbish boolean": (obs(valueBoolean="maybe"), {"values": []}),
    "a code": (obs(valueCodeableConcept=CANCER), {"values": ["109841003"]}),
    "absent": (
        obs(dataAbsentReason={"text": "refused"}),
        {"standing": SICK, "issues": ("data-absent",)},
    ),
    "its own limits": (
        obs(**quantity(5), referenceRange=[
            {"appliesTo": [{}], "high": {"value": 9, "unit": "mg/dL"}},
            {"low": {"value": 0.2, "unit": "mg/dL"}, "high": {"value": 1, "unit": "mg/dL"}}]),
        {"ref_low": Decimal("0.2"), "ref_high": Decimal(1)},
    ),
    "limits in an unknown unit": (
        obs(**quantity(5), referenceRange=[{"high": {"value": 1, "unit": "x"}}]),
        {"ref_high": None},
    ),
    "preliminary": (
        obs(status="preliminary", **quantity(5)), {"standing_reason": Reason.PENDING},
    ),
    "registered": (obs(status="registered"), {"standing_reason": Reason.PENDING}),
    "entered in error": (obs(status="entered-in-error", **quantity(5)), {"standing": IGNORED}),
    "a status of its own": (obs(status="odd", **quantity(5)), {"standing": SICK}),
    "about the mother": (obs(focus=[{"reference": "Patient/m"}]), {"about_other": True}),
    "about oneself": (obs(focus=[ME]), {"about_other": False}),
    "another's specimen": (
        obs(contained=[{"resourceType": "Specimen", "id": "s",
                        "subject": {"reference": "Patient/donor"}}],
            specimen={"reference": "#s"}),
        {"about_other": True},
    ),
    "a period": (
        {**bare(obs(), "effectiveDateTime"), "effectivePeriod": {"start": "2026-01-02"}},
        {"start": "2026-01-02", "end": "2026-01-02.."},
    ),
    "only an end": (
        {**bare(obs(), "effectiveDateTime"), "effectivePeriod": {"end": "2026-01-02"}},
        {"start": "..2026-01-02", "end": "2026-01-02"},
    ),
    "an empty period": (
        {**bare(obs(), "effectiveDateTime"), "effectivePeriod": {}}, {"start": "?"},
    ),
    "issued only": (
        {**bare(obs(), "effectiveDateTime"), "issued": "2026-01-05T08:00:00+08:00"},
        {"start": "..2026-01-05", "date_source": "issued"},
    ),
    "no date": (bare(obs(), "effectiveDateTime"), {"start": "?"}),
    "a rubbish date": (obs(effectiveDateTime="yesterday"), {"start": "?"}),
    "a month": (obs(effectiveDateTime="2026-02"), {"start": "2026-02-01..2026-02-28"}),
    "a modifier nobody knows": (
        obs(modifierExtension=[{"url": "urn:x"}], **quantity(5)),
        {"standing": SICK, "issues": ("unknown-modifier",)},
    ),
    "implicit rules": (obs(implicitRules="urn:x", **quantity(5)), {"issues": ("implicit-rules",)}),
    "an erroneous one with a modifier": (
        obs(status="entered-in-error", modifierExtension=[{"url": "urn:x"}]), {"standing": IGNORED},
    ),
}  # fmt: skip


def condition(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition", "code": CANCER, "subject": ME,
        "clinicalStatus": {"coding": [{"code": "active"}]}, **more,
    }  # fmt: skip


def verified(code: str) -> dict[str, Any]:
    return condition(verificationStatus={"coding": [{"code": code}]})


def flagged(flag: Any, key: str = "valueCoding") -> dict[str, Any]:
    value = {"code": flag} if key == "valueCoding" else flag
    coding = {**CANCER["coding"][0], "extension": [{"url": FLAG, key: value}]}  # type: ignore[index] # it is there
    return condition(code={"coding": [coding]})


CONDITIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "active": (condition(), {"standing": COUNTS, "clinical_status": "active", "end": "running"}),
    "provisional": (verified("provisional"), {"standing_reason": Reason.UNCONFIRMED}),
    "refuted": (verified("refuted"), {"standing": IGNORED}),
    "of its own status": (verified("perhaps"), {"standing": SICK}),
    "refuted in words": (
        condition(verificationStatus={"text": "refuted"}),
        {"standing": SICK, "standing_reason": Reason.RECORDED_UNUSABLE},
    ),
    "refuted as a display": (
        condition(verificationStatus={"coding": [{"display": "Refuted"}]}), {"standing": SICK},
    ),
    "refuted as a bare word": (condition(verificationStatus="refuted"), {"standing": SICK}),
    "an empty verification": (condition(verificationStatus={}), {"standing": COUNTS}),
    "active in words": (
        condition(clinicalStatus={"text": "active"}, onsetDateTime="2020-01-01"),
        {"clinical_status": "", "end": "2020-01-01.."},
    ),
    "active by a code of its own": (
        condition(clinicalStatus={"coding": [{"code": "odd"}]}, onsetDateTime="2020-01-01"),
        {"clinical_status": "", "end": "2020-01-01.."},
    ),
    "flag suspected": (flagged("V"), {"standing_reason": Reason.UNCONFIRMED}),
    "flag excluded": (flagged("A", "valueCode"), {"standing": IGNORED}),
    "flag history": (
        flagged("Z", "valueString"), {"clinical_status": "history", "stage": ""},
    ),
    "flag confirmed": (flagged("G"), {"standing": COUNTS}),
    "flag unknown": (flagged("Q"), {"standing": COUNTS}),
    "flag empty": (flagged(""), {"standing": COUNTS}),
    "suspected and refuted": (
        {**flagged("V"), "verificationStatus": {"coding": [{"code": "refuted"}]}},
        {"standing": IGNORED},
    ),
    "stage and severity": (
        condition(stage=[{}, {"summary": {"coding": [{"code": "II"}]}}],
                  severity={"coding": [{"code": "24484000"}]}),
        {"stage": "II", "severity": "24484000"},
    ),
    "onset": (condition(onsetDateTime="2020-05"), {"start": "2020-05-01..2020-05-31"}),
    "recorded only": (
        condition(recordedDate="2020-05-04"), {"start": "..2020-05-04", "date_source": "recorded"},
    ),
    "onset and recorded": (
        condition(onsetDateTime="2019-01-01", recordedDate="2020-05-04"), {"start": "2019-01-01"},
    ),
    "no date": (condition(), {"start": "?"}),
    "onset period": (condition(onsetPeriod={"start": "2020-01-01"}), {"start": "2020-01-01"}),
    "empty onset period": (condition(onsetPeriod={}), {"start": "?"}),
    "onset at an age": (
        condition(onsetAge={"value": 30, "unit": "years", "code": "a"}),
        {"start": "2010-05-01..2011-04-30"},
    ),
    "onset at an age in months": (
        condition(onsetAge={"value": 30, "unit": "months"}),
        {"start": "?", "issues": ("onset-not-a-date",)},
    ),
    "onset as text": (condition(onsetString="long ago"), {"issues": ("onset-not-a-date",)}),
    "ended": (condition(abatementDateTime="2021-01-01"), {"end": "2021-01-01"}),
    "ended by rubbish": (
        condition(onsetDateTime="2020-01-01", abatementDateTime="later"), {"end": "2020-01-01.."},
    ),
    "ended in a period": (
        condition(abatementPeriod={"start": "2021-01-01", "end": "2021-02-01"}),
        {"end": "2021-02-01"},
    ),
    "not active": (
        condition(clinicalStatus={}, onsetDateTime="2020-01-01"), {"end": "2020-01-01.."},
    ),
    "none known": (
        condition(code={"coding": [{"system": IPS, "code": "no-known-problems"}]}),
        {"recorded_absence": True, "kind": Kind.CONDITION},
    ),
    "not asked": (
        condition(code={"coding": [{"system": IPS, "code": "no-problem-info"}]}),
        {"standing": IGNORED, "issues": ("no-information-statement",)},
    ),
}  # fmt: skip


def drug(resource_type: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": resource_type, "status": status, "subject": ME,
        "medicationCodeableConcept": ATC, **more,
    }  # fmt: skip


def order(status: str = "active", **more: Any) -> dict[str, Any]:
    return drug("MedicationRequest", status, intent="order", authoredOn="2026-01-02", **more)


def dosage(**bounds: str) -> dict[str, Any]:
    return {"dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": bounds}}}]}


MEDICATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ordered": (order(), {"start": "2026-01-02", "end": "running", "codes": ["L04AD01"]}),
    "finished": (order("completed"), {"end": "2026-01-02.."}),
    "valid until": (
        order("completed", dispenseRequest={"validityPeriod": {"end": "2026-02-01"}}),
        {"end": "2026-02-01"},
    ),
    "cancelled": (order("cancelled"), {"standing": IGNORED}),
    "a plan": (order() | {"intent": "plan"}, {"standing": SICK, "issues": ("not-an-order",)}),
    "not to be given": (order(doNotPerform=True), {"issues": ("do-not-perform",)}),
    "a cancelled order not to": (order("cancelled", doNotPerform=True), {"standing": IGNORED}),
    "with bounds": (
        order(**dosage(start="2026-01-05", end="2026-01-09")),
        {"start": "2026-01-05", "end": "2026-01-09", "date_source": "dosage"},
    ),
    "with half a bound": (order(**dosage(start="2026-01-05")), {"date_source": "authored"}),
    "with bounds and no date": (
        bare(order(**dosage(start="2026-01-05", end="2026-01-09")), "authoredOn"),
        {"start": "2026-01-05"},
    ),
    "without a date": (bare(order(), "authoredOn"), {"start": "?"}),
    "rubbish date": (order() | {"authoredOn": "x"}, {"start": "?"}),
    "text only": (
        order() | {"medicationCodeableConcept": {"text": "a pill"}},
        {"codes": [], "issues": ("medication-without-code",), "label": "a pill"},
    ),
    "a reference to nothing": (
        {**bare(order(), "medicationCodeableConcept"),
         "medicationReference": {"reference": "Medication/none", "display": "A pill"}},
        {"codes": [], "issues": ("medication-not-resolved",), "label": "A pill"},
    ),
    "contained with ingredients": (
        {**bare(order(), "medicationCodeableConcept"),
         "contained": [
             {"resourceType": "Medication", "id": "m", "ingredient": [
                 {"itemCodeableConcept": ATC}, {"itemReference": {"reference": "#n"}}]},
             {"resourceType": "Medication", "id": "n", "code": CANCER, "ingredient": [
                 {"itemReference": {"reference": "#m"}}]}],
         "medicationReference": {"reference": "#m", "display": "Mixture"}},
        {"codes": ["L04AD01", "109841003"], "label": "Mixture"},
    ),
    "contained without a code": (
        {**bare(order(), "medicationCodeableConcept"),
         "contained": [{"resourceType": "Medication", "id": "m"}],
         "medicationReference": {"reference": "#m"}},
        {"issues": ("medication-without-code",)},
    ),
    "taken": (
        drug("MedicationStatement", "active", effectiveDateTime="2026-01-02"),
        {"start": "2026-01-02", "end": "running"},
    ),
    "taken once": (
        drug("MedicationStatement", "completed", effectiveDateTime="2026-01-02"),
        {"end": "2026-01-02"},
    ),
    "taken, as said later": (
        drug("MedicationStatement", "active", effectiveDateTime="2026-01-02",
             dateAsserted="2026-03-01"),
        {"start": "2026-01-02", "known": "2026-02-28"},
    ),
    "taken for a period": (
        drug("MedicationStatement", "completed", effectivePeriod={"start": "2026-01-02",
                                                                 "end": "2026-01-04"}),
        {"end": "2026-01-04"},
    ),
    "taken at a rubbish time": (
        drug("MedicationStatement", "active", effectiveDateTime="x"), {"start": "?"},
    ),
    "said to be taken": (
        drug("MedicationStatement", "active", dateAsserted="2026-03-01"),
        {"start": "..2026-03-01", "end": "running"},
    ),
    "said to have been taken": (
        drug("MedicationStatement", "completed", dateAsserted="2026-03-01"), {"end": "?"},
    ),
    "taken some time": (drug("MedicationStatement", "active"), {"start": "?"}),
    "given": (
        drug("MedicationAdministration", "completed", effectiveDateTime="2026-01-02T08:00:00Z",
             context={"reference": "Encounter/e"}),
        {"start": "2026-01-02", "encounter": "Encounter/e"},
    ),
    "given at no time": (drug("MedicationAdministration", "completed"), {"start": "?"}),
    "not given": (drug("MedicationAdministration", "not-done"), {"standing": IGNORED}),
    "handed over": (
        drug("MedicationDispense", "completed", whenHandedOver="2026-01-02",
             daysSupply={"value": 10, "unit": "d"}),
        {"start": "2026-01-02", "end": "2026-01-11"},
    ),
    "handed over for half a day": (
        drug("MedicationDispense", "completed", whenHandedOver="2026-01-02",
             daysSupply={"value": Decimal("0.5"), "unit": "d"}),
        {"end": "2026-01-02"},
    ),
    "handed over in boxes": (
        drug("MedicationDispense", "completed", whenPrepared="2026-01-02",
             daysSupply={"value": 10, "unit": "box"}),
        {"date_source": "whenPrepared", "end": "2026-01-02.."},
    ),
    "prepared some time": (drug("MedicationDispense", "preparation"), {"start": "?"}),
    "none known": (
        order() | {"medicationCodeableConcept": {
            "coding": [{"system": IPS, "code": "no-known-medications"}]}},
        {"recorded_absence": True},
    ),
}  # fmt: skip


def procedure(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Procedure", "status": "completed", "code": CANCER, "subject": ME, **more,
    }  # fmt: skip


def vaccine(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Immunization", "status": "completed", "vaccineCode": ATC, "patient": ME,
        **more,
    }  # fmt: skip


RESEARCH = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                        "code": "research"}]}  # fmt: skip


OPTOUT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                      "code": "OPTOUT"}]}  # fmt: skip


def scope(code: str) -> dict[str, Any]:
    return {"coding": [{**RESEARCH["coding"][0], "code": code}]}


def consent(status: str = "active", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent", "status": status, "scope": RESEARCH, "patient": ME,
        "dateTime": "2026-01-02", **more,
    }  # fmt: skip


def document(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference", "status": "current", "subject": ME,
        "content": [{}, {"attachment": {"creation": "2026-01-01"}}], **more,
    }  # fmt: skip


def subject(status: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ResearchSubject", "status": status, "individual": ME,
        "study": {"reference": "ResearchStudy/x"}, **more,
    }  # fmt: skip


def ordered_test(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "code": BILIRUBIN,
        "subject": ME, "authoredOn": "2026-01-02", **more,
    }  # fmt: skip


def allergy(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "AllergyIntolerance", "patient": ME, "code": CANCER,
        "clinicalStatus": {"coding": [{"code": "active"}]}, **more,
    }  # fmt: skip


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "procedure done": (procedure(performedDateTime="2026-01-02"), {"start": "2026-01-02"}),
    "procedure of rubbish date": (procedure(performedDateTime="x"), {"start": "?"}),
    "procedure of a period": (
        procedure(performedPeriod={"start": "2026-01-02"}) | {"status": "in-progress"},
        {"end": "running"},
    ),
    "procedure at an age": (
        procedure(performedAge={"value": 1, "code": "a"}), {"start": "1981-05-01..1982-04-30"},
    ),
    "procedure at a strange age": (
        procedure(performedAge={}), {"start": "?", "issues": ("performed-not-a-date",)},
    ),
    "procedure of no date": (procedure(), {"start": "?", "issues": ()}),
    "procedure not done": (procedure(status="not-done"), {"standing": IGNORED}),
    "vaccine": (vaccine(occurrenceDateTime="2026-01-02"), {"start": "2026-01-02"}),
    "vaccine recorded": (
        vaccine(occurrenceDateTime="2026-01-02", recorded="2026-02-01"), {"known": "2026-01-31"},
    ),
    "vaccine of rubbish date": (vaccine(occurrenceDateTime="x"), {"start": "?"}),
    "vaccine as text": (
        vaccine(occurrenceString="as a child"), {"issues": ("occurrence-not-a-date",)},
    ),
    "vaccine of no date": (vaccine(), {"start": "?"}),
    "no vaccines": (
        vaccine(vaccineCode={"coding": [{"system": IPS, "code": "no-known-immunizations"}]}),
        {"recorded_absence": True},
    ),
    "consent permits": (
        consent(provision={"type": "permit", "period": {"end": "2027-01-01"}}),
        {"codes": ["research-permit"], "end": "2027-01-01"},
    ),
    "consent denies": (
        consent(provision={"type": "deny", "period": {"end": "2026-01-03"}}),
        {"codes": ["research-deny"], "end": "running"},
    ),
    "consent rejected": (consent("rejected"), {"codes": ["research-deny"]}),
    "consent in draft": (consent("draft"), {"standing": IGNORED, "codes": []}),
    "consent of no type": (
        consent(), {"standing": SICK, "issues": ("consent-without-type",)},
    ),
    "consent denies in a scope of words": (
        consent(scope={"text": "Research"}, provision={"type": "deny"}),
        {"codes": ["research-deny"], "standing": COUNTS, "issues": ("consent-scope-not-read",)},
    ),
    "consent rejected in a scope of its own": (
        consent("rejected", scope={"coding": [{"system": "urn:x", "code": "research"}]}),
        {"codes": ["research-deny"], "issues": ("consent-scope-not-read",)},
    ),
    "consent opts out of every use": (
        consent(scope=scope("patient-privacy"), policyRule=OPTOUT),
        {"codes": ["research-deny"], "standing": COUNTS, "issues": ("privacy-opt-out",)},
    ),
    "consent of the category opt-out": (
        consent(scope=scope("patient-privacy"), category=[OPTOUT]),
        {"codes": ["research-deny"], "issues": ("privacy-opt-out",)},
    ),
    "consent opts out of research": (
        consent(policyRule=OPTOUT), {"codes": ["research-deny"], "issues": ()},
    ),
    "consent permits and denies": (
        consent(provision={"type": "permit", "provision": [{"type": "deny", "purpose": []}]}),
        {"codes": ["research-deny"]},
    ),
    "consent permits all but one purpose": (
        consent(provision={"type": "permit", "provision": [
            {"type": "deny", "purpose": [{"code": "HMARKT"}]}, {"type": "permit"}]}),
        {"codes": ["research-permit"]},
    ),
    "consent of a status of its own": (
        consent("odd", provision={"type": "deny"}), {"standing": SICK, "codes": []},
    ),
    "consent without a date": (bare(consent("rejected"), "dateTime"), {"start": "?"}),
    "document from outside": (document(date="2026-01-02T00:00:00Z"), {"stage": "outside"}),
    "document dated by its content": (
        document(), {"start": "2026-01-01", "date_source": "created"},
    ),
    "document without date": (document(content=[]), {"start": "?"}),
    "document of our own": (
        document(custodian={"reference": "Organization/we"}), {"stage": ""},
    ),
    "in another trial": (
        subject("on-study", period={"start": "2026-01-02"}),
        {"standing": COUNTS, "set_by": "person", "end": "running", "study": "ResearchStudy/x"},
    ),
    "off another trial": (
        subject("off-study", period={"start": "2026-01-02", "end": "2026-02-02"}),
        {"end": "2026-02-02"},
    ),
    "screened for another trial": (
        subject("screening"), {"standing_reason": Reason.NEEDS_HUMAN},
    ),
    "in a trial, oddly": (subject("odd"), {"standing": SICK}),
    "proposed by a machine": (
        subject("candidate", _status={"extension": [
            {"url": f"{STRUCTURE}/status-set-by", "valueCode": "machine"}]}),
        {"standing": IGNORED, "set_by": "machine"},
    ),
    "in a trial known by identifier": (
        subject("on-study", study={"identifier": {"system": "urn:r", "value": "9"}}),
        {"study": "urn:r|9"},
    ),
    "in a trial of no name": (subject("on-study", study={}), {"study": ""}),
    "test ordered": (ordered_test(), {"start": "2026-01-02", "end": "running"}),
    "test ordered and done": (ordered_test(status="completed"), {"end": "2026-01-02.."}),
    "test proposed": (ordered_test(intent="proposal"), {"issues": ("not-an-order",)}),
    "test forbidden": (ordered_test(doNotPerform=True), {"issues": ("do-not-perform",)}),
    "test ordered some time": (bare(ordered_test(), "authoredOn"), {"start": "?"}),
    "allergy": (allergy(criticality="high"), {"criticality": "high", "kind": Kind.ALLERGY}),
    "allergy refuted in words": (
        allergy(criticality="high", verificationStatus={"text": "refuted"}), {"standing": SICK},
    ),
    "allergy that showed itself": (
        allergy(reaction=[{"substance": ATC, "manifestation": [
            {"coding": [{"system": SNOMED, "code": "39579001"}]}, {"text": "hives"}]}]),
        {"codes": ["109841003", "L04AD01", "39579001"], "values": ["39579001"]},
    ),
    "no allergy": (
        allergy(code={"coding": [{"system": SNOMED, "code": "716186003"}]}),
        {"recorded_absence": True},
    ),
    "no drug allergy": (
        allergy(code={"coding": [{"system": IPS, "code": "no-known-medication-allergies"}]}),
        {"recorded_absence": False},
    ),
}  # fmt: skip

TABLES = {"Observation": OBSERVATIONS, "Condition": CONDITIONS, "drug": MEDICATIONS, "": OTHERS}
ROWS = [(table, name) for table, rows in TABLES.items() for name in rows]


@pytest.mark.parametrize(("table", "name"), ROWS, ids=lambda part: part)
def test_a_resource_becomes_its_fact(table: str, name: str) -> None:
    resource, expected = TABLES[table][name]
    found = facts(resource)
    assert len(found) == 1
    assert {key: shown(found[0], key) for key in expected} == expected


# ------------------------------------------------------------------- several facts, or none


REGISTRY = {"system": "https://clinicaltrials.gov", "value": "NCT1"}
INTERNAL = {"system": "urn:hospital:trials", "value": "17"}


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ([REGISTRY], "https://clinicaltrials.gov|NCT1"),
        (
            [INTERNAL, {**REGISTRY, "system": "http://clinicaltrials.gov"}],
            "https://clinicaltrials.gov|NCT1",
        ),
        ([INTERNAL], "urn:hospital:trials|17"),
        ([{"value": "17"}], "ResearchStudy/x"),
        ([], "ResearchStudy/x"),
    ],
    ids=["registered", "an id of the hospital first", "not registered", "no system", "none"],
)
def test_a_study_under_the_servers_own_id_is_known_by_its_identifier(
    identifiers: list[dict[str, Any]], expected: str
) -> None:
    study = {"resourceType": "ResearchStudy", "id": "x", "identifier": identifiers}
    (found,) = facts(study, subject("on-study"))
    assert found.study == expected


def test_components_are_facts_of_their_own_and_keep_their_doubts() -> None:
    found = facts(
        obs(
            component=[
                {"code": BILIRUBIN, **quantity(5)},
                {"code": BILIRUBIN, **quantity(6), "modifierExtension": [{"url": "urn:x"}]},
            ]
        )
    )
    assert [(f.source, f.standing) for f in found] == [
        ("Observation/r0#component[0]", COUNTS),
        ("Observation/r0#component[1]", SICK),
    ]


def test_a_panel_with_a_value_of_its_own_is_a_fact_too() -> None:
    found = facts(obs(**quantity(4), hasMember=[{"reference": "Observation/x"}]))
    assert len(found) == 1
    assert facts(obs(hasMember=[{"reference": "Observation/x"}])) == []


def test_consents_and_questionnaires_of_others_say_nothing() -> None:
    denied = {"provision": {"type": "deny"}}
    assert facts(consent() | {"scope": {}}) == []
    assert facts(consent(scope={"text": "Research"}, provision={"type": "permit"})) == []
    assert facts(consent(scope={"text": "Research"}, **denied) | {"status": "draft"}) == []
    assert facts(consent("inactive", scope={"text": "Treatment"})) == []
    assert facts(consent(scope=scope("treatment"), policyRule=OPTOUT, **denied)) == []
    assert facts(consent(scope=scope("patient-privacy"), **denied)) == []
    assert facts(consent("inactive", scope=scope("patient-privacy"), policyRule=OPTOUT)) == []
    answers = {"resourceType": "QuestionnaireResponse", "subject": ME, "questionnaire": "urn:x"}
    assert facts(answers) == []


def answers(**more: Any) -> dict[str, Any]:
    given = {
        "linkId": "pregnant", "answer": [
            {"valueCoding": {"system": f"{BASE}/CodeSystem/answer", "code": "no"}},
            {"valueString": "no"}],
        "item": [{"linkId": "inner", "answer": [
            {"valueCoding": {"system": f"{BASE}/CodeSystem/answer", "code": "yes"}}]}],
    }  # fmt: skip
    return {
        "resourceType": "QuestionnaireResponse", "status": "completed", "subject": ME,
        "questionnaire": f"{BASE}/Questionnaire/NCT1|1", "author": {"reference": "Practitioner/a"},
        "authored": "2026-01-02T08:00:00Z", "item": [given], **more,
    }  # fmt: skip


def test_answers_of_people_are_facts_with_their_question() -> None:
    found = facts(answers())
    assert [(shown(f, "codes"), shown(f, "values")) for f in found] == [
        (["NCT1/pregnant"], ["no"]),
        (["NCT1/inner"], ["yes"]),
    ]
    assert {f.set_by for f in found} == {"person"}


def test_an_answer_without_author_is_ignored_and_one_without_date_is_of_any_date() -> None:
    assert {f.standing for f in facts(bare(answers(), "author"))} == {IGNORED}
    assert {shown(f, "start") for f in facts(bare(answers(), "authored"))} == {"?"}


PATIENTS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "a plain one": (
        {"birthDate": "1980-05-02", "gender": "female"},
        {"birth-date": {"start": "1980-05-02"}, "sex": {"values": ["female"]}},
    ),
    "a new year's birthday": (
        {"birthDate": "1980-01-01"}, {"birth-date": {"issues": ("birth-date-suspect",)}},
    ),
    "a rubbish birthday": ({"birthDate": "x"}, {"birth-date": {"standing": SICK}}),
    "birth sex": (
        {"gender": "unknown", "extension": [{
            "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
            "valueCode": "M"}]},
        {"sex": {"values": ["male"], "date_source": "birth-sex"}},
    ),
    "sex for clinical use": (
        {"gender": "male", "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/patient-sexParameterForClinicalUse",
            "extension": [{"url": "value", "valueCodeableConcept": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/sex-parameter-for-clinical-use",
                "code": "female-typical"}]}}]}]},
        {"sex": {"values": ["female"], "date_source": "sex-for-clinical-use"}},
    ),
    "dead": ({"deceasedBoolean": True}, {"deceased": {"start": "?"}}),
    "dead since": ({"deceasedDateTime": "2026-01-02"}, {"deceased": {"start": "2026-01-02"}}),
    "dead since rubbish": ({"deceasedDateTime": "x"}, {"deceased": {"start": "?"}}),
    "dead in a word": (
        {"deceasedBoolean": "true"},
        {"deceased": {"start": "?", "standing": COUNTS, "issues": ("deceased-not-a-boolean",)}},
    ),
    "dead in a number": (
        {"deceasedBoolean": 1}, {"deceased": {"issues": ("deceased-not-a-boolean",)}},
    ),
    "not dead": ({"deceasedBoolean": False}, {}),
    "dead or not, unsaid": ({"deceasedBoolean": None}, {}),
    "replaced": ({"link": [{"type": "replaced-by"}]}, {"superseded": {}}),
    "a test": (
        {"meta": {"tag": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
                           "code": "HTEST"}]}},
        {"test-record": {}},
    ),
    "restricted": (
        {"meta": {"security": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}},
        {"restricted": {}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATIENTS)
def test_a_patient_becomes_its_facts(name: str) -> None:
    resource, expected = PATIENTS[name]
    record = read({"resourceType": "Patient", "id": "p", **resource}, patient=False)
    found = {fact.concepts[0].code: fact for fact in record.facts}
    assert set(found) == set(expected)
    for code, values in expected.items():
        assert {key: shown(found[code], key) for key in values} == values


def test_not_dead_in_a_word_is_listed_and_stops_nobody() -> None:
    record = read(
        {"resourceType": "Patient", "id": "p", "deceasedBoolean": " False"}, patient=False
    )
    (found,) = record.facts
    assert (found.concepts, found.standing) == ((), IGNORED)
    assert found.issues == ("deceased-not-a-boolean",)


def test_an_unknown_sex_is_no_fact_and_no_birthday_none() -> None:
    record = read({"resourceType": "Patient", "id": "p", "gender": "other"}, patient=False)
    assert record.facts == ()


def test_an_age_without_a_birthday_is_no_date() -> None:
    record = read(
        {"resourceType": "Patient", "id": "p"},
        condition(onsetAge={"value": 30, "code": "a"}),
        patient=False,
    )
    assert [shown(fact, "start") for fact in record.facts] == ["?"]


# -------------------------------------------------------------------------- whole records


def composition(**more: Any) -> dict[str, Any]:
    def section(code: str, reason: str) -> dict[str, Any]:
        empty = {"emptyReason": {"coding": [{"code": reason}]}} if reason else {}
        return {"code": {"coding": [{"system": LOINC, "code": code}]}, **empty}

    sections = [
        section("48765-2", "nilknown"),
        section("10160-0", "notasked"),
        section("11450-4", ""),
        section("1-8", "nilknown"),
    ]
    return {
        "resourceType": "Composition", "subject": ME, "date": "2026-01-02", "section": sections,
        **more,
    }  # fmt: skip


def whole(record: PatientRecord, kind: Kind) -> tuple[bool, str]:
    row = next(row for row in record.retrieved if row.kind is kind)
    return row.complete, row.why_not


def test_a_section_empty_because_nothing_is_known_is_a_recorded_absence() -> None:
    record = read(composition())
    absent = [fact for fact in record.facts if fact.recorded_absence]
    assert [(fact.kind, shown(fact, "start")) for fact in absent] == [(Kind.ALLERGY, "2026-01-02")]
    assert whole(record, Kind.MEDICATION) == (False, "section-not-asked")
    assert whole(record, Kind.CONDITION) == (True, "")


def test_a_summary_without_a_date_still_says_what_is_absent() -> None:
    record = read(bare(composition(), "date"))
    assert any(fact.recorded_absence for fact in record.facts)


def test_nothing_is_dropped_without_a_word() -> None:
    record = read(
        {"resourceType": "Basic"},
        obs(subject={"reference": "Patient/other"}),
        condition(meta={"security": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}),
        {"resourceType": "Medication"},
        {"resourceType": "ResearchStudy"},
        obs(component="rubbish", code=7, effectivePeriod=3),
    )  # fmt: skip
    assert {"type-not-read", "other-patient", "restricted-resource-left-out"} <= set(record.issues)
    assert whole(record, Kind.CONDITION) == (False, "restricted")


def test_rubbish_in_one_resource_leaves_the_kind_unread_and_the_rest_alive() -> None:
    record = read(obs(valueInteger=10**5000), obs(**quantity(5)), condition())
    assert len(record.facts) == 3
    assert record.issues == ("unreadable",)
    assert whole(record, Kind.OBSERVATION) == (False, "unreadable")
    assert whole(record, Kind.CONDITION) == (True, "")


def test_a_medication_that_cannot_be_found_leaves_the_kind_incomplete() -> None:
    record = read(
        {**bare(order(), "medicationCodeableConcept"),
         "medicationReference": {"reference": "Medication/none"}}
    )  # fmt: skip
    assert whole(record, Kind.MEDICATION) == (False, "reference-missing")


def test_a_medication_of_its_own_is_found_by_reference() -> None:
    (found,) = facts(
        {"resourceType": "Medication", "id": "m", "code": ATC},
        {**bare(order(), "medicationCodeableConcept"),
         "medicationReference": {"reference": "Medication/m"}},
    )  # fmt: skip
    assert shown(found, "codes") == ["L04AD01"]


def test_of_two_versions_the_newer_is_read_and_the_record_says_so() -> None:
    old = obs(**quantity(5)) | {"id": "x", "meta": {"versionId": "9"}}
    new = obs(**quantity(6)) | {"id": "x", "meta": {"versionId": "10"}}
    for pair in ((old, new), (new, old)):
        record = read(*pair)
        assert [f.value_lo for f in record.facts if f.value_lo] == [Decimal(6)]
        assert record.issues == ("duplicate-resource",)
    assert read(old, old).issues == ()


def test_a_kind_is_whole_only_if_every_type_that_feeds_it_is() -> None:
    types = [
        PulledType(resource_type="MedicationRequest", complete=True),
        PulledType(resource_type="MedicationStatement", complete=False, why_not="forbidden"),
        PulledType(resource_type="Observation", complete=False),
        PulledType(resource_type="Basic", complete=True),
    ]
    record = read(types=types)
    assert whole(record, Kind.MEDICATION) == (False, "forbidden")
    assert whole(record, Kind.OBSERVATION) == (False, "incomplete")


def test_facts_about_others_are_kept_and_named() -> None:
    assert "about-another" in read(obs(focus=[{"reference": "Patient/m"}])).issues


def test_records_of_one_person_under_two_ids_are_one() -> None:
    record = read(obs(subject={"reference": "Patient/q"}, **quantity(5)), aliases=("q",))
    assert record.aliases == ("q",)
    assert len(record.facts) == 2


def stay(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter", "status": "finished", "subject": ME,
        "class": {"code": "IMP", "display": "inpatient"},
        "hospitalization": {"dischargeDisposition": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/discharge-disposition",
            "code": "exp"}]}}, **more,
    }  # fmt: skip


def test_a_stay_that_ended_in_death_is_a_death() -> None:
    dated = facts(stay(period={"start": "2026-01-01", "end": "2026-01-05"}))
    deaths = [f for f in dated if f.kind is Kind.PATIENT]
    assert [shown(f, "start") for f in deaths] == ["2026-01-05"]
    undated = [f for f in facts(stay()) if f.kind is Kind.PATIENT]
    assert [shown(f, "start") for f in undated] == ["?"]
    error = facts(stay(status="entered-in-error"))
    assert [f.kind for f in error] == [Kind.ENCOUNTER]


def test_a_report_says_that_it_exists_and_what_it_concludes_in_code() -> None:
    (found,) = facts(
        {"resourceType": "DiagnosticReport", "status": "final", "subject": ME, "code": BILIRUBIN,
         "conclusionCode": [CANCER], "conclusion": "never read"}
    )  # fmt: skip
    assert (shown(found, "codes"), shown(found, "values")) == (["1975-2"], ["109841003"])


def test_a_site_names_the_documents_that_come_from_outside() -> None:
    mappings = bootstrap.bench(Settings()).mappings
    types = (Code("urn:t", "letter"),)
    site = replace(mappings.site, outside_types=types, own_custodians=("Organization/we",))
    read_here = Normaliser(replace(mappings, site=site))

    def stage(**more: Any) -> str:
        pulled = Pulled(patient="p", resources=[document(id="d", **more)], types=())
        return read_here(pulled).facts[0].stage

    letter = {"coding": [{"system": "urn:t", "code": "letter"}]}
    assert stage(type=letter, custodian={"reference": "Organization/we"}) == "outside"
    assert stage(custodian={"reference": "Organization/we"}) == ""
    assert stage(custodian={"reference": "Organization/they"}) == "outside"


def test_another_record_of_the_same_person_adds_stops_only() -> None:
    other = {"resourceType": "Patient", "id": "q", "birthDate": "1970-01-01",
             "deceasedBoolean": True}  # fmt: skip
    found = [f for f in read(other, aliases=("q",)).facts if f.source == "Patient/q"]
    assert [shown(f, "codes") for f in found] == [["deceased"]]


def test_an_observational_study_is_asked_about() -> None:
    study = {"resourceType": "ResearchStudy", "id": "x",
             "category": [{"coding": [{"code": "observational"}]}]}  # fmt: skip
    (found,) = facts(study | {"id": "x"}, subject("on-study"))
    assert found.standing_reason is Reason.NEEDS_HUMAN
    assert found.issues == ("study-not-interventional",)
