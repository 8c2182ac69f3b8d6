"""What the adapter writes beside a ResearchSubject: GuidanceResponse, Provenance, Device, List.

Both ways, so that what was sent is compared with what stands in one form. Task is the same in what
is written of it.
"""

from __future__ import annotations

from typing import Any

from fhir_adapter.fhir.r5.concepts import renamed, without
from fhir_adapter.fhir.reading import is_array, is_object, parts
from fhir_adapter.ports import Resource


def guidance_to_r4(resource: Resource) -> Resource:
    """evaluationMessage is one reference; result and reason, which nobody here writes, stay."""
    return _as_list(resource, "evaluationMessage")


def guidance_to_r5(resource: Resource) -> Resource:
    """A failure carries one message."""
    return _as_one(resource, "evaluationMessage")


def provenance_to_r4(resource: Resource) -> Resource:
    """authorization was reason; one that is no concept stays under its name."""
    said = resource.get("authorization")
    if not is_array(said) or not all(is_object(one) and one.keys() == {"concept"} for one in said):
        return resource
    reasons = [one["concept"] for one in parts(said)]
    return {**without(resource, "authorization"), "reason": reasons}


def provenance_to_r5(resource: Resource) -> Resource:
    """reason is authorization."""
    if "reason" not in resource:
        return resource
    said = [{"concept": one} for one in parts(resource["reason"])]
    return {**without(resource, "reason"), "authorization": said}


def device_to_r4(resource: Resource) -> Resource:
    """A name's ``value`` was its name."""
    return _names(resource, "name", "deviceName", {"value": "name"})


def device_to_r5(resource: Resource) -> Resource:
    """deviceName is name."""
    return _names(resource, "deviceName", "name", {"name": "value"})


def _names(resource: Resource, old: str, new: str, within: dict[str, str]) -> Resource:
    if old not in resource:
        return resource
    said = [renamed(one, within) for one in parts(resource[old])]
    return {**without(resource, old), new: said}


def list_to_r4(resource: Resource) -> Resource:
    """A List may be about several: one stands alone in R4."""
    return _as_one(resource, "subject")


def list_to_r5(resource: Resource) -> Resource:
    """``subject`` is a list."""
    return _as_list(resource, "subject")


def _as_list(resource: Resource, name: str) -> Resource:
    held: Any = resource.get(name)
    return {**resource, name: [held]} if is_object(held) else resource


def _as_one(resource: Resource, name: str) -> Resource:
    """Several stay as they are: the place is then no valid one, and nothing of it is lost."""
    held: Any = resource.get(name)
    return {**resource, name: held[0]} if is_array(held) and len(held) == 1 else resource
