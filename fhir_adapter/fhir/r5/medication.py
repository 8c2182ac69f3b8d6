"""Medication resources: ``medication`` is a CodeableReference, a statement says who adheres to it.

A concept and a reference may both stand there: both are kept. An R5 statement does not say by its
status whether the drug is being taken: without ``adherence`` its end is not known.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_adapter.fhir.r5.concepts import doubted, renamed, without
from fhir_adapter.fhir.reading import codings, is_object, parts, text
from fhir_adapter.ports import Resource

ADHERENCE = "http://hl7.org/fhir/CodeSystem/medication-statement-adherence"
_TAKEN: Mapping[str, str] = {
    "taking": "active",
    "taking-as-directed": "active",
    "taking-not-as-directed": "active",
    "on-hold": "on-hold",
    "on-hold-as-directed": "on-hold",
    "on-hold-not-as-directed": "on-hold",
    "stopped": "stopped",
    "stopped-as-directed": "stopped",
    "stopped-not-as-directed": "stopped",
    "not-taking": "not-taken",
}


def request(resource: Resource) -> Resource:
    """``ended`` (R5) is an order that has run its time."""
    found = _drug(resource)
    if "effectiveDosePeriod" in resource:
        found = _with_period(found)
    return {**found, "status": "completed"} if found.get("status") == "ended" else found


def _with_period(found: Resource) -> Resource:
    """effectiveDosePeriod (R5) is the time of all doses; R4 says a time of a line."""
    lines = parts(found.get("dosageInstruction"))
    if len(lines) > 1 or any("timing" in one for one in lines):
        return doubted(found, "effectiveDosePeriod")
    timing = {"timing": {"repeat": {"boundsPeriod": found["effectiveDosePeriod"]}}}
    line = {**(lines[0] if lines else {}), **timing}
    return {**without(found, "effectiveDosePeriod"), "dosageInstruction": [line]}


def administration(resource: Resource) -> Resource:
    """occurence[x], spelled so in R5, was effective[x]."""
    names = {name: name.replace("occurence", "effective") for name in resource}
    return renamed(_drug(resource), {**names, "encounter": "context"})


def dispense(resource: Resource) -> Resource:
    """Nothing else differs in what is read."""
    return renamed(_drug(resource), {"encounter": "context"})


def statement(resource: Resource) -> Resource:
    """The status by ``adherence``; an unknown one stays unknown."""
    found = renamed(_drug(resource), {"encounter": "context"})
    status = text(resource.get("status"))
    if status == "recorded":
        return _taken(found)
    return found if status == "entered-in-error" else {**found, "status": "unknown"}


def _taken(found: Resource) -> Resource:
    if "adherence" not in found:
        return _some_time({**found, "status": "completed"})
    adherence = found["adherence"]
    coded = codings(adherence.get("code")) if is_object(adherence) else ()
    said = {_TAKEN.get(one.code, "") for one in coded if one.system == ADHERENCE}
    status = said.pop() if len(said) == 1 else ""
    if status == "not-taken" and "effectivePeriod" in found:
        status = ""  # it may have been taken in the period that is told of
    return {**found, "status": status or "unknown"}


def _some_time(found: Resource) -> Resource:
    """A time stamp alone says when it was taken, not that it was taken at no other time."""
    if "effectiveDateTime" not in found:
        return found
    start = {"start": found["effectiveDateTime"]}
    return {**without(found, "effectiveDateTime"), "effectivePeriod": start}


def product(resource: Resource) -> Resource:
    """Medication itself: an ingredient's ``item`` is a CodeableReference."""
    if "ingredient" not in resource:
        return resource
    return {**resource, "ingredient": [_item(one) for one in parts(resource["ingredient"])]}


def _item(ingredient: Resource) -> Resource:
    return _split(ingredient, "item")


def _drug(resource: Resource) -> Resource:
    """Contained Medications too: a record may carry the drug within the order."""
    found = _split(resource, "medication")
    held = parts(resource.get("contained"))
    if not held:
        return found
    is_drug = [one.get("resourceType") == "Medication" for one in held]
    kept = [product(one) if drug else one for one, drug in zip(held, is_drug, strict=True)]
    return {**found, "contained": kept}


def _split(element: Resource, name: str) -> Resource:
    """A CodeableReference as R4's choice; what is none is kept, for it to be seen as unreadable."""
    said = element.get(name)
    rest = without(element, name)
    if said is None:
        return rest
    if not is_object(said):
        return {**rest, f"{name}CodeableConcept": said}
    if "concept" in said:
        rest[f"{name}CodeableConcept"] = said["concept"]
    if "reference" in said:
        rest[f"{name}Reference"] = said["reference"]
    return rest
