"""Pieces of an export -> pulled records, as the record lane would pull them from the same files.

Patients who were merged are read together; everybody else alone, so that only one person's
resources are decoded at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from fhir_adapter.fhir.wire import decode
from fhir_adapter.ports import (
    DOCUMENT,
    WHOLE,
    ExportState,
    Need,
    Piece,
    Pulled,
    Resource,
)
from fhir_adapter.pull.index import Index
from fhir_adapter.pull.references import COMPANIONS, companion_reference, target_of

_Placed = tuple[int, Piece]
"""A piece with its place in the export."""


class PiecesRead:
    """Pulled records of some pieces; counts are complete when all have been taken."""

    def __init__(
        self,
        pieces: Iterable[Piece],
        state: ExportState,
        companions: Mapping[str, bytes],
        is_wanted: Callable[[str], bool],
    ) -> None:
        self.issues: Counter[str] = Counter()
        self.references: dict[str, None] = {}
        self.unreadable: int = 0
        self._state = state
        self._companions = companions
        self._by_patient: dict[str, list[_Placed]] = {}
        self._seen: set[str] = set()
        for at, piece in enumerate(pieces):
            self._sort(at, piece, is_wanted)

    def _sort(self, at: int, piece: Piece, is_wanted: Callable[[str], bool]) -> None:
        for owner in piece.owners:
            if is_wanted(owner):
                self._by_patient.setdefault(owner, []).append((at, piece))
        if not piece.owners:
            self.issues["duplicate"] += piece.key in self._seen
            self._seen.add(piece.key)

    def pulled(self, needs: Sequence[Need]) -> Iterator[Pulled]:
        """One per patient, in the order of the ids; of merged ones together."""
        roots = self._state.roots()
        groups: dict[str, list[str]] = {}
        for patient in sorted(self._by_patient):
            groups.setdefault(roots.get(patient, patient), []).append(patient)
        for ids in groups.values():
            index = self._index(ids)
            for patient in index.patients():
                yield index.pull(patient, needs)

    def _index(self, ids: Sequence[str]) -> Index:
        index = Index.of_group(self._state, ids)
        for piece in _once(self._by_patient.pop(one) for one in ids):
            if piece.role:
                index.claim(
                    [one for one in piece.owners if one in ids],
                    whole=piece.role == WHOLE,
                    document=piece.role == DOCUMENT,
                )
            else:
                self._add(index, piece)
        self.issues.update(index.issues)
        index.issues.clear()
        return index

    def _add(self, index: Index, piece: Piece) -> None:
        resource = decode(piece.body)
        if resource is None:
            self.unreadable += 1
            return
        index.give(piece.owners, resource)
        if resource["resourceType"] not in COMPANIONS:
            return
        target = target_of(companion_reference(resource))
        if target is not None:
            self.references[target.key] = None
            self._fetch(index, target.key)

    def _fetch(self, index: Index, key: str) -> None:
        body = self._companions.get(key)
        companion: Resource | None = None if body is None else decode(body)
        if companion is not None:
            index.lend(key, companion)


def _once(lists: Iterable[list[_Placed]]) -> list[Piece]:
    """The pieces of a group in their order, each once: one may belong to two of its ids."""
    found = {at: piece for some in lists for at, piece in some}
    return [found[at] for at in sorted(found)]
