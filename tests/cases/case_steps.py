"""What a case may write into a chart beyond the chart's own words: anything by its code."""

from __future__ import annotations

from typing import Any

from fhir_adapter.model.code import ATC, ICD10_CM, ICD10_GM, LOINC, SNOMED
from fhir_adapter.model.vocabulary import LOCAL_FINDINGS
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.chart import Chart
from fhir_adapter.sandbox.chart_codes import LABS, PROBLEMS, Coding, concept

from teaching.teaching_more import answers
from teaching.teaching_parts import baseline

_SYSTEMS = {
    "loinc": LOINC,
    "sct": SNOMED,
    "icd-10-cm": ICD10_CM,
    "icd-10-gm": ICD10_GM,
    "atc": ATC,
    "local": LOCAL_FINDINGS,
}
_STATUS = "http://terminology.hl7.org/CodeSystem"


def coding(text: str) -> Coding:
    """`"icd-10-cm C44.9"`: the code system's short name, then the code."""
    system, code = text.split(" ", 1)
    return _SYSTEMS[system], code, ""


def coded(text: str) -> Resource:
    system, code, _ = coding(text)
    return {"coding": [{"system": system, "code": code}]}


def condition(chart: Chart, code: str, **told: Any) -> None:
    """A Condition under one code; the rest as Chart.problem takes it."""
    chart.problem("gastritis", **told)
    chart.resources[-1]["code"] = coded(code)


def observation(chart: Chart, code: str, result: str, when: str, status: str = "final") -> None:
    """A result that is a code."""
    chart.add(
        "Observation",
        status=status,
        code=coded(code),
        effectiveDateTime=chart.at(when),
        valueCodeableConcept=coded(result) if result else None,
    )


def lab_without_value(chart: Chart, name: str, when: str) -> None:
    """A result of which the laboratory sends no value."""
    chart.lab(name, "0", when)
    resource = chart.resources[-1]
    del resource["valueQuantity"]
    resource["dataAbsentReason"] = concept((f"{_STATUS}/data-absent-reason", "error", "Error"))


def drug(chart: Chart, code: str, when: str, status: str = "completed") -> None:
    """A MedicationAdministration at one moment."""
    chart.add(
        "MedicationAdministration",
        status=status,
        medicationCodeableConcept=coded(code),
        effectiveDateTime=chart.at(when),
    )


def allergy(
    chart: Chart,
    criticality: str = "",
    severity: str = "",
    verification: str = "confirmed",
    code: str = "sct 91936005",
    manifestation: str = "",
) -> None:
    """An allergy to some substance."""
    shown = coded(manifestation) if manifestation else {"text": "-"}
    reaction = [{"severity": severity or None, "manifestation": [shown]}]
    chart.add(
        "AllergyIntolerance",
        clinicalStatus=concept((f"{_STATUS}/allergyintolerance-clinical", "active", "")),
        verificationStatus=concept(
            (f"{_STATUS}/allergyintolerance-verification", verification, "")
        ),
        code=coded(code),
        criticality=criticality,
        reaction=reaction if severity or manifestation else None,
    )


def order(chart: Chart, code: str, when: str, status: str = "active") -> None:
    """A ServiceRequest."""
    chart.order(coding(code), when, status=status)


def act(chart: Chart, code: str, start: str, **told: Any) -> None:
    """A Procedure under one code."""
    chart.procedure("ultrasound", start, **told)
    chart.resources[-1]["code"] = coded(code)


def report(chart: Chart, code: str, when: str) -> None:
    """A report that is text."""
    chart.report(coding(code), when, "Text that nobody has read.")


def given(chart: Chart, given: dict[str, str], when: str) -> None:
    """Answers of a person."""
    answers(chart, given, when)


STEPS: dict[str, Any] = {
    "lab": Chart.lab,
    "problem": Chart.problem,
    "procedure": Chart.procedure,
    "order-drug": Chart.order_drug,
    "give-drug": Chart.give_drug,
    "in-study": Chart.in_study,
    "visit": Chart.visit,
    "letter": Chart.letter,
    "grade-of-ascites": Chart.grade_of_ascites,
    "baseline": baseline,
    "condition": condition,
    "observation": observation,
    "lab-without-value": lab_without_value,
    "drug": drug,
    "allergy": allergy,
    "order": order,
    "act": act,
    "report": report,
    "answers": given,
}


def write(chart: Chart, step: dict[str, Any]) -> None:
    """One line of `add`: which step, its name where it has one, and the rest as keywords."""
    told = dict(step)
    kind = told.pop("write")
    if "flag" in told:
        told["extension"] = [
            {
                "url": "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit",
                "valueCoding": {"code": told.pop("flag")},
            }
        ]
    STEPS[kind](chart, **told)


def is_of(resource: Resource, names: list[str]) -> bool:
    """Whether a resource is a result or problem of these names, or of that type."""
    if resource["resourceType"] in names:
        return True
    codes = {LABS[name][0][1] for name in names if name in LABS}
    codes |= {code for name in names for _, code, _ in PROBLEMS.get(name, ())}
    codes |= {"ASC"} if "grade-of-ascites" in names else set()
    return any(c.get("code") in codes for c in resource.get("code", {}).get("coding", ()))
