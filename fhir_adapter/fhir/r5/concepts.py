"""What R5 shapes differently in many types: CodeableReference, and an element under another name.

An element that R4 does not have stays under its R5 name: it is not lost, and whoever looks for what
a person may have added finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_adapter.fhir.reading import parts, reference
from fhir_adapter.ports import Resource

EXTENSION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"
"""Start of the url of an R5 element that stands in another version (FHIR versions 2.1.6.5)."""


class NotRead(Exception):  # noqa: N818 - a state of a resource, told on as "not retrieved"
    """R4 cannot say what this resource says, and leaving it out would read as "there is none"."""


def renamed(resource: Resource, names: Mapping[str, str]) -> Resource:
    """The same elements in their order, some under other names."""
    return {names.get(name, name): value for name, value in resource.items()}


def without(resource: Resource, *names: str) -> Resource:
    """All elements but these."""
    return {name: value for name, value in resource.items() if name not in names}


def first(found: list[Any]) -> list[Any]:
    """The first item, or nothing."""
    return found[:1]


def concepts_of(value: Any) -> list[Any]:
    """The concepts of CodeableReferences; those with a reference alone have none."""
    return [item["concept"] for item in parts(value) if "concept" in item]


def references_of(value: Any) -> list[Any]:
    """The references of CodeableReferences."""
    return [item["reference"] for item in parts(value) if "reference" in item]


def with_codings_of_all(concepts: list[Any]) -> Resource:
    """One CodeableConcept with the codings of several."""
    return {"coding": [one for item in concepts for one in parts(item.get("coding"))]}


def doubted(resource: Resource, element: str) -> Resource:
    """With a modifier that nobody knows: what it says makes unknown and decides nothing."""
    url = f"{EXTENSION}{resource.get('resourceType')}.{element}"
    held = parts(resource.get("modifierExtension"))
    return {**resource, "modifierExtension": [*held, {"url": url, "valueBoolean": True}]}


def about_another(resource: Resource) -> bool:
    """Whether ``focus`` (R5) names somebody or something else than the subject."""
    subject = reference(resource.get("subject"))
    return any(reference(one) != subject for one in parts(resource.get("focus")))
