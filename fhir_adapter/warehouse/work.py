"""What worker processes do with one bucket: pieces -> records -> columns; columns -> Parquet.

Between the two the parent numbers the new codes, bucket by bucket, so that two loads of the same
export give the same bytes however many workers there were.
"""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import ParamSpec, TypeVar
from zlib import crc32

import numpy as np

from fhir_adapter.errors import AdapterError, InternalFault, StoreUnwritable
from fhir_adapter.model.code import Code
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.tables import KINDS
from fhir_adapter.ports import BucketReader, ExportState, Piece
from fhir_adapter.warehouse.arrow import Table, pa, pc
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.pieces import read_pieces, write_pieces
from fhir_adapter.warehouse.rows import SCHEMAS, Rows, codings, recoded
from fhir_adapter.warehouse.writing import write_tables

PIECES = "pieces"
KEYS = "keys.npy"
_NO_PLACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not be as large as that (ulimit -f, or the file system)",
    errno.EACCES: "the folder may not be written",
    errno.EPERM: "the folder may not be written",
    errno.EROFS: "the folder may not be written",
    errno.ENOTDIR: "the folder is a file",
    errno.EEXIST: "the folder is a file",
}
_COLLECTED = ("fact", "patient", "alias", "retrieved")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every worker gets once."""

    reader: BucketReader
    state: ExportState
    roots: Mapping[str, str]
    """Merged id -> the first of all ids joined to it."""
    companions: tuple[Path, ...]
    """Files of them, older ones first."""
    deleted: frozenset[str]
    """Keys that are gone from all but the newest file."""
    buckets: int

    def home(self, patient: str) -> int:
        """The bucket of a patient: merged ones live together."""
        return bucket_of(self.roots.get(patient, patient), self.buckets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One bucket to be normalised."""

    bucket: int
    new: Path
    """Pieces of this load."""
    out: Path
    """Folder for what is made of them."""
    old: tuple[Path, ...] = ()
    """Pieces of earlier loads; without the superseded ones they come first."""
    superseded: frozenset[int] = frozenset()
    """Hashes of keys that this load changed or deleted."""
    numbers: Mapping[str, int] = field(default_factory=dict[str, int])
    """Patient numbers given before."""
    last_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """What came of it; the tables lie in the job's folder."""

    bucket: int
    patients: int
    resources: int
    facts: int
    last_number: int
    issues: Mapping[str, int]
    incomplete: Mapping[str, int]
    """Kind of fact to patients for whom it was not retrieved whole."""
    unreadable: int
    codes: tuple[Code, ...]
    systems: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """One normalised bucket to be written, in the numbers of the store."""

    staged: Path
    out: Path
    codes: tuple[int, ...]
    systems: tuple[int, ...]
    issues: tuple[str, ...]
    """Data-quality codes that are true of every record, because they are of the export."""


_SHARED: list[Shared] = []
_COMPANIONS: list[dict[str, bytes]] = []


def begin(shared: Shared) -> None:
    """Make this process ready for jobs of one load."""
    pieces = chain.from_iterable(read_pieces(path) for path in shared.companions[:-1])
    kept = {piece.key: piece.body for piece in pieces if piece.key not in shared.deleted}
    kept.update((piece.key, piece.body) for piece in read_pieces(shared.companions[-1]))
    _SHARED[:] = [shared]
    _COMPANIONS[:] = [kept]


def bucket_of(text: str, buckets: int) -> int:
    """A stable bucket for any text."""
    return crc32(text.encode("utf-8", "surrogatepass")) % buckets


def hash_of(key: str) -> int:
    """64 bits for ``Type/id``: two keys that share them only cost work."""
    raw = key.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "little")


def safely(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Errors of ours pass; a foreign one, whose text may quote a value, is named by its type."""
    try:
        return work(*args, **kwargs)
    except AdapterError:
        raise
    except OSError as fault:
        raise unwritable(fault) from None
    except Exception as fault:  # noqa: BLE001 - whatever it is, its text stays here
        raise _failed(fault) from None


def _failed(fault: Exception) -> InternalFault:
    return InternalFault(
        f"the load failed with {type(fault).__name__}",
        where="cohort load",
        remedy="Please report it with the command you ran; the tables before stay readable.",
    )


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """The folder and those above it; StoreUnwritable where that cannot be, whatever the reason."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as fault:
        raise _no_place(_NO_PLACE.get(fault.errno or 0, "the folder cannot be made")) from None


def unwritable(fault: OSError) -> AdapterError:
    """The disk is full, or the folder may not be written."""
    why = _NO_PLACE.get(fault.errno or 0)
    if why is None:
        return _failed(fault)
    return _no_place(why)


def _no_place(why: str) -> StoreUnwritable:
    return StoreUnwritable(
        why, where="store", remedy="Make room or choose another folder, and load again."
    )


def normalise(job: Job) -> Normalised:
    """Pieces of one bucket -> its tables in the worker's own numbers, beside its keys."""
    with _uncollected():
        return safely(_normalise, job)


@contextmanager
def _uncollected() -> Generator[None]:
    """Without the cyclic collector: JSON and facts hold no cycles, and there are many of both."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def write(writing: Writing) -> None:
    """Those tables in the store's numbers, as Parquet."""
    safely(_write, writing)


def _normalise(job: Job) -> Normalised:
    shared = _SHARED[0]
    job.out.mkdir(parents=True, exist_ok=True)
    pieces = job.new
    if job.old:
        pieces = job.out / PIECES
        write_pieces(pieces, _merged(job, shared))
    keys: set[str] = set()
    read = shared.reader(
        _noting(keys, read_pieces(pieces)),
        shared.state,
        _COMPANIONS[0],
        lambda one: shared.home(one) == job.bucket,
    )
    dictionary = Dictionary()
    rows, numbers, last = Rows(dictionary), dict(job.numbers), job.last_number
    patients = resources = 0
    for record in read.records():
        if record.patient not in numbers:
            numbers[record.patient] = last * shared.buckets + job.bucket + 1
            last += 1
        rows.add(numbers[record.patient], record)
        patients += 1
        resources += record.resources
    tables = rows.tables()
    for name in _COLLECTED:
        _collect(job.out / f"{name}.arrow", _by_patient(tables[name]))
    keys.update(read.references)
    hashes = np.array([hash_of(key) for key in keys], dtype=np.uint64)
    np.save(job.out / KEYS, np.sort(hashes))
    return Normalised(
        bucket=job.bucket,
        patients=patients,
        resources=resources,
        facts=tables["fact"].num_rows,
        last_number=last,
        issues={code: count for code, count in read.issues.items() if count},
        incomplete=_incomplete(tables["retrieved"]),
        unreadable=read.unreadable,
        codes=tuple(dictionary.codes),
        systems=tuple(dictionary.systems),
    )


def _incomplete(retrieved: Table) -> dict[str, int]:
    lacking = retrieved.filter(pc.invert(retrieved["complete"]))
    rows = lacking.group_by(["kind", "patient"]).aggregate([]).group_by("kind")
    counted: list[dict[str, int]] = rows.aggregate([("patient", "count")]).to_pylist()
    kinds: list[Kind] = [KINDS[row["kind"] - 1] for row in counted]
    return {k.value: row["patient_count"] for k, row in zip(kinds, counted, strict=True)}


def _merged(job: Job, shared: Shared) -> Iterator[Piece]:
    """What is left of the old pieces, then the new ones."""
    for piece in chain.from_iterable(read_pieces(path) for path in job.old):
        here = not piece.owners or any(shared.home(one) == job.bucket for one in piece.owners)
        if here and not (piece.key and hash_of(piece.key) in job.superseded):
            yield piece
    yield from read_pieces(job.new)


def _noting(keys: set[str], pieces: Iterator[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        keys.add(piece.key)
        yield piece


def _by_patient(table: Table) -> Table:
    """Sorted by patient; the rows of one stay in their order."""
    order = pc.sort_indices(table, [("patient", "ascending")])
    return table.take(order)


def _collect(path: Path, table: Table) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(path), table.schema, options=options) as sink:
        sink.write_table(table)


def _collected(path: Path) -> Table:
    with pa.ipc.open_file(str(path)) as source:
        return source.read_all()


def _write(writing: Writing) -> None:
    tables = {name: _collected(writing.staged / f"{name}.arrow") for name in _COLLECTED}
    tables["fact"] = recoded(tables["fact"], writing.codes, writing.systems)
    tables["fact_concept"] = codings(tables["fact"])
    tables["patient"] = _with_issues(tables["patient"], writing.issues)
    write_tables(writing.out, tables)
    for name in (PIECES, KEYS):
        (writing.staged / name).replace(writing.out / name)


def _with_issues(patient: Table, issues: tuple[str, ...]) -> Table:
    found = [sorted({*own, *issues}) for own in patient["issues"].to_pylist()]
    at = patient.column_names.index("issues")
    column = SCHEMAS["patient"].field("issues")
    return patient.set_column(at, column, pa.array(found, column.type))
