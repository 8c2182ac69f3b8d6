"""Whether a resource can only be of R5: for a server that did not say what it speaks.

Read as R4 such a resource would have lost what it says: a stay without its class, a Consent without
its decision.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_adapter.fhir.reading import is_array, part, parts, text
from fhir_adapter.ports import Resource

_ONLY_IN_R5: Mapping[str, frozenset[str]] = {
    "Consent": frozenset(("decision", "grantee", "grantor", "subject")),
    "Encounter": frozenset(("actualPeriod", "admission")),
    "MedicationAdministration": frozenset(("medication",)),
    "MedicationDispense": frozenset(("medication",)),
    "MedicationRequest": frozenset(("medication",)),
    "MedicationStatement": frozenset(("medication",)),
    "Procedure": frozenset(
        f"occurrence{kind}" for kind in ("Age", "DateTime", "Period", "Range", "String", "Timing")
    ),
    "ResearchSubject": frozenset(("progress", "subject")),
}


def is_of_r5(resource: Resource) -> bool:
    """Whether an element stands there that R4 does not have; of a Bundle, in any entry."""
    kind = text(resource.get("resourceType"))
    if kind == "Bundle":
        return any(is_of_r5(part(one.get("resource"))) for one in parts(resource.get("entry")))
    if not _ONLY_IN_R5.get(kind, frozenset()).isdisjoint(resource):
        return True
    if kind == "Encounter":
        return is_array(resource.get("class"))
    if kind == "ServiceRequest":
        return not {"concept", "reference"}.isdisjoint(part(resource.get("code")))
    shown = (one for item in parts(resource.get("reaction")) for one in parts(item.get(_SHOWN)))
    return kind == "AllergyIntolerance" and any("concept" in one for one in shown)


_SHOWN = "manifestation"
