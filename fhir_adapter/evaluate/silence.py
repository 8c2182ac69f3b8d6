"""Silence: what a tree answers where the record holds nothing that it reads, kept across patients.

Most nodes of a study ask for something of which a record says nothing. What such a node answers
hangs on few things: which kinds the record denies, whether kinds come only in systems that a value
set does not use, and whether the patient is known here. No fact, no date, no window and no anchor
is in it. So it is worked out for the first patient of each such class, and read for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar, cast

import msgspec

from fhir_adapter.evaluate.absence import Absence, is_not_mapped, known_here, systems_of
from fhir_adapter.evaluate.case import Case
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.criterion import Events
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.vocabulary import question_code

MOST_REMEMBERED = 20_000
"""Answers kept for one study; then it begins anew."""

_STRUCT = msgspec.Struct
_RESTLESS = (tree.Age, tree.Sex, tree.Alive, tree.InEpisode, tree.Score)
"""Nodes that read more than facts of some kinds and codes: never silent."""
ALWAYS = 1
"""The bit that every case has: what reads it is judged for each."""

_T = TypeVar("_T")


class Heard:
    """One case: what its record speaks of, and what its class is known to answer to the rest."""

    __slots__ = ("known", "spoken")

    def __init__(self, spoken: int, known: dict[object, object]) -> None:
        self.spoken: int = spoken
        """One bit for each thing that a node may read and that is there."""
        self.known: dict[object, object] = known


class Silence:
    """What the nodes of one compiled study read, and what they answer to silence."""

    def __init__(self, study: str, code_sets: dict[str, CodeSet]) -> None:
        self._study = study
        self._sets = code_sets
        self._bits: dict[Hashable, int] = {}
        self._wholes: dict[Kind, int] = {}
        self._mapped: dict[tuple[tuple[Kind, ...], frozenset[str] | None], None] = {}
        self._known_here: dict[Absence, None] = {}
        self._classes: dict[Hashable, dict[object, object]] = {}
        self._count = 0

    def reads(self, part: object, absence: Absence) -> int:
        """The bits of all that a part of a tree may read. To be asked before any case is judged."""
        match part:
            case tuple():
                return self._union(cast("tuple[object, ...]", part), absence)
            case Events():
                return self._of_events(part, absence)
            case tree.UnlessConfounded():  # silence gives no deciding value to be confounded
                return self.reads(part.test, absence)
            case tree.Ask():
                code = question_code(self._study, part.question)
                return self._bit(code) | self._fields(part, absence)
            case _STRUCT():
                return ALWAYS if isinstance(part, _RESTLESS) else self._fields(part, absence)
            case _:
                return 0

    def _fields(self, part: msgspec.Struct, absence: Absence) -> int:
        return self._union((getattr(part, name) for name in part.__struct_fields__), absence)

    def _union(self, parts: Iterable[object], absence: Absence) -> int:
        found = 0
        for part in parts:
            found |= self.reads(part, absence)
        return found

    def _of_events(self, events: Events, absence: Absence) -> int:
        code_set = None if events.codes is None else self._sets[events.codes]
        self._mapped[events.kind, systems_of(code_set)] = None
        if (events.if_absent or absence.policy) == "assume-absent-if-known-here":
            self._known_here[absence] = None
        found = 0 if events.also is None else self._of_events(events.also, absence)
        for kind in events.kind:
            found |= self._bit((kind, events.codes)) | self._whole(kind)
        if Kind.OBSERVATION in events.kind:  # an order makes a missing result pending
            found |= self._bit((Kind.SERVICE_REQUEST, events.codes))
        return found | (self._bit((Kind.DOCUMENT, None)) if absence.reopen_outside else 0)

    def _bit(self, thing: Hashable) -> int:
        return self._bits.setdefault(thing, ALWAYS << (len(self._bits) + 1))

    def _whole(self, kind: Kind) -> int:
        """Set where the kind was not pulled whole: then silence may be a gap."""
        return self._wholes.setdefault(kind, self._bit(("whole", kind)))

    def _begun(self, case: Case) -> Heard:
        """A case, looked at once."""
        found = case.memo[self] = Heard(self._spoken(case), self._class(case))
        return found

    def _spoken(self, case: Case) -> int:
        bit = self._bits.get
        spoken = ALWAYS
        for concept in case.by_set:
            spoken |= bit(concept, 0)
        for concept in case.aside:  # listed as evidence though it decides nothing
            spoken |= bit(concept, 0)
        for kind in case.by_kind:
            spoken |= bit((kind, None), 0)
        for code in case.answers:
            spoken |= bit(code, 0)
        for kind, gap in self._wholes.items():
            if kind not in case.whole:
                spoken |= gap
        return spoken

    def _class(self, case: Case) -> dict[object, object]:
        name = (
            frozenset(case.denied),
            tuple([is_not_mapped(case, kinds, systems) for kinds, systems in self._mapped]),
            tuple([known_here(case, absence) for absence in self._known_here]),
        )
        known = self._classes.get(name)
        if known is None:
            self._make_room()
            known = self._classes[name] = {}
        return known

    def answer(self, key: Keyed[_T], case: Case) -> _T:
        """What something answers for a case: from memory where the record is silent about it."""
        heard = case.memo.get(self) or self._begun(case)
        assert isinstance(heard, Heard)
        if heard.spoken & key.reads:
            return key.judge(case)
        found = heard.known.get(key)
        if found is None:
            self._make_room()
            found = heard.known[key] = key.judge(case)
        return cast("_T", found)

    def _make_room(self) -> None:
        """Count one thing more. Threads may count wrongly; they never read a wrong answer."""
        if self._count >= MOST_REMEMBERED:
            self._classes, self._count = {}, 0
        self._count += 1


class Keyed(Generic[_T]):
    """Something to be judged, and the bits of all that it reads."""

    __slots__ = ("judge", "reads")

    def __init__(self, judge: Callable[[Case], _T], reads: int) -> None:
        self.judge: Callable[[Case], _T] = judge
        self.reads: int = reads
