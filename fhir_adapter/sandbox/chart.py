"""Chart: writes one synthetic patient's record as FHIR R4: for teaching and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhir_adapter.model.vocabulary import ACT_CODE, LOCAL_FINDINGS
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.chart_codes import (
    ACTS,
    DRUGS,
    LABS,
    PROBLEMS,
    SITE_FINDINGS,
    ULN,
    Coding,
    concept,
)

_UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


@dataclass(slots=True, kw_only=True)
class Chart:
    """One patient's record under construction; resource ids count up from the patient's id."""

    patient: str
    sex: str
    born: str
    zone: str = "+08:00"
    more: Resource = field(default_factory=dict)
    """Further elements of the Patient."""
    resources: list[Resource] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.resources.append(
            {
                "resourceType": "Patient",
                "id": self.patient,
                "active": True,
                "name": [{"text": f"Teaching patient {self.patient}"}],
                "gender": self.sex,
                "birthDate": self.born,
                **self.more,
            }
        )

    def add(self, resource_type: str, **elements: Any) -> str:
        """Any resource about this patient; gives its reference."""
        self._count += 1
        identity = f"{self.patient}.{self._count}"
        owner = "patient" if resource_type in _BY_PATIENT else "subject"
        resource = {
            "resourceType": resource_type,
            "id": identity,
            owner: {"reference": f"Patient/{self.patient}"},
            **elements,
        }
        self.resources.append({k: v for k, v in resource.items() if v not in (None, "", [])})
        return f"{resource_type}/{identity}"

    def at(self, when: str) -> str:
        """A FHIR dateTime: a time gets seconds and the chart's zone, a date stays a date."""
        return f"{when}:00{self.zone}" if "T" in when else when

    def visit(
        self,
        start: str,
        end: str | None = None,
        *,
        kind: str = "AMB",
        hepatology: bool = False,
        transferred: bool = False,
        status: str = "",
        disposition: str = "",
    ) -> str:
        """An encounter; without an end it is in progress."""
        stay: Resource = {}
        if transferred:
            source = (
                f"{_TERMINOLOGY}/admit-source",
                "hosp-trans",
                "Transferred from other hospital",
            )
            stay["admitSource"] = concept(source)
        if disposition:
            code = (f"{_TERMINOLOGY}/discharge-disposition", disposition, "Expired")
            stay["dischargeDisposition"] = concept(code)
        ward = concept((LOCAL_FINDINGS, "hepatology", "Hepatology ward or consult"))
        return self.add(
            "Encounter",
            status=status or ("finished" if end else "in-progress"),
            **{"class": {"system": ACT_CODE, "code": kind}},
            serviceType=ward if hepatology else None,
            period=_period(self.at(start), self.at(end) if end else ""),
            hospitalization=stay or None,
        )

    def lab(
        self,
        name: str,
        value: str,
        when: str,
        *,
        unit: str | None = None,
        visit: str = "",
        comparator: str = "",
        status: str = "final",
        **more: Any,
    ) -> str:
        """A laboratory result or grade, in its usual unit unless another is named."""
        code, usual = LABS[name]
        return self.add(
            "Observation",
            status=status,
            category=[
                concept((f"{_TERMINOLOGY}/observation-category", "laboratory", "Laboratory"))
            ],
            code=concept(code),
            encounter=_to(visit),
            effectiveDateTime=self.at(when),
            valueQuantity=_quantity(value, usual if unit is None else unit, comparator),
            referenceRange=[_limit(ULN[name], usual)] if name in ULN else None,
            **more,
        )

    def grade_of_ascites(self, grade: str, when: str, *, visit: str = "") -> str:
        """none, mild or moderate-severe, under the hospital's own code."""
        return self.add(
            "Observation",
            status="final",
            code=concept((SITE_FINDINGS, "ASC", "Ascites")),
            encounter=_to(visit),
            effectiveDateTime=self.at(when),
            valueCodeableConcept=concept((LOCAL_FINDINGS, f"ascites-{grade}", f"Ascites: {grade}")),
        )

    def problem(
        self,
        name: str,
        *,
        onset: str = "",
        recorded: str = "",
        verification: str = "confirmed",
        clinical: str = "active",
        visit: str = "",
        **more: Any,
    ) -> str:
        """A Condition under all its codings."""
        return self.add(
            "Condition",
            clinicalStatus=_status("condition-clinical", clinical) if clinical else None,
            verificationStatus=_status("condition-ver-status", verification),
            code=concept(*PROBLEMS[name]),
            encounter=_to(visit),
            onsetDateTime=self.at(onset) if onset else None,
            recordedDate=self.at(recorded or onset) if recorded or onset else None,
            **more,
        )

    def procedure(
        self, name: str, start: str, end: str | None = None, *, visit: str = "", **more: Any
    ) -> str:
        """A Procedure on one moment, or over a period (``end=""``: still running)."""
        performed: Resource = {"performedDateTime": self.at(start)}
        if end is not None:
            performed = {"performedPeriod": _period(self.at(start), self.at(end) if end else "")}
        return self.add(
            "Procedure",
            **{
                "status": "in-progress" if end == "" else "completed",
                "code": concept(ACTS[name]),
                "encounter": _to(visit),
                **performed,
                **more,
            },
        )

    def order_drug(self, name: str, when: str, *, status: str = "active", **more: Any) -> str:
        """A MedicationRequest; active ones run on."""
        return self.add(
            "MedicationRequest",
            **{
                "status": status,
                "intent": "order",
                "medicationCodeableConcept": concept(DRUGS[name]),
                "authoredOn": self.at(when),
                **more,
            },
        )

    def give_drug(self, name: str, when: str, *, visit: str = "") -> str:
        """A MedicationAdministration at one moment."""
        return self.add(
            "MedicationAdministration",
            status="completed",
            medicationCodeableConcept=concept(DRUGS[name]),
            context=_to(visit),
            effectiveDateTime=self.at(when),
        )

    def order(self, code: Coding, when: str, *, status: str = "completed", visit: str = "") -> str:
        """A ServiceRequest."""
        return self.add(
            "ServiceRequest",
            status=status,
            intent="order",
            code=concept(code),
            encounter=_to(visit),
            authoredOn=self.at(when),
        )

    def report(self, code: Coding, when: str, text: str, *, visit: str = "") -> str:
        """A DiagnosticReport whose conclusion is text: nobody reads it but a person."""
        return self.add(
            "DiagnosticReport",
            status="final",
            category=[concept((f"{_TERMINOLOGY}/v2-0074", "RAD", "Radiology"))],
            code=concept(code),
            encounter=_to(visit),
            effectiveDateTime=self.at(when),
            conclusion=text,
        )

    def letter(self, when: str, title: str) -> str:
        """A DocumentReference without custodian: it comes from outside."""
        return self.add(
            "DocumentReference",
            status="current",
            type={"text": title},
            date=self.at(when),
            content=[{"attachment": {"contentType": "application/pdf", "title": title}}],
        )

    def in_study(self, study: str, status: str, *, start: str, end: str = "") -> str:
        """A ResearchSubject that a person entered."""
        reference = self.add(
            "ResearchSubject",
            status=status,
            period=_period(self.at(start), self.at(end) if end else ""),
            study={"reference": f"ResearchStudy/{study}"},
        )
        resource = self.resources[-1]
        resource["individual"] = resource.pop("subject")
        return reference

    def bundle(self) -> Resource:
        """The whole record as one collection Bundle."""
        entries = [{"resource": resource} for resource in self.resources]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}


_BY_PATIENT = frozenset(("AllergyIntolerance", "Consent", "Immunization"))


def _to(reference: str) -> Resource | None:
    return {"reference": reference} if reference else None


def _period(start: str, end: str) -> Resource:
    return {"start": start, "end": end} if end else {"start": start}


def _status(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{_TERMINOLOGY}/{system}", "code": code}]}


def _quantity(value: str, unit: str, comparator: str) -> Resource:
    found: Resource = {"value": Decimal(value)}
    if comparator:
        found["comparator"] = comparator
    if unit:
        found |= {"unit": unit, "system": _UCUM, "code": unit}
    return found


def _limit(high: str, unit: str) -> Resource:
    return {"high": {"value": Decimal(high), "unit": unit, "system": _UCUM, "code": unit}}


def bundles(charts: Sequence[Chart]) -> tuple[Resource, ...]:
    """One Bundle per chart, in order."""
    return tuple(chart.bundle() for chart in charts)
