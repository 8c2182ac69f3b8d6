"""A whole export as bytes: each resource once, with its owners, and what is true of all of it.

A line is not decoded but for its head (type, id, patient): msgspec checks and skips the rest. What
that does not understand is decoded wholly and placed by the rules of the record lane.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from fhir_adapter.fhir.outcome import OUTCOME
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import COMPANION, DOCUMENT, WHOLE, ExportState, Piece, Resource
from fhir_adapter.pull.bundles import read_bundle
from fhir_adapter.pull.export_errors import ErrorsRead
from fhir_adapter.pull.files import (
    MISLABELLED,
    NOT_READ,
    RecordFile,
    is_mislabelled,
    is_packed,
    may_hold,
    numbered_in,
    place_of,
    raw_in,
    record_files,
    says_of,
)
from fhir_adapter.pull.index import EVERY_TYPE, LONE_TYPES, NO_PATIENT, OTHER_SUBJECT
from fhir_adapter.pull.merges import edges_of
from fhir_adapter.pull.references import (
    COMPANION_TYPES,
    is_about_no_patient,
    key_of,
    patients_of,
    target_of,
)

_LINKED = b'"replace'
_SAMPLE = 1 << 16
"""So many bytes of a gz file say how densely it is packed,"""
_MOST_OF_SAMPLE = 1 << 24
"""or so many plain ones."""
_GZIP = 31
"""zlib's word for the format of gzip with its largest window."""
_CUT = "unreadable-line"


class _Reference(msgspec.Struct, gc=False):
    reference: str | msgspec.UnsetType = msgspec.UNSET


_Owner = _Reference | msgspec.UnsetType


class _Head(msgspec.Struct, gc=False):
    """As much of a resource as says where it belongs; the order is that of ``patients_of``."""

    resourceType: str  # noqa: N815 - FHIR's spelling
    id: str
    subject: _Owner = msgspec.UNSET
    patient: _Owner = msgspec.UNSET
    individual: _Owner = msgspec.UNSET
    for_: _Owner = msgspec.field(name="for", default=msgspec.UNSET)
    beneficiary: _Owner = msgspec.UNSET


_HEAD = msgspec.json.Decoder(_Head)
_BY_HAND = frozenset(("Patient", "Bundle", OUTCOME))


class FilesRead:
    """The half of a BulkSource that reads files, wherever they come from."""

    def __init__(self, complete_types: Collection[str]) -> None:
        self._complete_types = frozenset(complete_types)
        self._begin()

    def _begin(self) -> None:
        self.steps_done: int = 0
        self._types: set[str] = set()
        self._broken: dict[str, str] = {}
        self._issues: Counter[str] = Counter()
        self._links: dict[str, dict[tuple[str, str], None]] = {}
        self._deleted: dict[str, None] = {}
        self._damaged: list[str] = []

    @property
    def damaged(self) -> tuple[str, ...]:
        """Places that could not be read so far: one per file, its first line where it has lines."""
        return tuple(self._damaged)

    def _read(self, files: Iterable[RecordFile], *, strict: bool) -> Iterator[Piece]:
        """Every resource, file by file; a second call begins anew."""
        self._begin()
        for file in files:
            yield from self._file(file, strict=strict)
            self.steps_done += 1

    def state(self) -> ExportState:
        """As the record lane's index would have it after the same files."""
        return ExportState(
            types=frozenset(self._types),
            complete_types=self._complete_types,
            broken=dict(self._broken),
            issues=dict(sorted(self._issues.items())),
            links={one: tuple(edges) for one, edges in self._links.items()},
            deleted=frozenset(self._deleted),
        )

    def _file(self, file: RecordFile, *, strict: bool) -> Iterator[Piece]:
        named = set(file.named_types) if file.is_lines else set[str]()
        if not file.is_read:
            self._issues[NOT_READ] += 1
            self._damaged.append(file.label)
            self._break(named, NOT_READ)
            return
        self._types |= named
        types = set[str]()
        bad = list[str]()
        first_bad = 0
        said = ErrorsRead()
        for line, raw in numbered_in(file):
            if raw is None:
                bad.append("")
                first_bad = first_bad or line
                continue
            head = None if strict or not file.is_lines else _head(raw)
            if head is not None and file.may_hold_type(head.resourceType):
                self._saw(head.resourceType, types)
                yield from self._headed(head, raw)
                continue
            resource = decode(raw)
            if resource is None or not file.may_hold_type(resource["resourceType"]):
                bad.append(says_of(raw))
                first_bad = first_bad or line
            elif resource["resourceType"] == OUTCOME:
                said.among_data(resource, named)
            else:
                yield from self._whole(resource, raw, types)
        self._issues.update(said.issues)
        for name, why in said.broken.items():
            self._break({name}, why)
        if is_mislabelled(file, types):
            self._issues[MISLABELLED] += 1
            self._damaged.append(file.label)
            self._break(named, MISLABELLED)
        if bad:
            self._damaged.append(place_of(file, first_bad))
            self._issues[_CUT if file.is_lines else "unreadable-file"] += len(bad)
            self._break(may_hold(file, types, bad), _CUT)

    def _headed(self, head: _Head, raw: bytes) -> Iterator[Piece]:
        owners, key = _owners(head), f"{head.resourceType}/{head.id}"
        if owners:
            yield Piece(owners, key, raw)
        else:
            yield from self._lone(head.resourceType, key, raw, is_others=_is_others(head))

    def _whole(self, resource: Resource, raw: bytes, types: set[str]) -> Iterator[Piece]:
        """What the head did not say: Patients with their links, Bundles, everything odd."""
        if resource["resourceType"] != "Bundle":
            self._saw(resource["resourceType"], types)
            yield from self._placed(resource, raw)
            return
        read = read_bundle(resource)
        self._issues.update(read.issues)
        self._deleted.update(dict.fromkeys(read.deleted))
        if not read.is_whole and not read.is_document:
            self._types |= read.types
        if read.is_cut_short:
            self._break(read.types, "cut-short")
        if read.has_lost:
            self._break((), "unreadable-entry")
        types |= read.types
        for one in read.resources:
            yield from self._placed(one, encode(one))
        owners = tuple(dict.fromkeys(o for one in read.resources for o in patients_of(one)))
        if owners and (read.is_whole or read.is_document):
            yield Piece(owners, "", b"", WHOLE if read.is_whole else DOCUMENT)

    def _placed(self, resource: Resource, raw: bytes) -> Iterator[Piece]:
        owners = patients_of(resource)
        if resource["resourceType"] == "Patient" and owners:
            links = self._links.setdefault(owners[0], {})
            links.update(dict.fromkeys(sorted(edges_of(resource))))
        if owners:
            yield Piece(owners, key_of(resource), raw)
        elif "id" not in resource and resource["resourceType"] in LONE_TYPES:
            self._issues["no-id"] += 1
        else:
            is_others = is_about_no_patient(resource)
            kind, key = resource["resourceType"], key_of(resource)
            yield from self._lone(kind, key, raw, is_others=is_others)

    def _lone(
        self, resource_type: str, key: str, raw: bytes, *, is_others: bool
    ) -> Iterator[Piece]:
        if resource_type in COMPANION_TYPES:
            yield Piece((), key, raw, COMPANION)
        elif resource_type in LONE_TYPES:
            yield Piece((), key, b"")  # nothing reads it: one that comes twice is counted
        elif is_others:
            self._issues[OTHER_SUBJECT] += 1
        else:
            self._issues[NO_PATIENT] += 1
            self._break({resource_type}, NO_PATIENT)

    def _saw(self, resource_type: str, types: set[str]) -> None:
        types.add(resource_type)
        self._types.add(resource_type)

    def _break(self, types: Iterable[str], why_not: str) -> None:
        for name in sorted(types) or (EVERY_TYPE,):
            self._broken.setdefault(name, why_not)


class FolderExport(FilesRead):
    """BulkSource over a folder or one file: NDJSON, Bundles, single resources; plain or gz."""

    def __init__(self, path: Path, *, complete_types: Collection[str] = ()) -> None:
        self.files: tuple[RecordFile, ...] = record_files(path)
        self.steps: int = len(self.files)
        self.size: int = sum(size_of(file.path) for file in self.files)
        super().__init__(complete_types)

    def links(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Links in files that may hold Patients by their name; no line without one is decoded."""
        return links_in(
            file
            for file in self.files
            if file.is_read
            and not (file.is_lines and file.named_types and "Patient" not in file.named_types)
        )

    def hashes(self) -> dict[str, str]:
        """Label of each file to the sha256 of its bytes; empty for one that does not open."""
        return {file.label: _hash(file.path) for file in self.files}

    def pieces(self, *, strict: bool = False) -> Iterator[Piece]:
        """Every resource, file by file in sorted order; a second call begins anew."""
        return self._read(self.files, strict=strict)


def links_in(files: Iterable[RecordFile]) -> dict[str, tuple[tuple[str, str], ...]]:
    """What the Patients of some files say about merges, by their id."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for file in files:
        for raw in raw_in(file):
            if isinstance(raw, bytes) and _LINKED in raw:
                found |= _links(raw)
    return found


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def size_of(path: Path) -> int:
    """About how many bytes of resources a file holds; what cannot be read holds what it is."""
    size = path.stat().st_size
    return round(size * _density(path)) if is_packed(path) else size


def _density(path: Path) -> float:
    """Plain bytes per packed one at the beginning of a gz file: exports differ by a factor of ten.

    The size of a bucket, and so a worker's memory, hangs on it.
    """
    try:
        with path.open("rb") as stream:
            packed = stream.read(_SAMPLE)
        unpacking = zlib.decompressobj(_GZIP)
        plain = unpacking.decompress(packed, _MOST_OF_SAMPLE)
    except (OSError, zlib.error):
        return 1.0
    taken = len(packed) - len(unpacking.unused_data) - len(unpacking.unconsumed_tail)
    return len(plain) / max(taken, 1)


def _links(raw: bytes) -> dict[str, tuple[tuple[str, str], ...]]:
    resource = decode(raw)
    if resource is None:
        return {}
    inside = (
        read_bundle(resource).resources if resource["resourceType"] == "Bundle" else (resource,)
    )
    patients = (one for one in inside if one["resourceType"] == "Patient")
    return {str(one.get("id")): tuple(sorted(edges_of(one))) for one in patients}


def _head(raw: bytes) -> _Head | None:
    """None for what must be decoded wholly."""
    try:
        head = _HEAD.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if head.resourceType in _BY_HAND else head


def _is_others(head: _Head) -> bool:
    named = [one for one in _named(head) if isinstance(one.reference, str)]
    return any(is_about_no_patient({"subject": {"reference": one.reference}}) for one in named)


def _named(head: _Head) -> list[_Reference]:
    named = (head.subject, head.patient, head.individual, head.for_, head.beneficiary)
    return [one for one in named if isinstance(one, _Reference)]


def _owners(head: _Head) -> tuple[str, ...]:
    found = [_patient(one.reference) for one in _named(head)]
    if len(found) == 1:
        return found[0]
    return tuple(dict.fromkeys(one for owners in found for one in owners))


@lru_cache(maxsize=4096)
def _patient(reference: object) -> tuple[str, ...]:
    target = target_of({"reference": reference})
    return (target.id,) if target is not None and target.resource_type == "Patient" else ()
