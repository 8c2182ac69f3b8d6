"""Walking a tree: its parts in written order, the names that it uses, what it needs of a record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import msgspec

from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.criterion import (
    Age,
    Alive,
    Anchor,
    Ask,
    Episode,
    EventAnchor,
    Events,
    InEpisode,
    Score,
    Sex,
    UnlessConfounded,
    ValueTest,
    Window,
)
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.study import Criterion, Pair, Study
from fhir_adapter.ports import Need

RESOURCE_TYPES: dict[Kind, tuple[str, ...]] = {
    Kind.PATIENT: ("Patient",),
    Kind.OBSERVATION: ("Observation",),
    Kind.REPORT: ("DiagnosticReport",),
    Kind.CONDITION: ("Condition",),
    Kind.PROCEDURE: ("Procedure",),
    Kind.MEDICATION: (
        "MedicationRequest",
        "MedicationStatement",
        "MedicationAdministration",
        "MedicationDispense",
    ),
    Kind.IMMUNIZATION: ("Immunization",),
    Kind.ALLERGY: ("AllergyIntolerance",),
    Kind.ENCOUNTER: ("Encounter",),
    Kind.SERVICE_REQUEST: ("ServiceRequest",),
    Kind.CONSENT: ("Consent",),
    Kind.DOCUMENT: ("DocumentReference",),
    Kind.STUDY_PARTICIPATION: ("ResearchSubject",),
    Kind.ANSWER: ("QuestionnaireResponse",),
    Kind.ENTERED: ("QuestionnaireResponse",),
}
"""Which resources give facts of a kind."""

ALWAYS = (
    Kind.PATIENT,
    Kind.ENCOUNTER,
    Kind.CONSENT,
    Kind.STUDY_PARTICIPATION,
    Kind.ANSWER,
)
"""Kinds that every study reads: stops, the admission, other studies, people's answers."""

_ANCHOR = re.compile(r"[a-z][a-z0-9-]*")
_KNOWN_HERE = "assume-absent-if-known-here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a part of a tree refers to by name."""

    value_sets: frozenset[str] = frozenset()
    anchors: frozenset[str] = frozenset()
    """As written in edges: as-of, admission and value are among them."""
    calculators: frozenset[str] = frozenset()
    questions: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset()

    def with_(self, other: Names) -> Names:
        """Both together."""
        return Names(
            value_sets=self.value_sets | other.value_sets,
            anchors=self.anchors | other.anchors,
            calculators=self.calculators | other.calculators,
            questions=self.questions | other.questions,
            kinds=self.kinds | other.kinds,
        )


def parts(value: object) -> Iterator[msgspec.Struct]:
    """Every struct in ``value``, itself included, depth first in the order of the fields."""
    if isinstance(value, tuple):
        for item in cast("tuple[object, ...]", value):
            yield from parts(item)
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from parts(getattr(value, name))


def anchor_of(edge: str) -> str:
    """The anchor's name in an edge text.

    >>> anchor_of("onset.start - 90 days")
    'onset'
    """
    found = _ANCHOR.match(edge)
    return found[0] if found else edge


def edges_of(window: Window) -> tuple[str, ...]:
    """All edges that a window writes."""
    written = (window.from_, window.to, window.or_from, window.or_to)
    return tuple(edge for edge in written if edge is not None)


def used_names(node: object) -> Names:
    """Names used by a node, criterion, anchor or any other part (not by what it names)."""
    found = Names()
    for part in parts(node):
        found = found.with_(_own_names(part))
    return found


def _own_names(part: msgspec.Struct) -> Names:
    match part:
        case Events():
            return Names(
                value_sets=_some(part.codes) | _some(part.coded_as),
                kinds=frozenset(part.kind),
                anchors=_some(part.not_in_earlier),
            )
        case ValueTest():
            return Names(value_sets=_some(part.coded_in))
        case Window():
            return Names(anchors=frozenset(anchor_of(edge) for edge in edges_of(part)))
        case InEpisode():
            return Names(anchors=frozenset((part.anchor,)))
        case Score():
            return Names(calculators=frozenset((part.calculator,)))
        case Criterion():
            deadline = frozenset(() if part.deadline is None else (anchor_of(part.deadline),))
            return Names(anchors=deadline, questions=_own_questions(part))
        case Age() | Sex() | Alive():
            return Names(kinds=frozenset((Kind.PATIENT,)))
        case _:
            return Names(questions=_own_questions(part))


def _own_questions(part: msgspec.Struct) -> frozenset[str]:
    if isinstance(part, Ask | UnlessConfounded | Criterion | Pair):
        return _some(part.question)
    return frozenset()


def _some(name: str | None) -> frozenset[str]:
    return frozenset((name,)) if name else frozenset()


def reach(node: object, anchors: Sequence[Anchor], calculators: Sequence[Calculator]) -> Names:
    """Names used by a part and by every anchor and calculator that it names, to the end."""
    found = used_names(node)
    while True:
        grown = _grown(found, anchors, calculators)
        if grown == found:
            return found
        found = grown


def _grown(found: Names, anchors: Sequence[Anchor], calculators: Sequence[Calculator]) -> Names:
    for anchor in anchors:
        if anchor.name in found.anchors:
            found = found.with_(_anchor_names(anchor))
    for calculator in calculators:
        if calculator.name in found.calculators:
            found = found.with_(Names(value_sets=coded_sets(calculator)))
    return found


@lru_cache(maxsize=64)
def _anchor_names(anchor: Anchor) -> Names:
    return used_names(anchor)


def coded_sets(calculator: Calculator) -> frozenset[str]:
    """Value sets by which a calculator gives points for findings."""
    return frozenset(line.codes for item in calculator.items for line in item.coded)


def events_in(node: object) -> tuple[Events, ...]:
    """All retrieves in a part, in written order."""
    return tuple(part for part in parts(node) if isinstance(part, Events))


def anchors_of(study: Study) -> dict[str, Episode | EventAnchor]:
    """The study's named anchors by name."""
    return {anchor.name: anchor for anchor in study.anchors}


def needs_of(study: Study) -> tuple[Need, ...]:
    """Every retrieve that a study makes of a record, one per resource type, in a fixed order.

    Value sets are named only where no part of the study reads the kind whole: a retrieve without
    codes does, and so does the known-here policy, which counts facts of the kind whatever their
    code; what every study reads is read whole too.
    """
    kinds = _kinds(study)
    code_sets = code_sets_by_kind(_readers(study))
    found: dict[str, Need] = {}
    for kind in Kind:
        if kind in kinds:
            for name in RESOURCE_TYPES[kind]:
                sets = () if kind in ALWAYS else code_sets.get(kind, ())
                found.setdefault(name, Need(kind=kind, resource_type=name, code_sets=sets))
    return tuple(found.values())


def _readers(study: Study) -> tuple[tuple[object, str], ...]:
    """All parts that read facts, each with the absence policy that holds in it."""
    rest = (study.anchors, study.pointers, study.pairs)
    return (*((criterion, criterion.if_absent) for criterion in study.criteria), (rest, "unknown"))


def _kinds(study: Study) -> frozenset[Kind]:
    reopens = any(criterion.outside_documents == "reopen" for criterion in study.criteria)
    documents = (Kind.DOCUMENT,) if reopens else ()
    return used_names(study).kinds | frozenset((*ALWAYS, *documents))


def code_sets_by_kind(readers: Iterable[tuple[object, str]]) -> dict[Kind, tuple[str, ...]]:
    """Value sets read of each kind, sorted; empty for a kind that is read whole."""
    named: dict[Kind, set[str]] = {}
    whole: set[Kind] = set()
    for reader, policy in readers:
        for events in events_in(reader):
            for kind in events.kind:
                named.setdefault(kind, set()).update(_some(events.codes))
            if events.codes is None or (events.if_absent or policy) == _KNOWN_HERE:
                whole.update(events.kind)
    return {kind: () if kind in whole else tuple(sorted(sets)) for kind, sets in named.items()}
