"""Observation -> facts: the value, and one fact for each component.

Sources: FHIR R4 Observation (status, value[x], component, focus, dataAbsentReason); design section
3; fhir-shapes section 4 (an unknown modifier is never ignored).
"""

from __future__ import annotations

from typing import Any

import msgspec

from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    PENDING,
    UNUSABLE,
    Context,
    When,
    Worth,
    by_status,
    doubted,
    each_once,
    earliest,
    moment,
    period,
    source_of,
    unknown,
    up_to,
    version_of,
)
from fhir_adapter.facts.memory import remember
from fhir_adapter.facts.quantities import NOTHING, Measured
from fhir_adapter.fhir.reading import codings, label, many_codings, part, parts, reference, text
from fhir_adapter.model.dates import Span
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import NO, YES
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "final": COUNTS,
    "amended": COUNTS,
    "corrected": COUNTS,
    "appended": COUNTS,
    "preliminary": PENDING,
    "registered": PENDING,
    "partial": PENDING,
    "cancelled": IGNORED,
    "entered-in-error": IGNORED,
}
"""Observation and DiagnosticReport statuses; "unknown" and any other make it unusable."""

DATA_ABSENT = "data-absent"


class _Sent(msgspec.Struct, frozen=True, gc=False):
    """What the root and its components share."""

    resource: Resource
    source: str
    when: When
    patient: str
    about_other: bool


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """The root fact where it says something, and one fact per component."""
    sent = _Sent(
        resource, source_of(resource), when_of(context, resource), patient, _about_other(resource)
    )
    worth = by_status(STATUS, text(resource.get("status")))
    components = parts(resource.get("component"))
    if not components and not resource.get("hasMember"):
        return (_fact(context, sent, resource, worth),)
    found: list[Fact] = []
    if _says_something(resource):
        found.append(_fact(context, sent, resource, worth))
    for index, component in enumerate(components):
        judged, doubts = doubted(component, worth)
        found.append(_fact(context, sent, component, judged, component=index, issues=doubts))
    return tuple(found)


def when_of(context: Context, resource: Resource) -> When:
    """effective[x]; else no later than issued (an upper bound only)."""
    sent, issued = resource.get("effectiveDateTime"), resource.get("issued")
    if isinstance(sent, str) and "effectivePeriod" not in resource:
        key = (sent, text(issued))
        return context.moments.get(key) or remember(context.moments, key, _at(context, *key))
    return _when_of(context, resource, context.dates.read(issued)[0])


def _at(context: Context, effective: str, issued: str) -> When:
    span, issue = context.dates.read(effective)
    if span is None:
        return When(source="effective", issues=(issue,))
    written, _ = context.dates.read(issued)
    return moment(span, "effective", earliest(written), issue)


def _when_of(context: Context, resource: Resource, issued: Span | None) -> When:
    known = earliest(issued)
    if "effectivePeriod" in resource:
        return period(
            context, resource["effectivePeriod"], source="effective", running=False, known=known
        )
    for name in ("effectiveDateTime", "effectiveInstant"):
        if name in resource:
            span, issue = context.dates.read(resource[name])
            if span is not None:
                return moment(span, "effective", known, issue)
            return When(source="effective", issues=(issue,))
    if issued is not None:
        bound = up_to(issued)
        return When(bound, bound, "issued", issued.lo)
    return When()


def _about_other(resource: Resource) -> bool:
    """focus on somebody or something else than the subject, or another's specimen (R4: focus)."""
    if "focus" not in resource and "specimen" not in resource:
        return False
    subject = reference(resource.get("subject"))
    focus = [reference(item) for item in parts(resource.get("focus"))]
    if any(target and target != subject for target in focus):
        return True
    held = {f"#{text(item.get('id'))}": item for item in parts(resource.get("contained"))}
    specimen = held.get(reference(resource.get("specimen")))
    taken_from = reference(part(specimen).get("subject"))
    return bool(taken_from) and taken_from != subject


def _says_something(element: Resource) -> bool:
    return any(name.startswith("value") or name == "dataAbsentReason" for name in element)


def _fact(
    context: Context,
    sent: _Sent,
    element: Resource,
    worth: Worth,
    *,
    component: int | None = None,
    issues: tuple[str, ...] = (),
) -> Fact:
    concepts = codings(element.get("code"))
    analyte = context.quantities.analyte(concepts)
    measured = _measured(context, element, analyte)
    low, high = context.quantities.limits(element.get("referenceRange"), analyte)
    counted, absent = _worth(element, worth, measured)
    resource, when = sent.resource, sent.when
    judged, doubts = doubted(resource, counted)
    version, last_updated = version_of(resource)
    # written out: observations are most of a record, and Fact(...) is most of their cost
    return Fact(
        patient=sent.patient,
        kind=Kind.OBSERVATION,
        source=sent.source if component is None else f"{sent.source}#component[{component}]",
        concepts=concepts,
        version=version,
        last_updated=last_updated,
        encounter=reference(resource.get("encounter")),
        start_lo=when.start.lo,
        start_hi=when.start.hi,
        end_lo=when.end.lo,
        end_hi=when.end.hi,
        start_date_lo=when.start.date_lo,
        start_date_hi=when.start.date_hi,
        end_date_lo=when.end.date_lo,
        end_date_hi=when.end.date_hi,
        date_source=when.source,
        known_from=when.known,
        value_lo=measured.lo,
        value_hi=measured.hi,
        value_lo_open=measured.lo_open,
        value_hi_open=measured.hi_open,
        unit=measured.unit,
        reported_lo=measured.reported_lo,
        reported_hi=measured.reported_hi,
        reported_unit=measured.reported_unit,
        raw_value=measured.raw,
        raw_unit=measured.raw_unit,
        comparator=measured.comparator,
        value_concepts=_coded(element) + many_codings(element.get("interpretation")),
        ref_low=low,
        ref_high=high,
        standing=judged.standing,
        standing_reason=judged.reason,
        status=text(resource.get("status")),
        component=component,
        about_other=sent.about_other,
        label=label(element.get("code")),
        issues=each_once((*when.issues, *doubts, *issues, *measured.issues, *absent)),
    )


def _worth(element: Resource, worth: Worth, measured: Measured) -> tuple[Worth, tuple[str, ...]]:
    if worth.standing is not Standing.COUNTS:
        return worth, ()
    if element.get("dataAbsentReason") and not any(k.startswith("value") for k in element):
        return UNUSABLE, (DATA_ABSENT,)
    if measured.problem is not None:
        return unknown(measured.problem), ()
    return worth, ()


def _measured(context: Context, element: Resource, analyte: Any) -> Measured:
    read = context.quantities
    if "valueQuantity" in element:
        return read.quantity(element["valueQuantity"], analyte)
    if "valueString" in element:
        said = text(element["valueString"])
        found = read.in_text(said, analyte) if said else NOTHING
        return found if found.raw else Measured(raw=said)
    if "valueInteger" in element:
        return read.number(element["valueInteger"], analyte)
    if "valueRange" in element:
        return read.range(element["valueRange"], analyte)
    if "valueRatio" in element or "valueSampledData" in element:
        return Measured(problem=Reason.RECORDED_UNUSABLE, issues=("value-type-not-read",))
    return NOTHING


def _coded(element: Resource) -> tuple[Any, ...]:
    if "valueCodeableConcept" in element:
        return codings(element["valueCodeableConcept"])
    if isinstance(element.get("valueBoolean"), bool):
        return (YES if element["valueBoolean"] else NO,)
    return ()
