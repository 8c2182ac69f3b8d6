"""Code systems and extensions that a published study uses; profiles/ defines each of them."""

from __future__ import annotations

from fhir_adapter.model.vocabulary import BASE, CODE_SYSTEM, STRUCTURE
from fhir_adapter.ports import Resource

CRITERION_KIND = f"{CODE_SYSTEM}/criterion-kind"
CRITERION = f"{CODE_SYSTEM}/criterion"
"""Codes "<study id>/<criterion id>"; the system enumerates none."""
PLAN_TYPE = f"{CODE_SYSTEM}/plan-type"
ELIGIBILITY = "eligibility-criteria"
LIBRARY_TYPE = "http://terminology.hl7.org/CodeSystem/library-type"
PHASE = "http://terminology.hl7.org/CodeSystem/research-study-phase"
ALGEBRA_TYPE = "application/vnd.fhir-adapter.criteria+json"

GROUP_KEY = f"{BASE}/NamingSystem/group-key"
"""A Group has no url in R4: without an identifier every publishing would make another one."""

GATE = f"{STRUCTURE}/criterion-gate"
POLICY = f"{STRUCTURE}/criterion-absence-policy"
FRESH = f"{STRUCTURE}/criterion-freshness"
LASTS = f"{STRUCTURE}/criterion-lasts"
SETTLED = f"{STRUCTURE}/criterion-settled"
SPAN = f"{STRUCTURE}/criterion-span"
HASH = f"{STRUCTURE}/criterion-hash"
SIGN_OFF = f"{STRUCTURE}/criterion-sign-off"
WHO = f"{STRUCTURE}/question-who"
VALID_FOR = f"{STRUCTURE}/question-valid-for"
PARTIAL_SYSTEM = f"{STRUCTURE}/partial-system"
"""On an include: the system is enumerated at a level that real data seldom carries."""
UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
"""HL7's own, on an expansion: it is not the whole set."""


def filled(resource: Resource) -> Resource:
    """Without what is empty: FHIR has no empty strings, lists or nulls."""
    return {name: value for name, value in resource.items() if value not in (None, "", [], {})}


def concept(system: str, code: str, display: str = "") -> Resource:
    """A CodeableConcept of one coding."""
    return {"coding": [filled({"system": system, "code": code, "display": display})]}


def code_extension(url: str, code: str) -> Resource:
    """An extension with a code."""
    return {"url": url, "valueCode": code}


def text_extension(url: str, text: str) -> Resource:
    """An extension with a string."""
    return {"url": url, "valueString": text}


def extension_text(element: Resource, url: str) -> str:
    """The string of an extension of an element; empty where there is none."""
    values = (e.get("valueString") for e in element.get("extension", ()) if e.get("url") == url)
    return next((str(value) for value in values if value is not None), "")
