"""Records of R4 in R5 form, by the public definitions alone: what an R5 server would hold.

Made without the code under test. What is made is valid by the R5 models of fhir.resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir.resources import get_fhir_model_class

Resource = dict[str, Any]
STATE = "http://terminology.hl7.org/CodeSystem/research-subject-state"
ADHERENCE = "http://hl7.org/fhir/CodeSystem/medication-statement-adherence"
ENCOUNTER = {"finished": "completed", "onleave": "on-hold", "arrived": "in-progress"}
TAKEN = {"active": "taking", "not-taken": "not-taking", "stopped": "stopped", "on-hold": "on-hold"}


def valid(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """Itself, where it is valid R5; the model's complaint otherwise."""
    get_fhir_model_class(str(resource["resourceType"])).model_validate(dict(resource))
    return resource


def r5_form(resource: Mapping[str, Any]) -> Resource:
    """One resource as R5 has it."""
    turn = TURNS.get(str(resource["resourceType"]), dict)
    return turn(dict(resource))


def _moved(found: Resource, names: Mapping[str, str]) -> Resource:
    return {names.get(name, name): value for name, value in found.items()}


def _drug(found: Resource) -> Resource:
    said: Resource = {}
    for old, new in (("CodeableConcept", "concept"), ("Reference", "reference")):
        if f"medication{old}" in found:
            said[new] = found.pop(f"medication{old}")
    return {**_moved(found, {"context": "encounter"}), "medication": said}


def _administration(found: Resource) -> Resource:
    names = {f"effective{kind}": f"occurence{kind}" for kind in ("DateTime", "Period")}
    return _moved(_drug(found), names)


def _statement(found: Resource) -> Resource:
    """R4's completed has no adherence: it says nothing of whether the drug is still taken."""
    said = {"status": "recorded"}
    if found["status"] in TAKEN:
        coding = {"system": ADHERENCE, "code": TAKEN[found["status"]]}
        return {**_drug(found), **said, "adherence": {"code": {"coding": [coding]}}}
    return {**_drug(found), **said}


def _procedure(found: Resource) -> Resource:
    return {name.replace("performed", "occurrence"): value for name, value in found.items()}


def _service(found: Resource) -> Resource:
    return {**found, "code": {"concept": found["code"]}}


def _condition(found: Resource) -> Resource:
    """R5 demands a clinicalStatus, and has a code for an unknown one."""
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    return {"clinicalStatus": {"coding": [{"system": system, "code": "unknown"}]}, **found}


def _allergy(found: Resource) -> Resource:
    for one in found.get("reaction", []):
        one["manifestation"] = [{"concept": item} for item in one["manifestation"]]
    return found


def _encounter(found: Resource) -> Resource:
    moved = _moved(found, {"period": "actualPeriod", "hospitalization": "admission"})
    moved["status"] = ENCOUNTER.get(found["status"], found["status"])
    moved["class"] = [{"coding": [found["class"]]}]
    if "serviceType" in found:
        moved["serviceType"] = [{"concept": found["serviceType"]}]
    return moved


def _consent(found: Resource) -> Resource:
    """R4's scope as one more category: R5 has no other place for it."""
    moved = _moved(found, {"patient": "subject", "dateTime": "date"})
    scope, provision = moved.pop("scope"), moved.pop("provision", {})
    moved["category"] = [scope, *moved.get("category", [])]
    moved["status"] = {"rejected": "not-done"}.get(found["status"], found["status"])
    exceptions = [
        {name: value for name, value in one.items() if name != "type" and value}
        for one in provision.get("provision", [])
    ]
    if exceptions:
        moved["provision"] = exceptions
    if "policyRule" in moved:
        moved["regulatoryBasis"] = [moved.pop("policyRule")]
    if "type" in provision:
        moved["decision"] = provision["type"]
    if "period" in provision:
        moved["period"] = provision["period"]
    return moved


def _subject(found: Resource) -> Resource:
    moved = _moved(found, {"individual": "subject"})
    concept = {"coding": [{"system": STATE, "code": moved.pop("status")}]}
    return {**moved, "status": "active", "progress": [{"subjectState": concept}]}


def _study(found: Resource) -> Resource:
    if "category" in found:
        found["classifier"] = found.pop("category")
    return {**found, "status": "active"}


def _document(found: Resource) -> Resource:
    if "context" in found:
        found["context"] = found["context"]["encounter"]
    return found


TURNS: Mapping[str, Callable[[Resource], Resource]] = {
    "AllergyIntolerance": _allergy,
    "Condition": _condition,
    "Consent": _consent,
    "DocumentReference": _document,
    "Encounter": _encounter,
    "MedicationAdministration": _administration,
    "MedicationDispense": _drug,
    "MedicationRequest": _drug,
    "MedicationStatement": _statement,
    "Procedure": _procedure,
    "ResearchStudy": _study,
    "ResearchSubject": _subject,
    "ServiceRequest": _service,
}
