"""DocumentReference -> one fact: that a document exists, when it was written, and whose it is.

Only its existence is read, for *outside*; its content is for a person.
"""

from __future__ import annotations

from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    Context,
    When,
    Worth,
    by_status,
    make,
    moment,
)
from fhir_adapter.fhir.reading import codings, label, many_codings, part, parts, reference, text
from fhir_adapter.model.dates import Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "current": COUNTS,
    "superseded": IGNORED,
    "entered-in-error": IGNORED,
}


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """stage says "outside" where the site's rule does."""
    concepts = (*codings(resource.get("type")), *many_codings(resource.get("category")))
    return (
        make(
            resource,
            Kind.DOCUMENT,
            _when(context, resource),
            by_status(STATUS, text(resource.get("status"))),
            patient,
            encounter=next(
                (reference(item) for item in parts(part(resource.get("context")).get("encounter"))),
                "",
            ),
            concepts=concepts,
            stage="outside" if _is_outside(context, resource) else "",
            label=label(resource.get("type")),
        ),
    )


def _is_outside(context: Context, resource: Resource) -> bool:
    site = context.mappings.site
    types = codings(resource.get("type"))
    if any(code in site.outside_types for code in types):
        return True
    custodian = reference(resource.get("custodian"))
    if not custodian:
        return site.outside_without_custodian
    return bool(site.own_custodians) and custodian not in site.own_custodians


def _when(context: Context, resource: Resource) -> When:
    span, issue = context.dates.read(resource.get("date"))
    if span is not None:
        return moment(span, "date", None, issue)
    created = _created(context, resource)
    if created is not None:
        return moment(created, "created", None, issue)
    return When(issues=(issue,) if issue else ())


def _created(context: Context, resource: Resource) -> Span | None:
    for content in parts(resource.get("content")):
        span, _ = context.dates.read(part(content.get("attachment")).get("creation"))
        if span is not None:
            return span
    return None
