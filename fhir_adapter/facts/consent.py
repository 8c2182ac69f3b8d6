"""Consent of scope research -> one fact: permit, or deny (an opt-out, which is a stop).

Source: FHIR R4 Consent; fhir-shapes section 2: rejected or inactive is a refusal, none is no
refusal unless the site says so.
"""

from __future__ import annotations

from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    RUNNING,
    UNUSABLE,
    Context,
    When,
    Worth,
    make,
)
from fhir_adapter.fhir.reading import codings, label, part, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import ANY_TIME, Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import RESEARCH_DENY, RESEARCH_PERMIT
from fhir_adapter.ports import Resource

RESEARCH = Code("http://terminology.hl7.org/CodeSystem/consentscope", "research")
_REFUSED = frozenset(("rejected", "inactive"))
_NOT_YET = frozenset(("draft", "proposed", "entered-in-error"))
NO_TYPE = "consent-without-type"


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """Nothing for consents to other things than research."""
    if RESEARCH not in codings(resource.get("scope")):
        return ()
    concepts, worth, issues = _meaning(resource)
    return (
        make(
            resource,
            Kind.CONSENT,
            _when(context, resource, refused=RESEARCH_DENY in concepts),
            worth,
            patient,
            concepts=concepts,
            label=label(resource.get("scope")),
            issues=issues,
        ),
    )


def _meaning(resource: Resource) -> tuple[tuple[Code, ...], Worth, tuple[str, ...]]:
    status = text(resource.get("status"))
    if status in _NOT_YET:
        return (), IGNORED, ()
    if status in _REFUSED:
        return (RESEARCH_DENY,), COUNTS, ()
    match text(part(resource.get("provision")).get("type")) if status == "active" else "":
        case "permit":
            return (RESEARCH_PERMIT,), COUNTS, ()
        case "deny":
            return (RESEARCH_DENY,), COUNTS, ()
        case _:
            return (), UNUSABLE, (NO_TYPE,)


def _when(context: Context, resource: Resource, *, refused: bool) -> When:
    """From its date; a permission ends with its period, a refusal does not end by itself."""
    written, issue = context.dates.read(resource.get("dateTime"))
    issues = (issue,) if issue else ()
    start = written if written is not None else ANY_TIME
    end = RUNNING if refused else _period_end(context, resource) or RUNNING
    return When(start, end, "dateTime" if written is not None else "", start.lo, issues)


def _period_end(context: Context, resource: Resource) -> Span | None:
    span = part(part(resource.get("provision")).get("period"))
    end, _ = context.dates.read(span.get("end"))
    return end
