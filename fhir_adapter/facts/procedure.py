"""Procedure -> one fact. Source: FHIR R4 Procedure and event-status."""

from __future__ import annotations

from fhir_adapter.facts.absence import recorded_absence
from fhir_adapter.facts.condition import at_age
from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    PENDING,
    UNUSABLE,
    Context,
    When,
    Worth,
    by_status,
    make,
    moment,
    period,
)
from fhir_adapter.fhir.reading import codings, label, text
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "completed": COUNTS,
    "in-progress": COUNTS,
    "on-hold": COUNTS,
    "stopped": COUNTS,
    "preparation": PENDING,
    "not-done": IGNORED,
    "entered-in-error": IGNORED,
    "unknown": UNUSABLE,
}
"""A procedure that was begun and stopped has begun; not-done denies its own code only."""

_RUNNING = frozenset(("in-progress", "on-hold"))


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """The procedure, or the statement that there were none."""
    concepts = codings(resource.get("code"))
    status = text(resource.get("status"))
    absence = recorded_absence(concepts)
    return (
        make(
            resource,
            absence.kind if absence is not None else Kind.PROCEDURE,
            when_of(context, resource, running=status in _RUNNING),
            absence.worth if absence is not None else by_status(STATUS, status),
            patient,
            concepts=concepts,
            recorded_absence=absence is not None and absence.states,
            label=label(resource.get("code")),
            issues=absence.issues if absence is not None else (),
        ),
    )


def when_of(context: Context, resource: Resource, *, running: bool) -> When:
    """performed[x]; R4 records no date of writing."""
    if "performedPeriod" in resource:
        return period(context, resource["performedPeriod"], source="performed", running=running)
    if "performedDateTime" in resource:
        span, issue = context.dates.read(resource["performedDateTime"])
        if span is None:
            return When(source="performed", issues=(issue,) if issue else ())
        return moment(span, "performed", None, issue)
    if "performedAge" in resource:
        span = at_age(context, resource["performedAge"])
        if span is not None:
            return moment(span, "performed", None, "")
    if any(name.startswith("performed") for name in resource):
        return When(source="performed", issues=("performed-not-a-date",))
    return When()
