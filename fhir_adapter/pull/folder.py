"""Records from files: Bulk Data NDJSON, Bundles, single resources; and from one Bundle in memory.

A folder of per-type NDJSON files holds a type whole when it has a file of it, even an empty one.
A collection, transaction or batch Bundle holds everything about its patients. A document (IPS) is
a summary: it holds no type whole. One bad line makes its file's types incomplete for everybody,
because nobody can know whose line it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from fhir_adapter.fhir.outcome import OUTCOME
from fhir_adapter.ports import Need, Pulled, Resource
from fhir_adapter.pull.export_errors import ErrorsRead
from fhir_adapter.pull.files import (
    MISLABELLED,
    NOT_READ,
    RecordFile,
    Unreadable,
    is_mislabelled,
    may_hold,
    place_of,
    record_files,
    resources_in,
)
from fhir_adapter.pull.index import Index


class FolderRecords:
    """RecordSource over a folder or one file; read whole at the first question.

    ``complete_types`` are types that the caller knows to be whole, file or not.
    """

    def __init__(self, path: Path, *, complete_types: Collection[str] = ()) -> None:
        self._path = path
        self._complete_types = frozenset(complete_types)

    def patients(self) -> Iterator[str]:
        """Ids of everybody in the files, sorted."""
        yield from self._index.patients()

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """One patient's record; PatientNotFound, or RecordFault for a file that does not open."""
        return self._index.pull(patient, needs)

    @property
    def issues(self) -> Mapping[str, int]:
        """Code to count, over all files: what a report on the folder must say."""
        return dict(sorted(self._index.issues.items()))

    @property
    def damaged(self) -> tuple[str, ...]:
        """Places that could not be read: a file's label, and the line where it has lines."""
        return tuple(self._index.damaged)

    @cached_property
    def _index(self) -> Index:
        index = Index(complete_types=self._complete_types)
        for file in record_files(self._path):
            _read(index, file)
        return index


class BundleRecord:
    """RecordSource over one Bundle that was handed over; the Bundle is not changed."""

    def __init__(self, bundle: Resource, *, complete_types: Collection[str] = ()) -> None:
        self._index = Index(complete_types=frozenset(complete_types))
        self._index.add(bundle)

    def patients(self) -> Iterator[str]:
        """Ids of everybody in the Bundle, sorted."""
        yield from self._index.patients()

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """One patient's record; PatientNotFound where the Bundle has nothing of it."""
        return self._index.pull(patient, needs)


def _read(index: Index, file: RecordFile) -> None:
    if not file.is_read:
        index.issues[NOT_READ] += 1
        index.damaged.append(file.label)
        index.break_types(file.named_types, NOT_READ)
        return
    for name in file.named_types if file.is_lines else ():
        index.has_type(name)
    bad = list[str]()
    seen = set[str]()
    said = ErrorsRead()
    for found in resources_in(file):
        if isinstance(found, Unreadable):
            bad.append(found.says)
            index.damaged.append(place_of(file, found.line))
        elif found["resourceType"] == OUTCOME:
            said.among_data(found, file.named_types if file.is_lines else ())
        else:
            seen |= index.add(found)
    index.issues.update(said.issues)
    for name, why in said.broken.items():
        index.break_types({name}, why)
    if is_mislabelled(file, seen):
        index.issues[MISLABELLED] += 1
        index.damaged.append(file.label)
        index.break_types(file.named_types, MISLABELLED)
    if bad:
        index.issues["unreadable-line" if file.is_lines else "unreadable-file"] += len(bad)
        index.break_types(may_hold(file, seen, bad), "unreadable-line")
