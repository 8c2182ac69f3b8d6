"""What one site needs to read resources into facts, worked out once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from fhir_adapter.facts.quantities import Quantities
from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.fhir.reading import part, parts, reference, text
from fhir_adapter.model.dates import (
    ANY_TIME,
    DATE_EARLIEST,
    DATE_LATEST,
    EARLIEST,
    LATEST,
    Span,
)
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.model.truth import Reason
from fhir_adapter.ports import Resource

UNKNOWN_MODIFIER = "unknown-modifier"
IMPLICIT_RULES = "implicit-rules"


@dataclass(slots=True)
class Context:
    """One site's rules, and the record that is being read (for references between resources)."""

    mappings: Mappings
    dates: DateReader
    quantities: Quantities
    medications: dict[str, Resource] = field(default_factory=dict)
    studies: dict[str, Resource] = field(default_factory=dict)
    birth: Span | None = None


class When(msgspec.Struct, frozen=True, gc=False):
    """When a fact starts and ends, from which element, and since when it can have been known."""

    start: Span = ANY_TIME
    end: Span = ANY_TIME
    source: str = ""
    known: int = EARLIEST
    issues: tuple[str, ...] = ()


RUNNING = Span(lo=LATEST, hi=LATEST, date_lo=DATE_LATEST, date_hi=DATE_LATEST)


def not_stated(start: Span) -> Span:
    """An end that is not stated lies anywhere from the start on."""
    return Span(lo=start.lo, hi=LATEST, date_lo=start.date_lo, date_hi=DATE_LATEST)


def up_to(bound: Span) -> Span:
    """Anywhere up to a recorded date: an upper bound only."""
    return Span(lo=EARLIEST, hi=bound.hi, date_lo=DATE_EARLIEST, date_hi=bound.date_hi)


def moment(span: Span, source: str, known: int | None, issue: str) -> When:
    """One moment: it ends where it starts."""
    issues = (issue,) if issue else ()
    return When(span, span, source, span.lo if known is None else known, issues)


def period(
    context: Context, value: Any, *, source: str, running: bool, known: int | None = None
) -> When:
    """A Period; without an end it runs on (``running``) or its end is not stated."""
    found = part(value)
    start, issue = context.dates.read(found.get("start"))
    end, end_issue = context.dates.read(found.get("end"))
    issues = tuple(code for code in (issue, end_issue) if code)
    if start is None and end is None:
        return When(source=source, known=EARLIEST if known is None else known, issues=issues)
    begins = start if start is not None else up_to(end) if end is not None else ANY_TIME
    if end is None:
        end = RUNNING if running else not_stated(begins)
    since = begins.lo if known is None else known
    return When(begins, end, source, since, issues)


def earliest(*spans: Span | None) -> int | None:
    """The latest lower bound among the dates at which something was written down."""
    found = [span.lo for span in spans if span is not None]
    return max(found) if found else None


@dataclass(frozen=True, slots=True)
class Worth:
    """Whether a fact counts, and why not."""

    standing: Standing = Standing.COUNTS
    reason: Reason | None = None


COUNTS = Worth()
IGNORED = Worth(Standing.IGNORED)


def unknown(reason: Reason) -> Worth:
    """Kept, and makes what it touches unknown."""
    return Worth(Standing.MAKES_UNKNOWN, reason)


UNUSABLE = unknown(Reason.RECORDED_UNUSABLE)
PENDING = unknown(Reason.PENDING)
UNCONFIRMED = unknown(Reason.UNCONFIRMED)


def by_status(table: dict[str, Worth], status: str) -> Worth:
    """A status table; a status that it does not hold is unusable, never counted."""
    return table.get(status, UNUSABLE)


def doubted(resource: Resource, worth: Worth) -> tuple[Worth, tuple[str, ...]]:
    """A modifier that we do not know, or implicit rules, is never ignored (FHIR R4 2.5)."""
    issues: tuple[str, ...] = ()
    if resource.get("modifierExtension"):
        issues = (UNKNOWN_MODIFIER,)
    if resource.get("implicitRules"):
        issues = (*issues, IMPLICIT_RULES)
    if issues and worth.standing is not Standing.IGNORED:
        return UNUSABLE, issues
    return worth, issues


def source_of(resource: Resource) -> str:
    """Type/id of a resource."""
    return f"{text(resource.get('resourceType'))}/{text(resource.get('id'))}"


def make(
    resource: Resource, kind: Kind, when: When, worth: Worth, patient: str, **more: Any
) -> Fact:
    """A fact with everything that every kind shares."""
    meta = part(resource.get("meta"))
    judged, doubts = doubted(resource, worth)
    issues = (*when.issues, *doubts, *more.pop("issues", ()))
    if "source" not in more:
        more["source"] = source_of(resource)
    if "encounter" not in more:
        more["encounter"] = reference(resource.get("encounter"))
    more.setdefault("status", text(resource.get("status")))
    return Fact(
        patient=patient,
        kind=kind,
        start_lo=when.start.lo,
        start_hi=when.start.hi,
        start_date_lo=when.start.date_lo,
        start_date_hi=when.start.date_hi,
        end_lo=when.end.lo,
        end_hi=when.end.hi,
        end_date_lo=when.end.date_lo,
        end_date_hi=when.end.date_hi,
        date_source=when.source,
        known_from=when.known,
        standing=judged.standing,
        standing_reason=judged.reason,
        issues=tuple(dict.fromkeys(issues)) if issues else (),
        version=text(meta.get("versionId")),
        last_updated=text(meta.get("lastUpdated")),
        **more,
    )


__all__ = [
    "ANY_TIME",
    "COUNTS",
    "IGNORED",
    "PENDING",
    "RUNNING",
    "UNCONFIRMED",
    "UNUSABLE",
    "Context",
    "When",
    "Worth",
    "by_status",
    "doubted",
    "earliest",
    "make",
    "moment",
    "not_stated",
    "parts",
    "period",
    "source_of",
    "unknown",
    "up_to",
]
