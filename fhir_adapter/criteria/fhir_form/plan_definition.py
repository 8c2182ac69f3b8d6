"""The PlanDefinition: a flat list of actions, one per criterion, each with one condition."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import (
    CRITERION_KIND,
    ELIGIBILITY,
    FRESH,
    GATE,
    HASH,
    LASTS,
    PLAN_TYPE,
    POLICY,
    SETTLED,
    SIGN_OFF,
    SPAN,
    code_extension,
    concept,
    filled,
    text_extension,
)
from fhir_adapter.criteria.walk import (
    RESOURCE_TYPES,
    anchors_of,
    code_sets_by_kind,
    parts,
    reach,
)
from fhir_adapter.model.criterion import Ask
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.study import Criterion, SignOff, Study
from fhir_adapter.ports import Resource

_CODE_PATHS = {
    "Observation": ("code", "component.code"),
    "DiagnosticReport": ("code",),
    "Condition": ("code",),
    "Procedure": ("code",),
    "Immunization": ("vaccineCode",),
    "ServiceRequest": ("code",),
}
"""Where a code filter loses nothing. Medications may be references, allergies and encounters are
coded in several elements: they are asked for whole, since inputs must be a superset."""


def plan_definition(made: Publication, hashes: dict[str, str]) -> Resource:
    """The study's criteria as FHIR sees them; conditions name definitions of the one Library."""
    identity = made.study.identity
    return filled(
        {
            "resourceType": "PlanDefinition",
            "id": made.id,
            "url": made.plan_url,
            "identifier": [{"system": identity.registry, "value": identity.number}],
            **made.head,
            "name": made.name,
            "title": identity.title,
            "type": concept(PLAN_TYPE, ELIGIBILITY),
            "description": identity.description,
            "library": [made.pinned(made.library_url)],
            "action": [_action(c, made, hashes[c.id]) for c in made.study.criteria],
        }
    )


def _action(criterion: Criterion, made: Publication, found: str) -> Resource:
    return filled(
        {
            "id": criterion.id,
            "extension": list(_extensions(criterion, found)),
            "prefix": criterion.id,
            "title": criterion.title,
            "textEquivalent": sentence_of(criterion, made.study),
            "code": [concept(CRITERION_KIND, criterion.kind)],
            "documentation": [_citation(criterion, made.study)],
            "condition": [_condition(criterion)],
            "input": list(_inputs(criterion, made)),
        }
    )


def sentence_of(criterion: Criterion, study: Study) -> str:
    """Text of the protocol's sentence; the span where the number is unknown."""
    return next((s.text for s in study.protocol if s.id == criterion.sentence), criterion.span)


def _condition(criterion: Criterion) -> Resource:
    """The definition of this name is in the Library's CQL text, once that is written."""
    expression = {"language": "text/cql-identifier", "expression": criterion.id}
    return {"kind": "applicability", "expression": expression}


def _citation(criterion: Criterion, study: Study) -> Resource:
    number = study.identity.number
    display = f"{number}, protocol sentence {criterion.sentence}"
    return {"type": "citation", "label": criterion.sentence, "display": display}


def _extensions(criterion: Criterion, found: str) -> Iterator[Resource]:
    yield _gate(criterion)
    yield code_extension(POLICY, criterion.if_absent)
    yield text_extension(FRESH, criterion.fresh)
    yield code_extension(LASTS, criterion.lasts)
    yield _settled(criterion)
    yield text_extension(SPAN, criterion.span)
    yield text_extension(HASH, found)
    if criterion.sign_off is not None:
        yield _signature(criterion.sign_off)


def _gate(criterion: Criterion) -> Resource:
    if criterion.gate == "none":
        return {"url": GATE, "extension": [code_extension("if-open", "none")]}
    exceptions = [text_extension("list-when", name) for name in criterion.gate.list_when]
    return {
        "url": GATE,
        "extension": [code_extension("if-open", criterion.gate.if_open), *exceptions],
    }


def _settled(criterion: Criterion) -> Resource:
    others = [
        {"url": "when", "extension": [text_extension("at", at), code_extension("where", where)]}
        for at, where in criterion.settled_when.items()
    ]
    return {"url": SETTLED, "extension": [code_extension("where", criterion.settled), *others]}


def _signature(sign_off: SignOff) -> Resource:
    return {
        "url": SIGN_OFF,
        "extension": [
            text_extension("name", sign_off.name),
            text_extension("role", sign_off.role),
            {"url": "date", "valueDate": sign_off.date},
            text_extension("hash", sign_off.hash),
        ],
    }


def _inputs(criterion: Criterion, made: Publication) -> Iterator[Resource]:
    """DataRequirements: no profile, no date (a Duration means before now, not before as_of)."""
    names = reach(criterion, made.study.anchors, made.calculators)
    anchors = anchors_of(made.study)
    used = tuple(anchors[name] for name in sorted(names.anchors) if name in anchors)
    by_kind = code_sets_by_kind(((criterion, criterion.if_absent), (used, "unknown")))
    urls = {item.name: f"{item.url}|{item.version}" for item in made.code_sets}
    for kind in Kind:
        if kind in names.kinds | _asked(criterion):
            sets = tuple(urls[name] for name in by_kind.get(kind, ()))
            for resource_type in RESOURCE_TYPES[kind]:
                yield from _requirements(resource_type, sets)


def _asked(criterion: Criterion) -> frozenset[Kind]:
    asks = any(isinstance(part, Ask) for part in parts(criterion))
    reopens = criterion.outside_documents == "reopen"
    found = ((Kind.ANSWER, asks), (Kind.DOCUMENT, reopens))
    return frozenset(kind for kind, is_read in found if is_read)


def _requirements(resource_type: str, value_sets: tuple[str, ...]) -> Iterator[Resource]:
    """One per value set and path: several filters of one requirement would be ANDed."""
    paths = _CODE_PATHS.get(resource_type, ())
    if not value_sets or not paths:
        yield {"type": resource_type}
    for value_set in value_sets:
        for path in paths:
            yield {"type": resource_type, "codeFilter": [{"path": path, "valueSet": value_set}]}
