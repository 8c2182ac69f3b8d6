"""Clinical types of which R5 shapes some elements otherwise: only these are touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_adapter.fhir.r5.concepts import (
    NotRead,
    about_another,
    concepts_of,
    doubted,
    first,
    references_of,
    renamed,
    without,
)
from fhir_adapter.fhir.reading import is_array, is_object, parts, text
from fhir_adapter.ports import Resource

_ENCOUNTER: Mapping[str, str] = {
    "on-hold": "onleave",
    "discharged": "finished",
    "completed": "finished",
    "discontinued": "finished",
}
"""discontinued: begun and ended early, so it took place; every other code is the same or unknown.

R4's arrived and triaged are R5's subjectStatus; both are in-progress there."""


def procedure(resource: Resource) -> Resource:
    """occurrence[x] was performed[x]; one that was done to somebody else decides nothing."""
    names = {name: name.replace("occurrence", "performed") for name in resource}
    found = _with_reasons(renamed(resource, names))
    return doubted(found, "focus") if about_another(resource) else found


def service_request(resource: Resource) -> Resource:
    """``code`` is a CodeableReference; one that only refers to a definition cannot be read."""
    found = _with_reasons(resource)
    if "code" in resource:
        said = resource["code"]
        if is_object(said) and "concept" not in said:
            raise NotRead
        found = {**found, "code": said["concept"] if is_object(said) else said}
    return doubted(found, "focus") if about_another(resource) else found


def allergy(resource: Resource) -> Resource:
    """A manifestation is a CodeableReference; one that only refers decides nothing."""
    found = dict(resource)
    if "reaction" in resource:
        found["reaction"] = [_reaction(one) for one in parts(resource["reaction"])]
    shown = [one for item in parts(resource.get("reaction")) for one in _each(item)]
    return doubted(found, "reaction") if any("concept" not in one for one in shown) else found


def _each(reaction: Resource) -> list[Resource]:
    return parts(reaction.get("manifestation"))


def _reaction(reaction: Resource) -> Resource:
    if "manifestation" not in reaction:
        return reaction
    return {**reaction, "manifestation": concepts_of(reaction["manifestation"])}


def encounter(resource: Resource) -> Resource:
    """Several classes and services: the first in its place, the others as further types."""
    found = renamed(resource, {"actualPeriod": "period", "admission": "hospitalization"})
    status = _ENCOUNTER.get(text(resource.get("status")))
    if status is not None:
        found["status"] = status
    if "class" in resource and not is_array(resource["class"]):
        return doubted(found, "class")
    classes = parts(found.pop("class", None))
    codes = [one for item in classes for one in parts(item.get("coding"))]
    services = concepts_of(found.pop("serviceType", None))
    more = [*({"coding": [one]} for one in codes[1:]), *services[1:]]
    types = [*parts(found.pop("type", None)), *more]
    reasons = _reasons(found.pop("reason", None), found.get("diagnosis"))
    kept = {"type": types, "reasonCode": reasons}
    one = {"class": first(codes), "serviceType": first(services)}
    return {
        **found,
        **{name: value[0] for name, value in one.items() if value},
        **{name: value for name, value in kept.items() if value},
    }


def _reasons(reasons: Any, diagnoses: Any) -> list[Any]:
    """Concepts only: conditions that are referred to are resources of their own."""
    said = [one for item in parts(reasons) for one in concepts_of(item.get("value"))]
    return [
        *said,
        *(one for item in parts(diagnoses) for one in concepts_of(item.get("condition"))),
    ]


def document(resource: Resource) -> Resource:
    """``context`` is a list of encounters and the like."""
    context = resource.get("context")
    if not is_array(context):
        return resource
    return {**resource, "context": {"encounter": context}}


def study(resource: Resource) -> Resource:
    """ResearchStudy: classifier and studyDesign say what kind of study R4's category says."""
    kinds = [*parts(resource.get("classifier")), *parts(resource.get("studyDesign"))]
    found = without(resource, "classifier", "studyDesign", "status", "progressStatus")
    return {**found, "category": kinds} if kinds else found


def _with_reasons(resource: Resource) -> Resource:
    """``reason`` is a list of CodeableReferences."""
    if "reason" not in resource:
        return resource
    said = resource["reason"]
    kept = {"reasonCode": concepts_of(said), "reasonReference": references_of(said)}
    return {**without(resource, "reason"), **{name: held for name, held in kept.items() if held}}
