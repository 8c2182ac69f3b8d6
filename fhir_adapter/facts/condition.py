"""Condition -> one fact. Onset decides; a recorded date is an upper bound only.

Sources: FHIR R4 Condition (verificationStatus, clinicalStatus and their hierarchies, onset[x],
abatement[x]); ICD-10-GM certainty flags (G, V, A, Z) through the site file; seed-trial section 8.
"""

from __future__ import annotations

from typing import Any

from fhir_adapter.facts.absence import recorded_absence
from fhir_adapter.facts.context import (
    ANY_TIME,
    COUNTS,
    IGNORED,
    RUNNING,
    UNCONFIRMED,
    Context,
    When,
    Worth,
    by_status,
    make,
    not_stated,
    period,
    up_to,
)
from fhir_adapter.fhir.reading import (
    codings,
    extensions,
    first_code,
    label,
    part,
    parts,
    status_code,
    text,
)
from fhir_adapter.model.dates import Duration, Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

VERIFICATION: dict[str, Worth] = {
    "confirmed": COUNTS,
    "": COUNTS,
    "unconfirmed": UNCONFIRMED,
    "provisional": UNCONFIRMED,
    "differential": UNCONFIRMED,
    "refuted": IGNORED,
    "entered-in-error": IGNORED,
}
CLINICAL = {
    "active": "active",
    "recurrence": "active",
    "relapse": "active",
    "inactive": "inactive",
    "remission": "inactive",
    "resolved": "inactive",
}
"""recurrence and relapse are active, remission and resolved inactive (R4 condition-clinical)."""


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """The statement, its certainty, and when it held."""
    concepts = codings(resource.get("code"))
    clinical = CLINICAL.get(first_code(resource.get("clinicalStatus")), "")
    worth = by_status(VERIFICATION, status_code(resource.get("verificationStatus")))
    worth, clinical = _certainty(context, resource, worth, clinical)
    absence = recorded_absence(concepts)
    return (
        make(
            resource,
            absence.kind if absence is not None else Kind.CONDITION,
            when_of(context, resource, clinical),
            absence.worth if absence is not None else worth,
            patient,
            concepts=concepts,
            recorded_absence=absence is not None and absence.states,
            clinical_status=clinical,
            severity=first_code(resource.get("severity")),
            stage=_stage(resource),
            label=label(resource.get("code")),
            issues=absence.issues if absence is not None else (),
        ),
    )


def _stage(resource: Resource) -> str:
    stages = (first_code(item.get("summary")) for item in parts(resource.get("stage")))
    return next((code for code in stages if code), "")


def _certainty(
    context: Context, resource: Resource, worth: Worth, clinical: str
) -> tuple[Worth, str]:
    """The site's certainty flag counts beside verificationStatus; the stricter one wins."""
    match _flag(context, resource):
        case "excluded":
            return IGNORED, clinical
        case "suspected":
            return (UNCONFIRMED if worth is COUNTS else worth), clinical
        case "history":
            return worth, "history"
        case _:
            return worth, clinical


def _flag(context: Context, resource: Resource) -> str:
    table = {(url, flag): meaning for url, flag, meaning in context.mappings.site.certainty}
    if not table:
        return ""
    urls = tuple(dict.fromkeys(url for url, _ in table))
    code = part(resource.get("code"))
    for element in (resource, code, *parts(code.get("coding"))):
        for found in extensions(element, *urls):
            flag = _extension_code(found)
            if flag:
                return table.get((text(found.get("url")), flag), "")
    return ""


def _extension_code(found: Resource) -> str:
    value = part(found.get("valueCoding"))
    return text(value.get("code")) or text(found.get("valueCode")) or text(found.get("valueString"))


def when_of(context: Context, resource: Resource, clinical: str) -> When:
    """onset[x] to abatement[x]; without an onset anywhere up to recordedDate."""
    recorded, issue = context.dates.read(resource.get("recordedDate"))
    issues = (issue,) if issue else ()
    start, source, more = _onset(context, resource)
    known = recorded.lo if recorded is not None else start.lo if start is not None else None
    if start is None:
        start = up_to(recorded) if recorded is not None else ANY_TIME
        source = "recorded" if recorded is not None else ""
    end, end_issues = _end(context, resource, start, clinical)
    found = (*issues, *more, *end_issues)
    return When(start, end, source, ANY_TIME.lo if known is None else known, found)


def _onset(context: Context, resource: Resource) -> tuple[Span | None, str, tuple[str, ...]]:
    for name in ("onsetDateTime", "onsetPeriod", "onsetAge", "onsetRange", "onsetString"):
        if name in resource:
            return _onset_of(context, name, resource[name])
    return None, "", ()


def _onset_of(context: Context, name: str, value: Any) -> tuple[Span | None, str, tuple[str, ...]]:
    if name == "onsetDateTime":
        span, issue = context.dates.read(value)
        return span, "onset", (issue,) if issue else ()
    if name == "onsetPeriod":
        found = period(context, value, source="onset", running=False)
        return (found.start if found.start != ANY_TIME else None), "onset", found.issues
    if name == "onsetAge":
        at = at_age(context, value)
        return at, "onset", () if at is not None else ("onset-not-a-date",)
    return None, "", ("onset-not-a-date",)


def at_age(context: Context, value: Any) -> Span | None:
    """The year of life named by an age in years, from the birth date's interval."""
    found = part(value)
    years = found.get("value")
    in_years = text(found.get("code")) == "a" or text(found.get("unit")).startswith("year")
    birth = context.birth
    if birth is None or not in_years or isinstance(years, bool) or not isinstance(years, int):
        return None
    first = Duration(years, "year").shift(birth.date_lo, 1)
    last = Duration(years + 1, "year").shift(birth.date_hi, 1) - 1
    return context.dates.days(first, last)


def _end(
    context: Context, resource: Resource, start: Span, clinical: str
) -> tuple[Span, tuple[str, ...]]:
    if "abatementDateTime" in resource:
        span, issue = context.dates.read(resource["abatementDateTime"])
        if span is not None:
            return span, (issue,) if issue else ()
        return not_stated(start), (issue,)
    if "abatementPeriod" in resource:
        found = period(context, resource["abatementPeriod"], source="", running=False)
        return found.end, found.issues
    return (RUNNING if clinical == "active" else not_stated(start)), ()
