"""AllergyIntolerance -> one fact, with its criticality and the worst severity of its reactions.

Source: FHIR R4 AllergyIntolerance. "No known allergies" is recorded absence.
"""

from __future__ import annotations

from fhir_adapter.facts.absence import recorded_absence
from fhir_adapter.facts.condition import CLINICAL, VERIFICATION, when_of
from fhir_adapter.facts.context import Context, by_status, make
from fhir_adapter.fhir.reading import (
    codings,
    first_code,
    label,
    many_codings,
    parts,
    status_code,
    text,
)
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

_WORST_FIRST = ("severe", "moderate", "mild")


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """The propensity; manifestations of its reactions are the value, and concepts as well.

    An anaphylaxis is one of the patient's wherever it is coded, and a value set finds concepts.
    """
    reactions = parts(resource.get("reaction"))
    propensity = (
        *codings(resource.get("code")),
        *many_codings([item.get("substance") for item in reactions]),
    )
    manifestations = tuple(
        code for item in reactions for code in many_codings(item.get("manifestation"))
    )
    clinical = CLINICAL.get(first_code(resource.get("clinicalStatus")), "")
    absence = recorded_absence(propensity)
    worth = by_status(VERIFICATION, status_code(resource.get("verificationStatus")))
    severities = {text(item.get("severity")) for item in reactions}
    return (
        make(
            resource,
            absence.kind if absence is not None else Kind.ALLERGY,
            when_of(context, resource, clinical),
            absence.worth if absence is not None else worth,
            patient,
            concepts=(*propensity, *manifestations),
            recorded_absence=absence is not None and absence.states,
            clinical_status=clinical,
            criticality=text(resource.get("criticality")),
            severity=next((name for name in _WORST_FIRST if name in severities), ""),
            value_concepts=manifestations,
            label=label(resource.get("code")),
            issues=absence.issues if absence is not None else (),
        ),
    )
