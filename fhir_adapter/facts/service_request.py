"""ServiceRequest -> one fact: that something was ordered, and when.

Source: FHIR R4 ServiceRequest. It exists from the day it was written; what it asks for may lie in
the future.
"""

from __future__ import annotations

from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    PENDING,
    RUNNING,
    UNUSABLE,
    Context,
    When,
    Worth,
    by_status,
    make,
    not_stated,
)
from fhir_adapter.facts.medication import DO_NOT_PERFORM, NOT_AN_ORDER
from fhir_adapter.fhir.reading import codings, label, many_codings, text
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "active": COUNTS,
    "completed": COUNTS,
    "on-hold": COUNTS,
    "draft": PENDING,
    "revoked": IGNORED,
    "entered-in-error": IGNORED,
    "unknown": UNUSABLE,
}
_PLANS = frozenset(("proposal", "plan", "option"))
_RUNNING = frozenset(("active", "on-hold"))


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """The order; a plan or proposal, or an order not to, is for a person to read."""
    status = text(resource.get("status"))
    worth = by_status(STATUS, status)
    issues: tuple[str, ...] = ()
    if worth is not IGNORED and resource.get("doNotPerform") is True:
        worth, issues = UNUSABLE, (DO_NOT_PERFORM,)
    elif worth is not IGNORED and text(resource.get("intent")) in _PLANS:
        worth, issues = UNUSABLE, (NOT_AN_ORDER,)
    return (
        make(
            resource,
            Kind.SERVICE_REQUEST,
            _when(context, resource, running=status in _RUNNING),
            worth,
            patient,
            concepts=codings(resource.get("code")),
            value_concepts=many_codings(resource.get("category")),
            intent=text(resource.get("intent")),
            label=label(resource.get("code")),
            issues=issues,
        ),
    )


def _when(context: Context, resource: Resource, *, running: bool) -> When:
    authored, issue = context.dates.read(resource.get("authoredOn"))
    issues = (issue,) if issue else ()
    if authored is None:
        return When(issues=issues)
    end = RUNNING if running else not_stated(authored)
    return When(authored, end, "authored", authored.lo, issues)
