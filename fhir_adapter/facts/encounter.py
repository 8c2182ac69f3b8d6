"""Encounter -> one fact for the stay, and a death where the discharge disposition says so.

Source: FHIR R4 Encounter; discharge-disposition "exp" (expired); seed-trial section 9, record 12.
"""

from __future__ import annotations

from fhir_adapter.facts.context import (
    COUNTS,
    IGNORED,
    UNUSABLE,
    Context,
    When,
    Worth,
    by_status,
    make,
    period,
    source_of,
)
from fhir_adapter.fhir.reading import coding, codings, label, many_codings, part, text
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import DECEASED
from fhir_adapter.ports import Resource

STATUS: dict[str, Worth] = {
    "arrived": COUNTS,
    "triaged": COUNTS,
    "in-progress": COUNTS,
    "onleave": COUNTS,
    "finished": COUNTS,
    "planned": IGNORED,
    "cancelled": IGNORED,
    "entered-in-error": IGNORED,
    "unknown": UNUSABLE,
}
_RUNNING = frozenset(("arrived", "triaged", "in-progress", "onleave"))
_EXPIRED = frozenset(("exp", "expired"))


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """Class, type, service and admission source as concepts; reasons as the value."""
    status = text(resource.get("status"))
    stay = part(resource.get("hospitalization"))
    worth = by_status(STATUS, status)
    when = period(context, resource.get("period"), source="period", running=status in _RUNNING)
    found = make(
        resource,
        Kind.ENCOUNTER,
        when,
        worth,
        patient,
        encounter=source_of(resource),
        concepts=(
            *coding(resource.get("class")),
            *many_codings(resource.get("type")),
            *codings(resource.get("serviceType")),
            *codings(stay.get("admitSource")),
        ),
        value_concepts=many_codings(resource.get("reasonCode")),
        label=label(resource.get("serviceType"))
        or text(part(resource.get("class")).get("display")),
    )
    if worth is IGNORED or not _expired(stay):
        return (found,)
    return found, _death(context, resource, patient)


def _expired(stay: Resource) -> bool:
    return any(code.code in _EXPIRED for code in codings(stay.get("dischargeDisposition")))


def _death(context: Context, resource: Resource, patient: str) -> Fact:
    """Died at the end of the stay; without an end the death holds at every moment."""
    end, _ = context.dates.read(part(resource.get("period")).get("end"))
    when = (
        When(source="discharge-disposition")
        if end is None
        else When(end, end, "discharge-disposition", end.lo)
    )
    return make(
        resource,
        Kind.PATIENT,
        when,
        COUNTS,
        patient,
        source=f"{source_of(resource)}#hospitalization",
        concepts=(DECEASED,),
    )
