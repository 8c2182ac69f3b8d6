"""ResearchSubject -> one fact: participation in a study, by R4's thirteen codes.

fhir-shapes section 4: the on-study codes and follow-up are running, off-study ends with
period.end (none: unknown); screening, eligible and pending-on-study set by a person are asked
about; every other status, and whatever this adapter wrote, never counts. A registry or an
observational study is asked about, whatever the status (seed-trial section 8).
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
    not_stated,
    unknown,
)
from fhir_adapter.fhir.reading import extensions, first_code, label, part, parts, reference, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import ANY_TIME, Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import PARTICIPATION, STRUCTURE
from fhir_adapter.ports import Resource

SET_BY = f"{STRUCTURE}/status-set-by"
RUNNING_STATUSES = frozenset(
    ("on-study", "on-study-intervention", "on-study-observation", "follow-up")
)
_ASK = frozenset(("screening", "eligible", "pending-on-study"))
_NEVER = frozenset(
    ("candidate", "potential-candidate", "ineligible", "not-registered", "withdrawn")
)
_OBSERVING = frozenset(
    (
        "observational",
        "non-interventional",
        "registry",
        "expanded-access",
        "SEVCO:01002",  # Observational research
        "SEVCO:01037",  # Post-Marketing Surveillance study, its one child
        "SEVCO:01038",  # Expanded Access study
    )
)
"""Codes of SEVCO as in the code system study-design of R5 (5.0.0), package hl7.fhir.r5.core."""
_REGISTRIES: dict[str, str] = dict.fromkeys(
    (
        "https://clinicaltrials.gov",
        "http://clinicaltrials.gov",
        "https://www.clinicaltrials.gov",
        "http://www.clinicaltrials.gov",
    ),
    "https://clinicaltrials.gov",
)
"""Spellings of a registry's identifier system, as records carry them."""
NOT_INTERVENTIONAL = "study-not-interventional"


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """status as concept; the study by its identifier where its resource was pulled."""
    status = text(resource.get("status"))
    study = _study(resource)
    name = _name(context.studies.get(study)) or study
    is_machine = _set_by(resource) == "machine"
    worth, issues = _worth(context, status, study, is_machine=is_machine)
    return (
        make(
            resource,
            Kind.STUDY_PARTICIPATION,
            _when(context, resource, status),
            worth,
            patient,
            concepts=(Code(PARTICIPATION, status),) if status else (),
            study=name,
            set_by="machine" if is_machine else "person",
            label=_title(context, resource, study),
            issues=issues,
        ),
    )


def _study(resource: Resource) -> str:
    """The reference, or the business identifier "system|value" where that is all there is."""
    target = part(resource.get("study"))
    identifier = part(target.get("identifier"))
    logical = "|".join((text(identifier.get("system")), text(identifier.get("value"))))
    return reference(target) or ("" if logical == "|" else logical)


def _name(study: Resource | None) -> str:
    """The identifier as system|value, a registry's before others; empty where there is none.

    A server may give a study an id of its own (HAPI and Medplum do): by that id alone a person
    who declined this very study would look like one who took part in another.
    """
    pairs = [
        (_REGISTRIES.get(system, system), value)
        for item in parts(part(study).get("identifier"))
        if (system := text(item.get("system"))) and (value := text(item.get("value")))
    ]
    registered = [pair for pair in pairs if pair[0] in _REGISTRIES.values()]
    return "|".join(next(iter((*registered, *pairs)), ()))


def _set_by(resource: Resource) -> str:
    found = extensions(resource.get("_status"), SET_BY)
    return next((text(item.get("valueCode")) for item in found), "")


def _worth(
    context: Context, status: str, study: str, *, is_machine: bool
) -> tuple[Worth, tuple[str, ...]]:
    if is_machine or status in _NEVER:
        return IGNORED, ()
    if status in _ASK:
        return unknown(Reason.NEEDS_HUMAN), ()
    if status not in RUNNING_STATUSES and status != "off-study":
        return UNUSABLE, ()
    if _observes(context.studies.get(study)):
        return unknown(Reason.NEEDS_HUMAN), (NOT_INTERVENTIONAL,)
    return COUNTS, ()


def _observes(study: Resource | None) -> bool:
    categories = [first_code(item) for item in parts(part(study).get("category"))]
    return any(code in _OBSERVING for code in categories)


def _title(context: Context, resource: Resource, study: str) -> str:
    known = context.studies.get(study)
    return text(part(known).get("title")) or label(resource.get("study"))


def _when(context: Context, resource: Resource, status: str) -> When:
    span = part(resource.get("period"))
    start, issue = context.dates.read(span.get("start"))
    end, end_issue = context.dates.read(span.get("end"))
    begins = start if start is not None else ANY_TIME
    issues = tuple(code for code in (issue, end_issue) if code)
    return When(begins, _end(status, end, begins), "period", begins.lo, issues)


def _end(status: str, end: Span | None, begins: Span) -> Span:
    if status == "off-study":
        return end if end is not None else not_stated(begins)
    return RUNNING
