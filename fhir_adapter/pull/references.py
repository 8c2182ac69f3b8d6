"""References between resources: what they name, whose a resource is, what travels with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Resource

_LITERAL = re.compile(
    r"(?P<root>https?://[^?#]*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[^/?#\s]+)(?:/_history/[^/?#]+)?"
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a literal reference names; ``root`` is empty for a relative one."""

    resource_type: str
    id: str
    root: str = ""

    @property
    def key(self) -> str:
        """Type and id, without root and version."""
        return f"{self.resource_type}/{self.id}"

    def is_on(self, base: str) -> bool:
        """Whether it is relative or lies under the service base."""
        return self.root in {"", f"{base}/"}


def target_of(reference: object) -> Target | None:
    """The target of a Reference element; None where it names none literally.

    Contained (``#a``), conditional (``Patient?identifier=``) and identifier-only ones give None.

    >>> target_of({"reference": "http://a.example/fhir/Patient/1/_history/2"})
    Target(resource_type='Patient', id='1', root='http://a.example/fhir/')
    """
    text = as_object(reference).get("reference")
    return _read(text) if isinstance(text, str) else None


@lru_cache(maxsize=4096)  # a record names its patient hundreds of times
def _read(text: str) -> Target | None:
    found = _LITERAL.fullmatch(text)
    return Target(found["type"], found["id"], found["root"] or "") if found else None


_OWNERS = ("subject", "patient", "individual", "for", "beneficiary")
"""Elements that name the patient in the R4 types that the adapter reads."""


def patients_of(resource: Resource) -> tuple[str, ...]:
    """Ids of the patients whose resource this is, by its own elements."""
    if resource.get("resourceType") == "Patient":
        return (str(resource["id"]),) if "id" in resource else ()
    found: dict[str, None] = {}
    for name in _OWNERS:
        for owner in _each(resource.get(name)):
            target = target_of(owner)
            if target is not None and target.resource_type == "Patient":
                found[target.id] = None
    return tuple(found)


_NO_PATIENTS = frozenset(
    [
        "BiologicallyDerivedProduct",
        "Device",
        "Group",
        "Location",
        "Medication",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
        "Substance",
    ]
)


def is_about_no_patient(resource: Resource) -> bool:
    """Whether it says whom or what it is about, and that is no patient: a Group, a Device.

    One that does not say it, or not by a reference that can be read, may be about anybody.
    """
    owners = (owner for name in _OWNERS for owner in _each(resource.get(name)))
    targets = [target for owner in owners if (target := target_of(owner)) is not None]
    return any(target.resource_type in _NO_PATIENTS for target in targets)


def _each(value: object) -> list[Any]:
    if value is None:
        return []
    return as_array(value) or [value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A resource outside the patient compartment without which another one cannot be read."""

    element: str
    resource_type: str
    include: str
    """Search parameter for ``_include``."""
    vital: bool
    """Whether what refers to it is not retrieved as long as it is missing."""


_MEDICATION = Companion(
    element="medicationReference", resource_type="Medication", include="medication", vital=True
)
_STUDY = Companion(element="study", resource_type="ResearchStudy", include="study", vital=False)
COMPANIONS: Mapping[str, Companion] = {
    "MedicationRequest": _MEDICATION,
    "MedicationStatement": _MEDICATION,
    "MedicationAdministration": _MEDICATION,
    "MedicationDispense": _MEDICATION,
    "ResearchSubject": _STUDY,
}
COMPANION_TYPES = frozenset(c.resource_type for c in COMPANIONS.values())


def companion_reference(resource: Resource) -> object:
    """The Reference to the companion; None where the type has none or the element is absent."""
    companion = COMPANIONS.get(str(resource.get("resourceType")))
    return resource.get(companion.element) if companion else None


def key_of(resource: Resource) -> str:
    """``Type/id``; the id is empty where the resource has none."""
    return f"{resource.get('resourceType')}/{resource.get('id', '')}"


def rewritten(value: Any, names: Mapping[str, str]) -> Any:
    """A copy in which every ``reference`` found in ``names`` is replaced."""
    fields, items = as_object(value), as_array(value)
    if fields:
        return {name: _rewritten(name, item, names) for name, item in fields.items()}
    return [rewritten(item, names) for item in items] if items else value


def _rewritten(name: str, item: Any, names: Mapping[str, str]) -> Any:
    if name == "reference" and isinstance(item, str):
        return names.get(item, item)
    return rewritten(item, names)


def dicts(value: object) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array; nothing where it is no array."""
    yield from (item for item in map(as_object, as_array(value)) if item)
