"""What a line reads of a record, and which lines a change of the record can touch.

The index is sound, not tight: a line that it does not name answers as before; a line that it
names may do so too. It rests on what judging looks at: facts of a kind in a value set; orders and
outside documents, which speak about silence; per kind what was pulled, what is denied and which
code systems occur; the current admission; whether the patient is known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fhir_adapter.evaluate.absence import Absence, known_here
from fhir_adapter.evaluate.case import TYPED_IN, Case
from fhir_adapter.evaluate.record import absence_of
from fhir_adapter.evaluate.windows import Edge
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.code import key_of
from fhir_adapter.model.criterion import ADMISSION, AS_OF, VALUE, Anchor, Events, Window
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.study import Criterion

Concept = tuple[Kind, str | None]
"""A kind and a value set; None stands for every fact of the kind."""

_T = TypeVar("_T")
Numbers = NDArray[np.int64]
_NONE: Numbers = np.empty(0, dtype=np.int64)
_KNOWN_HERE = "assume-absent-if-known-here"
_BUILT_IN = (AS_OF, ADMISSION, VALUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What one line looks at."""

    concepts: frozenset[Concept]
    anchors: frozenset[str]
    """Named anchors of the study."""
    known: frozenset[tuple[Kind, ...]]
    """Kinds that a known-here policy may count."""
    admission: bool
    """A window hangs on the current admission."""


def reads_of(criterion: Criterion, anchors: Sequence[Anchor]) -> Reads:
    """Everything that the answer to one criterion can rest on."""
    found = _Reader({anchor.name: anchor for anchor in anchors})
    for part in (criterion.test, criterion.applies_if, criterion.passing_if):
        found.walk(part)
    if criterion.outside_documents == "reopen":
        found.concepts.add((Kind.DOCUMENT, None))
    if criterion.if_absent == _KNOWN_HERE:
        found.on_known_here = True
    kinds = {events.kind for events in found.events}
    own = absence_of(criterion).known_kinds
    return Reads(
        concepts=frozenset(found.concepts),
        anchors=frozenset(found.anchors),
        known=frozenset((*kinds, own)) if found.on_known_here else frozenset(),
        admission=found.admission,
    )


class _Reader:
    """Walks through a tree, whatever its nodes are, and through the anchors it names."""

    def __init__(self, anchors: dict[str, Anchor]) -> None:
        self._anchors = anchors
        self.concepts: set[Concept] = set()
        self.anchors: set[str] = set()
        self.events: list[Events] = []
        self.on_known_here = False
        self.admission = False

    def walk(self, part: object) -> None:
        """Every part of a tree; what is no part of one has nothing to read."""
        match part:
            case tuple():
                for item in part:  # pyright: ignore[reportUnknownVariableType] # any tree of msgspec
                    self.walk(item)  # pyright: ignore[reportUnknownArgumentType] # any tree of msgspec
            case Events():
                self._events(part)
                self._fields(part)
            case Window():
                for text in (part.from_, part.or_from, part.to, part.or_to):
                    self._edge(text)
            case tree.Age() | tree.Sex() | tree.Alive():
                self.concepts.add((Kind.PATIENT, None))
            case tree.InEpisode():
                self._anchor(part.anchor)
            case msgspec.Struct():
                self._fields(part)
            case _:
                return

    def _fields(self, part: msgspec.Struct) -> None:
        for name in part.__struct_fields__:
            self.walk(getattr(part, name))

    def _events(self, events: Events) -> None:
        self.events.append(events)
        self.concepts.update((kind, events.codes) for kind in events.kind)
        if Kind.OBSERVATION in events.kind:
            self.concepts.add((Kind.SERVICE_REQUEST, events.codes))
        if events.if_absent == _KNOWN_HERE:
            self.on_known_here = True
        if events.not_in_earlier is not None:
            self._anchor(events.not_in_earlier)

    def _edge(self, text: str | None) -> None:
        if text is None:
            return
        anchor = Edge.parse(text).anchor
        self.admission = self.admission or anchor == ADMISSION
        if anchor not in _BUILT_IN:
            self._anchor(anchor)

    def _anchor(self, name: str) -> None:
        if name not in self.anchors:
            self.anchors.add(name)
            self.walk(self._anchors[name])


class Index:
    """Concept -> lines, and the other things that lines hang on -> lines."""

    def __init__(self, lines: Sequence[Reads]) -> None:
        self._count = len(lines)
        self._by_concept: dict[Concept, Numbers] = _inverted(one.concepts for one in lines)
        self._by_kind: dict[Kind, Numbers] = _inverted(
            {kind for kind, _ in one.concepts} for one in lines
        )
        self._by_known: dict[tuple[Kind, ...], Numbers] = _inverted(one.known for one in lines)
        self._on_admission: Numbers = np.flatnonzero([one.admission for one in lines])

    def touched(self, before: Case, after: Case) -> NDArray[np.bool_]:
        """Line by line: whether what differs between two cases of one moment can touch it."""
        found = np.zeros(self._count, dtype=np.bool_)
        for lines in self._touched(before, after):
            found[lines] = True
        return found

    def _touched(self, before: Case, after: Case) -> Iterator[Numbers]:
        for concept in _concepts(_changed(before, after), after):
            yield self._by_concept.get(concept, _NONE)
        for kind, lines in self._by_kind.items():
            if _background(before, kind) != _background(after, kind):
                yield lines
        for kinds, lines in self._by_known.items():
            absence = Absence("unknown", reopen_outside=False, known_kinds=kinds)
            if known_here(before, absence) is not known_here(after, absence):
                yield lines
        if before.admission != after.admission:
            yield self._on_admission


def _inverted(of_lines: Iterable[Iterable[_T]]) -> dict[_T, Numbers]:
    """What each line has -> the numbers of the lines that have it."""
    found: dict[_T, list[int]] = {}
    for number, items in enumerate(of_lines):
        for item in items:
            found.setdefault(item, []).append(number)
    return {item: np.array(numbers, dtype=np.int64) for item, numbers in found.items()}


def _changed(before: Case, after: Case) -> Iterable[Fact]:
    """Facts of one record that the other does not hold as often."""
    one, other = Counter(before.record.facts), Counter(after.record.facts)
    return (*(one - other), *(other - one))


def _concepts(facts: Iterable[Fact], case: Case) -> set[Concept]:
    found: set[Concept] = set()
    for fact in facts:
        kinds = (fact.kind, *TYPED_IN) if fact.kind is Kind.ENTERED else (fact.kind,)
        names = {name for code in fact.concepts for name in case.membership(key_of(code))}
        found.add((fact.kind, None))
        found.update((kind, name) for kind in kinds for name in names)
    return found


def _background(case: Case, kind: Kind) -> tuple[object, ...]:
    """What a kind as a whole says about silence."""
    return (
        kind in case.by_kind,
        case.systems.get(kind, set()),
        kind in case.denied,
        case.retrieved.get(kind),
    )
