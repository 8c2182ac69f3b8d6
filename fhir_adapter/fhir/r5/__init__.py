"""R5 (5.0.0) at one edge: what comes in is brought to its R4 form, what goes out to its R5 form.

All rooms speak R4. A type that stands in neither table is not read or not written, and that is
said: nothing that R4 cannot carry becomes a resource that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_adapter.fhir.r5 import clinical, consent, medication, subject, written
from fhir_adapter.fhir.r5.concepts import NotRead
from fhir_adapter.fhir.r5.searches import params_to_r4, params_to_r5
from fhir_adapter.fhir.r5.telling import is_of_r5
from fhir_adapter.fhir.reading import is_array, is_object, text
from fhir_adapter.ports import Resource

Turn = Callable[[Resource], Resource]


def same(resource: Resource) -> Resource:
    """A type in which nothing differs that is read or written."""
    return resource


_TO_R4: Mapping[str, Turn] = {
    "AllergyIntolerance": clinical.allergy,
    "Condition": same,
    "Consent": consent.to_r4,
    "Device": written.device_to_r4,
    "DiagnosticReport": same,
    "DocumentReference": clinical.document,
    "Encounter": clinical.encounter,
    "Group": same,
    "GuidanceResponse": written.guidance_to_r4,
    "Immunization": same,
    "List": written.list_to_r4,
    "Medication": medication.product,
    "MedicationAdministration": medication.administration,
    "MedicationDispense": medication.dispense,
    "MedicationRequest": medication.request,
    "MedicationStatement": medication.statement,
    "Observation": same,
    "OperationOutcome": same,
    "Patient": same,
    "Procedure": clinical.procedure,
    "Provenance": written.provenance_to_r4,
    "QuestionnaireResponse": same,
    "ResearchStudy": clinical.study,
    "ResearchSubject": subject.to_r4,
    "ServiceRequest": clinical.service_request,
    "SubscriptionStatus": same,
    "Task": same,
}
_TO_R5: Mapping[str, Turn] = {
    "Device": written.device_to_r5,
    "GuidanceResponse": written.guidance_to_r5,
    "List": written.list_to_r5,
    "Provenance": written.provenance_to_r5,
    "ResearchSubject": subject.to_r5,
    "Task": same,
}
READ = frozenset(_TO_R4)
WRITTEN = frozenset(_TO_R5)


def to_r4(resource: Resource) -> Resource:
    """The R4 form of a resource, or of a Bundle and all that is in it; NotRead where it has none.

    In a Bundle such an entry stays without its resource: the page is then not whole.
    """
    kind = text(resource.get("resourceType"))
    if kind == "Bundle":
        entries = resource.get("entry")
        return (
            {**resource, "entry": [_entry(one) for one in entries]}
            if is_array(entries)
            else resource
        )
    turn = _TO_R4.get(kind)
    if turn is None:
        raise NotRead
    return turn(resource)


def _entry(entry: Any) -> Any:  # noqa: ANN401 (any JSON value)
    held = entry.get("resource") if is_object(entry) else None
    if not is_object(held):
        return entry
    try:
        return {**entry, "resource": to_r4(held)}
    except NotRead:
        return {name: value for name, value in entry.items() if name != "resource"}


def to_r5(resource: Resource) -> Resource:
    """The R5 form of what the adapter writes; NotRead for a type of which none is made."""
    turn = _TO_R5.get(text(resource.get("resourceType")))
    if turn is None:
        raise NotRead
    return turn(resource)


__all__ = [
    "READ",
    "WRITTEN",
    "NotRead",
    "is_of_r5",
    "params_to_r4",
    "params_to_r5",
    "to_r4",
    "to_r5",
]
