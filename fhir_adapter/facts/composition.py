"""Composition (IPS) -> what its sections say about a whole kind, by emptyReason.

Sources: IPS section codes (LOINC); list-empty-reason: nilknown is recorded absence; notasked,
unavailable, withheld and the like say nothing: the kind was then not retrieved.
"""

from __future__ import annotations

from fhir_adapter.facts.context import COUNTS, Context, When, make, moment, source_of
from fhir_adapter.fhir.reading import codings, first_code, parts
from fhir_adapter.model.code import LOINC, Code
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

SECTIONS = {
    Code(LOINC, "48765-2"): Kind.ALLERGY,
    Code(LOINC, "10160-0"): Kind.MEDICATION,
    Code(LOINC, "11450-4"): Kind.CONDITION,
    Code(LOINC, "47519-4"): Kind.PROCEDURE,
    Code(LOINC, "11369-6"): Kind.IMMUNIZATION,
}
NIL_KNOWN = "nilknown"


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """A recorded absence for each section that is empty because nothing is known to exist."""
    span, issue = context.dates.read(resource.get("date"))
    when = moment(span, "date", None, issue) if span is not None else When()
    return tuple(
        make(
            resource,
            kind,
            when,
            COUNTS,
            patient,
            source=f"{source_of(resource)}#section[{number}]",
            recorded_absence=True,
        )
        for number, kind, reason in _empty(resource)
        if reason == NIL_KNOWN
    )


def not_asked(resource: Resource) -> tuple[Kind, ...]:
    """Kinds whose section is empty for any other reason."""
    return tuple(kind for _, kind, reason in _empty(resource) if reason != NIL_KNOWN)


def _empty(resource: Resource) -> list[tuple[int, Kind, str]]:
    found: list[tuple[int, Kind, str]] = []
    for number, section in enumerate(parts(resource.get("section"))):
        kinds = [SECTIONS[code] for code in codings(section.get("code")) if code in SECTIONS]
        reason = first_code(section.get("emptyReason"))
        if kinds and reason:
            found.append((number, kinds[0], reason))
    return found
