"""Immunization -> one fact. Source: FHIR R4 Immunization."""

from __future__ import annotations

from fhir_adapter.facts.absence import recorded_absence
from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    Context,
    When,
    Worth,
    by_status,
    earliest,
    make,
    moment,
)
from fhir_adapter.fhir.reading import codings, label, text
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "completed": COUNTS,
    "not-done": IGNORED,
    "entered-in-error": IGNORED,
}


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """The vaccination that was given."""
    concepts = codings(resource.get("vaccineCode"))
    absence = recorded_absence(concepts)
    worth = by_status(STATUS, text(resource.get("status")))
    return (
        make(
            resource,
            absence.kind if absence is not None else Kind.IMMUNIZATION,
            _when(context, resource),
            absence.worth if absence is not None else worth,
            patient,
            concepts=concepts,
            recorded_absence=absence is not None and absence.states,
            label=label(resource.get("vaccineCode")),
            issues=absence.issues if absence is not None else (),
        ),
    )


def _when(context: Context, resource: Resource) -> When:
    recorded, _ = context.dates.read(resource.get("recorded"))
    if "occurrenceDateTime" in resource:
        span, issue = context.dates.read(resource["occurrenceDateTime"])
        if span is not None:
            return moment(span, "occurrence", earliest(recorded), issue)
        return When(source="occurrence", issues=(issue,) if issue else ())
    if "occurrenceString" in resource:
        return When(source="occurrence", issues=("occurrence-not-a-date",))
    return When()
