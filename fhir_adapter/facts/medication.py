"""Medication resources -> one fact each: what was ordered, stated, given or handed out, and when.

Sources: FHIR R4 MedicationRequest, MedicationStatement, MedicationAdministration,
MedicationDispense, Medication; fhir-shapes section 4 (doNotPerform, intent proposal or plan make
a fact unusable). An order is not an intake: which resource a fact came from stays in its source.
"""

from __future__ import annotations

from fhir_adapter.facts.absence import recorded_absence
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
    earliest,
    make,
    moment,
    not_stated,
    period,
    up_to,
)
from fhir_adapter.facts.quantities import decimal
from fhir_adapter.fhir.reading import codings, label, part, parts, reference, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import Duration, Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Resource

_ERROR: dict[str, Worth] = {"entered-in-error": IGNORED, "unknown": UNUSABLE}
REQUEST: dict[str, Worth] = {
    **_ERROR,
    "active": COUNTS,
    "completed": COUNTS,
    "on-hold": COUNTS,
    "stopped": COUNTS,
    "draft": PENDING,
    "cancelled": IGNORED,
}
STATEMENT: dict[str, Worth] = {
    **_ERROR,
    "active": COUNTS,
    "completed": COUNTS,
    "on-hold": COUNTS,
    "stopped": COUNTS,
    "intended": PENDING,
    "not-taken": IGNORED,
}
ADMINISTRATION: dict[str, Worth] = {
    **_ERROR,
    "completed": COUNTS,
    "in-progress": COUNTS,
    "on-hold": COUNTS,
    "stopped": COUNTS,
    "not-done": IGNORED,
}
DISPENSE: dict[str, Worth] = {
    **_ERROR,
    "completed": COUNTS,
    "in-progress": COUNTS,
    "preparation": PENDING,
    "on-hold": PENDING,
    "stopped": COUNTS,
    "cancelled": IGNORED,
    "declined": IGNORED,
}
_PLANS = frozenset(("proposal", "plan", "option"))
UNRESOLVED = "medication-not-resolved"
TEXT_ONLY = "medication-without-code"
NOT_AN_ORDER = "not-an-order"
DO_NOT_PERFORM = "do-not-perform"
_DEEP = 3


def request(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """An order: from authoredOn, or the dosage's own period, until its end where one is said."""
    status = text(resource.get("status"))
    worth = by_status(REQUEST, status)
    issues: tuple[str, ...] = ()
    if resource.get("doNotPerform") is True:
        worth, issues = _unless_ignored(worth), (DO_NOT_PERFORM,)
    elif text(resource.get("intent")) in _PLANS:
        worth, issues = _unless_ignored(worth), (NOT_AN_ORDER,)
    when = _ordered(context, resource, running=status in ("active", "on-hold"))
    return _fact(context, resource, patient, when, worth, issues)


def statement(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """What the patient takes, as somebody says."""
    status = text(resource.get("status"))
    asserted, _ = context.dates.read(resource.get("dateAsserted"))
    when = _effective(context, resource, running=status == "active", known=earliest(asserted))
    if when is None:
        when = _bounded(asserted, "asserted", running=status == "active")
    return _fact(context, resource, patient, when, by_status(STATEMENT, status))


def administration(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """What was given: the best evidence."""
    status = text(resource.get("status"))
    when = _effective(context, resource, running=status == "in-progress", known=None)
    worth = by_status(ADMINISTRATION, status)
    return _fact(context, resource, patient, when or When(), worth)


def dispense(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """What was handed out, for as long as it lasts where the supply is stated."""
    return _fact(
        context,
        resource,
        patient,
        _handed_over(context, resource),
        by_status(DISPENSE, text(resource.get("status"))),
    )


def _unless_ignored(worth: Worth) -> Worth:
    return IGNORED if worth is IGNORED else UNUSABLE


def _fact(
    context: Context,
    resource: Resource,
    patient: str,
    when: When,
    worth: Worth,
    issues: tuple[str, ...] = (),
) -> tuple[Fact, ...]:
    concepts, said, more = _drug(context, resource)
    absence = recorded_absence(concepts)
    return (
        make(
            resource,
            absence.kind if absence is not None else Kind.MEDICATION,
            when,
            absence.worth if absence is not None else worth,
            patient,
            encounter=reference(resource.get("encounter")) or reference(resource.get("context")),
            concepts=concepts,
            recorded_absence=absence is not None and absence.states,
            intent=text(resource.get("intent")),
            label=said,
            issues=(*issues, *more, *(absence.issues if absence is not None else ())),
        ),
    )


def _drug(context: Context, resource: Resource) -> tuple[tuple[Code, ...], str, tuple[str, ...]]:
    """Codes of the product and of its ingredients, from wherever the medication stands."""
    if "medicationCodeableConcept" not in resource:
        return _referred(context, resource)
    concept = resource["medicationCodeableConcept"]
    found = codings(concept)
    if "medicationReference" not in resource:
        return found, label(concept), () if found else (TEXT_ONLY,)
    codes, said, issues = _referred(context, resource)  # R5 has room for both
    return tuple(dict.fromkeys((*found, *codes))), label(concept) or said, issues


def _referred(
    context: Context, resource: Resource
) -> tuple[tuple[Code, ...], str, tuple[str, ...]]:
    held = {f"#{text(item.get('id'))}": item for item in parts(resource.get("contained"))}
    target = part(resource.get("medicationReference"))
    medication = _medication(context, held, reference(target))
    if medication is None:
        return (), text(target.get("display")), (UNRESOLVED,)
    codes = _codes_of(context, held, medication, _DEEP)
    said = label(medication.get("code")) or text(target.get("display"))
    return tuple(dict.fromkeys(codes)), said, () if codes else (TEXT_ONLY,)


def _medication(context: Context, held: dict[str, Resource], target: str) -> Resource | None:
    return held.get(target) or context.medications.get(target)


def _codes_of(
    context: Context, held: dict[str, Resource], medication: Resource, depth: int
) -> list[Code]:
    found = list(codings(medication.get("code")))
    if depth == 0:
        return found
    for ingredient in parts(medication.get("ingredient")):
        found += codings(ingredient.get("itemCodeableConcept"))
        inner = _medication(context, held, reference(ingredient.get("itemReference")))
        if inner is not None:
            found += _codes_of(context, held, inner, depth - 1)
    return found


def _effective(
    context: Context, resource: Resource, *, running: bool, known: int | None
) -> When | None:
    if "effectivePeriod" in resource:
        return period(
            context, resource["effectivePeriod"], source="effective", running=running, known=known
        )
    if "effectiveDateTime" in resource:
        span, issue = context.dates.read(resource["effectiveDateTime"])
        if span is None:
            return When(source="effective", issues=(issue,) if issue else ())
        if not running:
            return moment(span, "effective", known, issue)
        since = span.lo if known is None else known
        return When(span, RUNNING, "effective", since, (issue,) if issue else ())
    return None


def _bounded(written: Span | None, source: str, *, running: bool) -> When:
    """Only a date of writing: it began anywhere up to then."""
    if written is None:
        return When()
    start = up_to(written)
    return When(start, RUNNING if running else not_stated(start), source, written.lo)


def _ordered(context: Context, resource: Resource, *, running: bool) -> When:
    authored, issue = context.dates.read(resource.get("authoredOn"))
    issues = (issue,) if issue else ()
    bounds = _dosage_bounds(context, resource)
    if bounds is not None:
        known = bounds.known if authored is None else authored.lo
        end = bounds.end
        return When(bounds.start, end, "dosage", known, (*issues, *bounds.issues))
    if authored is None:
        return When(issues=issues)
    end = RUNNING if running else _validity_end(context, resource) or not_stated(authored)
    return When(authored, end, "authored", authored.lo, issues)


def _dosage_bounds(context: Context, resource: Resource) -> When | None:
    """The period of a single dosage line that states both its ends."""
    lines = parts(resource.get("dosageInstruction"))
    if len(lines) != 1:
        return None
    repeat = part(part(lines[0].get("timing")).get("repeat"))
    bounds = part(repeat.get("boundsPeriod"))
    if not bounds.get("start") or not bounds.get("end"):
        return None
    return period(context, bounds, source="dosage", running=False)


def _validity_end(context: Context, resource: Resource) -> Span | None:
    dispensing = part(resource.get("dispenseRequest"))
    end, _ = context.dates.read(part(dispensing.get("validityPeriod")).get("end"))
    return end


def _handed_over(context: Context, resource: Resource) -> When:
    for name in ("whenHandedOver", "whenPrepared"):
        span, issue = context.dates.read(resource.get(name))
        if span is not None:
            end = _supply_end(context, resource, span) or not_stated(span)
            return When(span, end, name, span.lo, (issue,) if issue else ())
    return When()


def _supply_end(context: Context, resource: Resource, start: Span) -> Span | None:
    """daysSupply in days: the day of the last dose."""
    supply = part(resource.get("daysSupply"))
    days = decimal(supply.get("value"))
    unit = text(supply.get("code")) or text(supply.get("unit"))
    if days is None or unit not in ("d", "day", "days", "Day", "") or not 0 < days < _MOST_DAYS:
        return None
    span = Duration(int(days) - 1 if days >= 1 else 0, "day")
    return context.dates.days(span.shift(start.date_lo, 1), span.shift(start.date_hi, 1))


_MOST_DAYS = 3700
