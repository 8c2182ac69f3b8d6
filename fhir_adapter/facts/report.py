"""DiagnosticReport -> one fact: that a report of a category exists, and what it concludes in code.

The text of a report is never read: it is for a person.
"""

from __future__ import annotations

from fhir_adapter.facts.context import Context, by_status, make
from fhir_adapter.facts.observation import STATUS, when_of
from fhir_adapter.fhir.reading import codings, label, many_codings, text
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """Code and category as concepts, coded conclusions as the value."""
    return (
        make(
            resource,
            Kind.REPORT,
            when_of(context, resource),
            by_status(STATUS, text(resource.get("status"))),
            patient,
            concepts=(*codings(resource.get("code")), *many_codings(resource.get("category"))),
            value_concepts=many_codings(resource.get("conclusionCode")),
            label=label(resource.get("code")),
        ),
    )
