"""Chart: writes one synthetic patient's record as FHIR R4 resources. For teaching and benchmarks.

Every code stands in mappings/terminology with its source; displays are for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhir_adapter.model.code import ATC, ICD10_CM, ICD10_GM, LOINC, SNOMED
from fhir_adapter.model.vocabulary import ACT_CODE, LOCAL_FINDINGS
from fhir_adapter.ports import Resource

Coding = tuple[str, str, str]
"""System, code, display."""

_UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
SITE_FINDINGS = "urn:demo:findings"
"""The teaching hospital's own codes; mappings/sites/demo.toml maps them."""

LABS: dict[str, tuple[Coding, str]] = {
    "bilirubin": ((LOINC, "14631-6", "Bilirubin.total [Moles/volume]"), "umol/L"),
    "bilirubin-mass": ((LOINC, "1975-2", "Bilirubin.total [Mass/volume]"), "mg/dL"),
    "inr": ((LOINC, "6301-6", "INR in Platelet poor plasma"), "{INR}"),
    "activity": ((LOINC, "5894-1", "Prothrombin time actual/normal"), "%"),
    "platelets": ((LOINC, "777-3", "Platelets in Blood by Automated count"), "10*9/L"),
    "albumin": ((LOINC, "1751-7", "Albumin [Mass/volume]"), "g/L"),
    "creatinine": ((LOINC, "14682-9", "Creatinine [Moles/volume]"), "umol/L"),
    "creatinine-mass": ((LOINC, "2160-0", "Creatinine [Mass/volume]"), "mg/dL"),
    "alt": ((LOINC, "1742-6", "Alanine aminotransferase"), "U/L"),
    "ast": ((LOINC, "1920-8", "Aspartate aminotransferase"), "U/L"),
    "afp": ((LOINC, "1834-1", "Alpha-1-Fetoprotein"), "ng/mL"),
    "crp": ((LOINC, "1988-5", "C reactive protein"), "mg/L"),
    "west-haven": ((SITE_FINDINGS, "WH", "West Haven grade"), "1"),
    "platelet-clumps": ((LOCAL_FINDINGS, "platelet-clumps", "Platelet clumps"), "1"),
    "child-pugh": ((SITE_FINDINGS, "CPS", "Child-Pugh score"), "1"),
}
ULN = {"alt": "50", "ast": "40"}

PROBLEMS: dict[str, tuple[Coding, ...]] = {
    "hepatitis-b": (
        (SNOMED, "66071002", "Type B viral hepatitis"),
        (ICD10_CM, "B18.1", "Chronic viral hepatitis B"),
    ),
    "cirrhosis": (
        (SNOMED, "19943007", "Cirrhosis of liver"),
        (ICD10_CM, "K74.60", "Unspecified cirrhosis of liver"),
    ),
    "alcoholic-cirrhosis": (
        (SNOMED, "420054005", "Alcoholic cirrhosis"),
        (ICD10_CM, "K70.30", "Alcoholic cirrhosis of liver without ascites"),
    ),
    "alcoholic-cirrhosis-with-ascites": (
        (ICD10_CM, "K70.31", "Alcoholic cirrhosis of liver with ascites"),
    ),
    "alcoholic-hepatitis": (
        (SNOMED, "235875008", "Alcoholic hepatitis"),
        (ICD10_CM, "K70.10", "Alcoholic hepatitis without ascites"),
    ),
    "liver-failure": (
        (SNOMED, "59927004", "Hepatic failure"),
        (ICD10_CM, "K72.00", "Acute and subacute hepatic failure without coma"),
    ),
    "ascites": ((SNOMED, "389026000", "Ascites"), (ICD10_CM, "R18.8", "Other ascites")),
    "encephalopathy": (
        (SNOMED, "13920009", "Hepatic encephalopathy"),
        (ICD10_CM, "K76.82", "Hepatic encephalopathy"),
    ),
    "encephalopathy-grade-1": ((ICD10_GM, "K72.71!", "Hepatic encephalopathy, grade 1"),),
    "encephalopathy-grade-3": ((ICD10_GM, "K72.73!", "Hepatic encephalopathy, grade 3"),),
    "portal-hypertension": (
        (SNOMED, "34742003", "Portal hypertension"),
        (ICD10_CM, "K76.6", "Portal hypertension"),
    ),
    "bleeding-varices": (
        (SNOMED, "17709002", "Bleeding esophageal varices"),
        (ICD10_CM, "I85.11", "Secondary esophageal varices with bleeding"),
    ),
    "melena": ((SNOMED, "2901004", "Melena"), (ICD10_CM, "K92.1", "Melena")),
    "hepatocellular-carcinoma": (
        (SNOMED, "25370001", "Hepatocellular carcinoma"),
        (ICD10_CM, "C22.0", "Liver cell carcinoma"),
    ),
    "breast-cancer": ((ICD10_CM, "C50.9", "Malignant neoplasm of breast"),),
    "skin-cancer": ((ICD10_CM, "C44.9", "Other malignant neoplasm of skin"),),
    "polycythaemia-vera": ((ICD10_CM, "D45", "Polycythemia vera"),),
    "gallbladder-stone": ((ICD10_CM, "K80.20", "Calculus of gallbladder without cholecystitis"),),
    "bile-duct-stone": ((ICD10_CM, "K80.50", "Calculus of bile duct without cholangitis"),),
    "sepsis": ((SNOMED, "91302008", "Sepsis"), (ICD10_CM, "A41.9", "Sepsis, unspecified")),
    "covid": ((ICD10_CM, "U07.1", "COVID-19"),),
    "chronic-dialysis": ((ICD10_CM, "Z99.2", "Dependence on renal dialysis"),),
    "heart-failure": ((ICD10_CM, "I50.9", "Heart failure, unspecified"),),
    "pulmonary-embolism": (
        (SNOMED, "59282003", "Pulmonary embolism"),
        (ICD10_CM, "I26.99", "Other pulmonary embolism"),
    ),
    "transplanted-liver": ((ICD10_CM, "Z94.4", "Liver transplant status"),),
    "opioid-abuse": (
        (SNOMED, "5602001", "Opioid abuse"),
        (ICD10_CM, "F11.10", "Opioid abuse, uncomplicated"),
    ),
    "alcohol-dependence": ((ICD10_CM, "F10.20", "Alcohol dependence, uncomplicated"),),
    "alcohol-withdrawal": (
        (SNOMED, "191480000", "Alcohol withdrawal"),
        (ICD10_CM, "F10.239", "Alcohol dependence with withdrawal"),
    ),
    "schizophrenia": (
        (SNOMED, "58214004", "Schizophrenia"),
        (ICD10_CM, "F20.9", "Schizophrenia, unspecified"),
    ),
    "hypertension": ((SNOMED, "38341003", "Hypertension"), (ICD10_CM, "I10", "Hypertension")),
    "gastritis": ((ICD10_CM, "K29.70", "Gastritis, unspecified"),),
    "pregnant": ((SNOMED, "77386006", "Pregnant"), (ICD10_CM, "Z33.1", "Pregnant state")),
}

DRUGS: dict[str, Coding] = {
    "entecavir": (ATC, "J05AF10", "entecavir"),
    "warfarin": (ATC, "B01AA03", "warfarin"),
    "tacrolimus": (ATC, "L04AD02", "tacrolimus"),
    "filgrastim": (ATC, "L03AA02", "filgrastim"),
    "prednisolone": (ATC, "H02AB06", "prednisolone"),
    "ceftriaxone": (ATC, "J01DD04", "ceftriaxone"),
    "furosemide": (ATC, "C03CA01", "furosemide"),
    "plasma": (LOCAL_FINDINGS, "plasma-transfusion", "Fresh frozen plasma"),
}

ACTS: dict[str, Coding] = {
    "ultrasound": (SNOMED, "45036003", "Ultrasonography of abdomen"),
    "paracentesis": (SNOMED, "89305009", "Abdominal paracentesis"),
    "cvvhdf": (SNOMED, "714749008", "Continuous renal replacement therapy"),
    "haemodialysis": (SNOMED, "302497006", "Haemodialysis"),
    "liver-transplantation": (SNOMED, "18027006", "Transplantation of liver"),
    "stem-cell-transplantation": (SNOMED, "234336002", "Hemopoietic stem cell transplant"),
    "platelet-transfusion": (SNOMED, "12719002", "Platelet transfusion"),
    "gastroscopy": (SNOMED, "76009000", "Esophagogastroduodenoscopy"),
}


def concept(*codings: Coding) -> Resource:
    """A CodeableConcept with the given codings, in order."""
    return {"coding": [{"system": s, "code": c, "display": d} for s, c, d in codings]}


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
