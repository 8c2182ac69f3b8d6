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
    moments: dict[tuple[str, str], When] = field(default_factory=dict)
    """(effectiveDateTime, issued) as sent -> when: a panel shares them. Outlives the record."""
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


def earliest(span: Span | None) -> int | None:
    """The lower bound of the date at which something was written down."""
    return None if span is None else span.lo


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
    modifier, rules = resource.get("modifierExtension"), resource.get("implicitRules")
    if not modifier and not rules:
        return worth, ()
    issues = (*((UNKNOWN_MODIFIER,) if modifier else ()), *((IMPLICIT_RULES,) if rules else ()))
    return (worth if worth.standing is Standing.IGNORED else UNUSABLE), issues


def source_of(resource: Resource) -> str:
    """Type/id of a resource."""
    name, own = resource.get("resourceType"), resource.get("id")
    if isinstance(name, str) and isinstance(own, str):
        return f"{name}/{own}"
    return f"{text(name)}/{text(own)}"


def version_of(resource: Resource) -> tuple[str, str]:
    """meta.versionId and meta.lastUpdated."""
    if "meta" not in resource:
        return "", ""
    meta = part(resource["meta"])
    return text(meta.get("versionId")), text(meta.get("lastUpdated"))


def each_once(issues: tuple[str, ...]) -> tuple[str, ...]:
    """Data-quality codes in the order in which they were found."""
    return issues if len(issues) < _TWO else tuple(dict.fromkeys(issues))


_TWO = 2


def make(
    resource: Resource,
    kind: Kind,
    when: When,
    worth: Worth,
    patient: str,
    *,
    source: str | None = None,
    encounter: str | None = None,
    issues: tuple[str, ...] = (),
    **more: Any,
) -> Fact:
    """A fact with everything that every kind shares."""
    judged, doubts = doubted(resource, worth)
    version, last_updated = version_of(resource)
    start, end = when.start, when.end
    return Fact(
        patient=patient,
        kind=kind,
        source=source_of(resource) if source is None else source,
        encounter=reference(resource.get("encounter")) if encounter is None else encounter,
        status=text(resource.get("status")),
        start_lo=start.lo,
        start_hi=start.hi,
        start_date_lo=start.date_lo,
        start_date_hi=start.date_hi,
        end_lo=end.lo,
        end_hi=end.hi,
        end_date_lo=end.date_lo,
        end_date_hi=end.date_hi,
        date_source=when.source,
        known_from=when.known,
        standing=judged.standing,
        standing_reason=judged.reason,
        issues=each_once((*when.issues, *doubts, *issues)),
        version=version,
        last_updated=last_updated,
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
