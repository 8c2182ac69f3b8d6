"""Consent of scope research -> one fact: permit, or deny (an opt-out, which is a stop).

Source: FHIR R4 Consent; fhir-shapes section 2: rejected or inactive is a refusal, none is no
refusal unless the site says so. Of other scopes only a refusal is read: one whose scope no code
states may be about research, and a privacy opt-out covers every use of the record.
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
from fhir_adapter.fhir.reading import codings, label, many_codings, part, parts, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import ANY_TIME, Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import RESEARCH_DENY, RESEARCH_PERMIT
from fhir_adapter.ports import Resource

SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
RESEARCH = Code(SCOPES, "research")
PRIVACY = Code(SCOPES, "patient-privacy")
OPT_OUT = Code("http://terminology.hl7.org/CodeSystem/v3-ActCode", "OPTOUT")
_REFUSED = frozenset(("rejected", "inactive"))
_NOT_YET = frozenset(("draft", "proposed", "entered-in-error"))
_UNRESTRICTED = frozenset(("id", "extension", "type"))
"""What a nested provision may hold and still be about everything."""
NO_TYPE = "consent-without-type"
NO_SCOPE = "consent-scope-not-read"
PRIVACY_OPT_OUT = "privacy-opt-out"

_Meaning = tuple[tuple[Code, ...], Worth, tuple[str, ...]]
_DENIED: _Meaning = ((RESEARCH_DENY,), COUNTS, ())


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """Nothing for consents to other things than research, unless they may refuse it."""
    meaning = _meaning_by_scope(resource)
    if meaning is None:
        return ()
    concepts, worth, issues = meaning
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


def _meaning_by_scope(resource: Resource) -> _Meaning | None:
    scope = codings(resource.get("scope"))
    if RESEARCH in scope:
        return _meaning(resource)
    if PRIVACY in scope and text(resource.get("status")) == "active" and _opts_out(resource):
        return (RESEARCH_DENY,), COUNTS, (PRIVACY_OPT_OUT,)
    is_readable = any(code.system == SCOPES for code in scope)
    # one that has run out refuses research only where it says that it was about research
    is_over = text(resource.get("status")) == "inactive"
    if not (is_readable or is_over) and _meaning(resource) == _DENIED:
        return (RESEARCH_DENY,), COUNTS, (NO_SCOPE,)
    return None


def _meaning(resource: Resource) -> _Meaning:
    status = text(resource.get("status"))
    if status in _NOT_YET:
        return (), IGNORED, ()
    if status in _REFUSED:
        return _DENIED
    if status != "active":
        return (), UNUSABLE, (NO_TYPE,)
    return _provided(resource)


def _provided(resource: Resource) -> _Meaning:
    """What an active Consent says; of two things that contradict each other, the refusal."""
    provision = part(resource.get("provision"))
    said = text(provision.get("type"))
    if (
        said == "deny"
        or _opts_out(resource)
        or any(map(_denies_all, parts(provision.get("provision"))))
    ):
        return _DENIED
    if said == "permit":
        return (RESEARCH_PERMIT,), COUNTS, ()
    return (), UNUSABLE, (NO_TYPE,)


def _opts_out(resource: Resource) -> bool:
    rules = (*codings(resource.get("policyRule")), *many_codings(resource.get("category")))
    return OPT_OUT in rules


def _denies_all(nested: Resource) -> bool:
    """A refusal without actor, purpose, data or time takes back the whole permission."""
    return nested.get("type") == "deny" and not any(
        held for name, held in nested.items() if name not in _UNRESTRICTED
    )


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
