"""What an increment touches: buckets of changed, deleted and merged patients, and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fhir_adapter.ports import ExportState, Piece
from fhir_adapter.warehouse.manifest import Bucket
from fhir_adapter.warehouse.pieces import PieceWriter, read_pieces
from fhir_adapter.warehouse.store import Store
from fhir_adapter.warehouse.work import KEYS, PIECES, bucket_of, hash_of

STATE = "state.json"
Hashes = Any
"""A sorted numpy array of 64-bit hashes."""


def merged(old: ExportState, new: ExportState) -> ExportState:
    """The state of a store after an increment: what was broken stays so, links are the newest.

    A file of an increment holds what changed: of a type that no whole load held, nobody knows the
    rest. Only ``complete_types``, which the site vouches for, may grow.
    """
    gone = {key.removeprefix("Patient/") for key in new.deleted if key.startswith("Patient/")}
    links = {one: edges for one, edges in old.links.items() if one not in gone} | new.links
    return ExportState(
        types=old.types,
        complete_types=new.complete_types,
        broken={**new.broken, **old.broken},
        issues=dict(Counter(old.issues) + Counter(new.issues)),
        links=links,
        transaction_time=new.transaction_time or old.transaction_time,
        origin=new.origin or old.origin,
    )


def is_everybodys(old: ExportState, new: ExportState) -> bool:
    """Whether the difference says something about every patient."""
    return (
        old.types != new.types
        or old.complete_types != new.complete_types
        or old.broken != new.broken
        or old.issues.keys() != new.issues.keys()
    )


def regrouped(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    """Ids whose company changed: joined to others than before."""
    before, after = _companies(old), _companies(new)
    everybody = old.keys() | new.keys()
    alone = frozenset[str]()
    return {one for one in everybody if before.get(one, alone) != after.get(one, alone)}


def _companies(roots: Mapping[str, str]) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for one, root in roots.items():
        groups.setdefault(root, set()).add(one)
    return {one: frozenset(groups[root]) for one, root in roots.items()}


@dataclass(frozen=True, slots=True)
class Known:
    """What the store holds of earlier loads."""

    store: Store
    state: ExportState
    shared: Path
    """The folder of what belongs to no bucket."""

    @classmethod
    def of(cls, store: Store, shared: Path) -> Known:
        """Read the state that the last load left."""
        state = msgspec.json.decode((shared / STATE).read_bytes(), type=ExportState)
        return cls(store, state, shared)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The buckets as they stand."""
        return self.store.manifest.buckets

    @property
    def issues(self) -> set[str]:
        """Data-quality codes that every record carries."""
        return set(self.store.manifest.issues)

    def folder(self, bucket: int) -> Path:
        """Where a bucket's files lie."""
        return self.store.path(bucket, "fact").parent

    def pieces(self, bucket: int) -> Path:
        """The stored resources of a bucket."""
        return self.folder(bucket) / PIECES

    def hits(self, bucket: int, changed: Hashes) -> frozenset[int]:
        """Which of the changed keys a bucket is made of."""
        keys = np.load(self.folder(bucket) / KEYS)
        return frozenset(int(one) for one in np.intersect1d(keys, changed))

    def numbers(self, bucket: int) -> dict[str, int]:
        """Patient numbers of a bucket, by id."""
        table = self.store.table(bucket, "patient")
        ids, numbers = table["id"].to_pylist(), table["patient"].to_pylist()
        return dict(zip(ids, numbers, strict=True))


def hashes(keys: Iterable[str], more: Iterable[int]) -> Hashes:
    """Sorted hashes of some keys and of those that were hashed before."""
    return np.unique(np.array([*map(hash_of, keys), *more], dtype=np.uint64))


class Moves:
    """Patients whose bucket changes because their company does; their pieces move along."""

    def __init__(
        self, ids: Iterable[str], old: Mapping[str, str], new: Mapping[str, str], buckets: int
    ) -> None:
        self.touched: set[int] = set()
        self._from: dict[int, dict[str, int]] = {}
        for one in sorted(ids):
            before = bucket_of(old.get(one, one), buckets)
            after = bucket_of(new.get(one, one), buckets)
            self.touched |= {before, after}
            if before != after:
                self._from.setdefault(before, {})[one] = after

    def carry(self, known: Known, staging: Path) -> dict[int, dict[str, int]]:
        """Copy the pieces; gives the patient numbers that move, by new bucket."""
        writers: dict[int, PieceWriter] = {}
        numbers: dict[int, dict[str, int]] = {}
        for bucket in self._from.keys() & set(known.store.buckets):
            moving = self._from[bucket]
            for number, piece in _leaving(known.pieces(bucket), moving):
                writers.setdefault(number, PieceWriter(moved(staging, number))).add(piece)
            for one, number in known.numbers(bucket).items():
                if one in moving:
                    numbers.setdefault(moving[one], {})[one] = number
        for writer in writers.values():
            writer.flush()
        return numbers


def moved(staging: Path, bucket: int) -> Path:
    """Where the pieces that move into a bucket wait."""
    return staging / f"moved-{bucket:04d}"


def _leaving(path: Path, moving: Mapping[str, int]) -> Iterator[tuple[int, Piece]]:
    for piece in read_pieces(path):
        for bucket in sorted({moving[one] for one in piece.owners if one in moving}):
            yield bucket, piece
