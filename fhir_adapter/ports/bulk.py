"""What a load needs from the outside: an export's pieces, and tables to write them to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.joins import roots_of


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One resource of an export, still as bytes, and whose it is."""

    owners: tuple[str, ...]
    """Ids of its patients; none for what is nobody's."""
    key: str
    """``Type/id``; the id is empty where the resource has none."""
    body: bytes
    role: str = ""
    """Empty for a resource; COMPANION, or what a Bundle claimed of its patients."""


COMPANION = "companion"
"""A resource of nobody's that others refer to: a Medication, a ResearchStudy."""
WHOLE = "whole"
"""No resource: a Bundle held everything about the owners."""
DOCUMENT = "document"
"""No resource: a document, which is a summary, held something about the owners."""


class ExportState(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of an export as a whole, once all of it has been read."""

    types: frozenset[str] = frozenset()
    """Resource types of which there is a file."""
    complete_types: frozenset[str] = frozenset()
    """Types that the site knows to be whole, file or not."""
    broken: dict[str, str] = {}
    """Type, or "*" for any, to why it is whole for nobody."""
    issues: dict[str, int] = {}
    links: dict[str, tuple[tuple[str, str], ...]] = {}
    """Patient id to what that Patient says: (replaced id, surviving id)."""
    deleted: frozenset[str] = frozenset()
    """``Type/id`` of what is gone from the server since the export before."""
    transaction_time: str = ""
    """Of the server's export, as it said it: what changed later is not in it."""
    origin: str = ""
    """Hash of the server's address and of what was asked of it; increments must have the same."""

    def roots(self) -> dict[str, str]:
        """Every id that a link joins to another -> the first of all ids so joined.

        >>> ExportState(links={"b": (("b", "c"),), "c": (), "d": (("a", "c"),)}).roots()
        {'b': 'a', 'c': 'a', 'a': 'a'}
        """
        return roots_of(self.links)


class BulkSource(Protocol):
    """Where a whole export comes from: a folder, a ``$export`` that is being downloaded."""

    @property
    def size(self) -> int:
        """About how many bytes of resources there are; asked for after ``links``."""
        ...

    steps: int
    """How many parts (files) there are, for a progress bar."""
    steps_done: int

    def links(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """What Patients say about merges, as far as a quick look finds it; ``state`` has all."""
        ...

    def hashes(self) -> Mapping[str, str]:
        """A sayable label of each part to its sha256."""
        ...

    def pieces(self, *, strict: bool) -> Iterator[Piece]:
        """Every resource once through; ``strict`` decodes each wholly instead of its head."""
        ...

    def state(self) -> ExportState:
        """What the pieces did not say; complete after they have all been taken."""
        ...

    @property
    def damaged(self) -> Sequence[str]:
        """Places that could not be read, by labels that are no person's name; as ``state``."""
        ...


class BucketRead(Protocol):
    """The records of some pieces, and what came up while reading them."""

    @property
    def issues(self) -> Mapping[str, int]:
        """Data-quality code to count."""
        ...

    @property
    def references(self) -> Collection[str]:
        """``Type/id`` of every companion that was asked for, there or not."""
        ...

    @property
    def unreadable(self) -> int:
        """Pieces that were no resources after all."""
        ...

    def records(self) -> Iterator[PatientRecord]:
        """One record per patient, in a fixed order."""
        ...


BucketReader = Callable[
    [Iterable[Piece], ExportState, Mapping[str, bytes], Callable[[str], bool]], BucketRead
]
"""Pieces, the export's state, companions by key, and which patients are wanted -> their records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """How far a load is, for a progress bar."""

    name: str
    """split, normalise or write."""
    done: int
    total: int


class FactLoad(Protocol):
    """One load into a store; nothing of it is seen before ``switch``."""

    def split(self, source: BulkSource) -> Iterator[LoadStep]:
        """Sort the export into buckets of patients."""
        ...

    def normalise(self) -> Iterator[LoadStep]:
        """Make records of every touched bucket."""
        ...

    def write(self) -> Iterator[LoadStep]:
        """Write their tables beside those that are there."""
        ...

    def switch(self) -> LoadCounts:
        """From now on the new tables are the store's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCounts:
    """What a finished load put into the store."""

    patients: int
    resources: int
    """Of all records together: what several of them share is counted in each."""
    facts: int
    buckets: int
    """How many were written."""
    issues: Mapping[str, int]
    before: int = 0
    """Patients whom the store held before this load."""
    incomplete: Mapping[str, int] = field(default_factory=dict[str, int])
    """Kind of fact to patients for whom it was not retrieved whole."""
    not_retrieved: Mapping[str, str] = field(default_factory=dict[str, str])
    """Resource type, or "*" for any, to why it is whole for nobody."""
    damaged: tuple[str, ...] = ()
    """Places in this load's files that could not be read."""
