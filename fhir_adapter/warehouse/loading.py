"""One load: an export split into buckets, made into records, written beside, switched to.

Everything but the finished tables lies in ``STORE/loading`` and is thrown away, at the end or by
the next load. Until the manifest is renamed the tables that were there before are the store.
"""

from __future__ import annotations

import shutil
from array import array
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec

from fhir_adapter.errors import RecordFault, SettingInvalid, StoreFault
from fhir_adapter.ports import (
    COMPANION,
    BucketReader,
    BulkSource,
    ExportState,
    LoadCounts,
    LoadStep,
    Piece,
)
from fhir_adapter.warehouse.changes import STATE, Known, hashes, merged
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.lock import locked
from fhir_adapter.warehouse.manifest import Bucket, Manifest, read_manifest, write_manifest
from fhir_adapter.warehouse.pieces import PieceWriter, read_pieces, write_pieces
from fhir_adapter.warehouse.plan import NEW, Plan, first_plan, staged, update_plan
from fhir_adapter.warehouse.pool import pool
from fhir_adapter.warehouse.rows import dictionary_tables
from fhir_adapter.warehouse.store import Store, bucket_folder, shared_folder
from fhir_adapter.warehouse.work import (
    PIECES,
    Job,
    Normalised,
    Shared,
    Writing,
    bucket_of,
    hash_of,
    make_folder,
    normalise,
    unwritable,
    write,
)
from fhir_adapter.warehouse.writing import write_tables

_BUCKET_BYTES = 8 * 2**20
_MOST_BUCKETS = 4096
"""32 GiB of resources in buckets of 8 MiB; beyond that buckets grow, and workers with them."""
_OPEN_BYTES = 1 << 27
"""What all open blocks of all buckets may take together."""
_LEAST_BLOCK, _MOST_BLOCK = 1 << 14, 1 << 17
_OFTEN = 4096
_COMPANIONS = "companions"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTables:
    """Where loads go, for whom, and how."""

    folder: Path
    site: str
    facts_basis: str
    """Hash of all that facts/ reads besides the records."""
    reader: BucketReader
    workers: int = 1
    update: bool = False
    """The export holds only what changed since the last load."""
    bucket_bytes: int = _BUCKET_BYTES
    """About how many bytes of resources make a bucket."""

    @contextmanager
    def loading(self) -> Generator[Load]:
        """The one load that may write now: StoreBusy, StoreOutdated or StoreUnwritable else."""
        make_folder(self.folder, mode=0o700)  # patients' records: their owner's alone
        try:
            with locked(self.folder), ExitStack() as held:
                load = Load(self, held)
                held.callback(shutil.rmtree, load.staging, ignore_errors=True)
                yield load
        except OSError as fault:
            raise unwritable(fault) from None


class Load:
    """FactLoad into a folder."""

    def __init__(self, into: FactTables, held: ExitStack) -> None:
        self.staging: Path = into.folder / "loading"
        self._into = into
        self._held = held
        before = _before(into)
        self._number = 1 if before is None else before.load + 1
        self._patients_before = 0 if before is None else before.patients
        _sweep(into.folder, before)
        self._known = _known(into) if into.update else None
        self._buckets = 1 if self._known is None else len(self._known.store.manifest.buckets)
        self._roots: dict[str, str] = {}
        self._done: dict[int, Normalised] = {}
        self._strict = False

    def split(self, source: BulkSource) -> Iterator[LoadStep]:
        """Sort the export into buckets; once more where merges turn up that a glance missed."""
        self._source = source
        known = ExportState() if self._known is None else self._known.state
        links = source.links()
        if self._known is None:
            wanted = -(-source.size // self._into.bucket_bytes)
            self._buckets = min(max(wanted, 1), _MOST_BUCKETS)
        roots = ExportState(links={**known.links, **links}).roots()
        while True:
            self._roots = roots
            yield from self._split(source)
            self._new = source.state()
            self._state = self._new if self._known is None else merged(known, self._new)
            roots = self._state.roots()
            if roots == self._roots:
                return

    def _split(self, source: BulkSource) -> Iterator[LoadStep]:
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir()
        self._companions = PieceWriter(self.staging / _COMPANIONS)
        self._changed = array("Q")
        writers: dict[int, PieceWriter] = {}
        block = min(max(_OPEN_BYTES // self._buckets, _LEAST_BLOCK), _MOST_BLOCK)
        for at, piece in enumerate(source.pieces(strict=self._strict)):
            if self._known is not None:
                self._changed.append(hash_of(piece.key))
            for bucket, one in self._placed(piece):
                writer = writers.get(bucket)
                if writer is None:
                    writer = writers[bucket] = PieceWriter(self._gathered(bucket), block)
                writer.add(one)
            if at % _OFTEN == 0:
                yield LoadStep(name="split", done=source.steps_done, total=source.steps)
        for writer in (*writers.values(), self._companions):
            writer.flush()
        yield LoadStep(name="split", done=source.steps, total=source.steps)

    def _placed(self, piece: Piece) -> Iterable[tuple[int, Piece]]:
        if piece.role == COMPANION:
            self._companions.add(piece)
            piece = Piece((), piece.key, b"")  # its key is counted with those of a bucket
        if not piece.owners:
            return ((bucket_of(piece.key, self._buckets), piece),)
        homes = {bucket_of(self._roots.get(one, one), self._buckets) for one in piece.owners}
        return [(bucket, piece) for bucket in homes]

    def _gathered(self, bucket: int) -> Path:
        folder = staged(self.staging, bucket)
        folder.mkdir(exist_ok=True)
        return folder / (PIECES if self._known is None else NEW)

    def normalise(self) -> Iterator[LoadStep]:
        """Records of every touched bucket; of all, where something turns out to touch all."""
        self._done = {}
        self._pool = self._held.enter_context(pool(self._into.workers, self._shared()))
        plan = self._plan()
        yield from self._normalised(plan.musts())
        if any(one.unreadable for one in self._done.values()):
            # a line whose head could be read was no resource: look at every line wholly
            self._strict = True
            yield from self.split(self._source)
            yield from self.normalise()
        elif self._known is not None and set(self._issues()) != self._known.issues:
            yield from self._normalised(plan.rest())

    def _normalised(self, jobs: list[Job]) -> Iterator[LoadStep]:
        for at, done in enumerate(self._pool.run(normalise, jobs), 1):
            self._done[done.bucket] = done
            yield LoadStep(name="normalise", done=at, total=len(jobs))

    def _plan(self) -> Plan:
        if self._known is None:
            return first_plan(self.staging, self._buckets)
        changed = hashes(self._new.deleted, self._changed)
        return update_plan(self.staging, self._known, self._state, self._roots, changed)

    def _shared(self) -> Shared:
        return Shared(
            reader=self._into.reader,
            state=self._state,
            roots=self._roots,
            companions=self._companion_files(),
            deleted=self._new.deleted,
            buckets=self._buckets,
        )

    def _companion_files(self) -> tuple[Path, ...]:
        old = () if self._known is None else (self._known.shared / _COMPANIONS,)
        return (*old, self.staging / _COMPANIONS)

    def write(self) -> Iterator[LoadStep]:
        """New codes get their numbers, bucket by bucket; then all tables are written."""
        dictionary = Dictionary() if self._known is None else self._known.store.dictionary
        issues = tuple(self._issues())
        jobs = [self._writing(self._done[one], dictionary, issues) for one in sorted(self._done)]
        for at, _ in enumerate(self._pool.run(write, jobs), 1):
            yield LoadStep(name="write", done=at, total=len(jobs))
        folder = shared_folder(self._into.folder, self._number)
        write_tables(folder, dictionary_tables(dictionary))
        (folder / STATE).write_bytes(msgspec.json.encode(self._state))
        *old, new = self._companion_files()
        kept = (
            one for path in old for one in read_pieces(path) if one.key not in self._new.deleted
        )
        write_pieces(folder / _COMPANIONS, chain(kept, read_pieces(new)))

    def _writing(
        self, done: Normalised, dictionary: Dictionary, issues: tuple[str, ...]
    ) -> Writing:
        return Writing(
            staged=staged(self.staging, done.bucket),
            out=bucket_folder(self._into.folder, done.bucket, self._number),
            codes=(0, *map(dictionary.code, done.codes)),
            systems=(0, *map(dictionary.combination, done.systems)),
            issues=issues,
        )

    def switch(self) -> LoadCounts:
        """From now on the new tables are the store's."""
        manifest = Manifest(
            facts_basis=self._into.facts_basis,
            site=self._into.site,
            load=self._number,
            buckets=tuple(self._bucket(number) for number in range(self._buckets)),
            transaction_time=self._state.transaction_time,
            origin=self._state.origin,
            files=dict(self._source.hashes()),
            issues=self._issues(),
        )
        if self._known is None and not manifest.patients:
            self._refuse_nobody(manifest)
        write_manifest(self._into.folder, manifest)
        return LoadCounts(
            patients=manifest.patients,
            resources=manifest.resources,
            facts=manifest.facts,
            buckets=len(self._done),
            issues=manifest.issues,
            not_retrieved=dict(sorted(self._state.broken.items())),
            incomplete=manifest.incomplete,
            before=self._patients_before,
            damaged=tuple(self._source.damaged),
        )

    def _refuse_nobody(self, manifest: Manifest) -> None:
        """An empty hospital is one that cannot be read, unless nothing was wrong with the files."""
        if self._patients_before:
            raise RecordFault(
                "the export holds nobody, and the tables there hold patients",
                where="cohort load",
                remedy="Look at what is exported, with which rights. The tables stay as they were.",
            )
        if manifest.issues:
            named = ", ".join(f"{code} {count}" for code, count in manifest.issues.items())
            raise RecordFault(
                f"no patient could be read ({named})",
                where="cohort load",
                remedy="Name a folder of NDJSON or Bundles; `screen FOLDER` says more.",
            )

    def _bucket(self, number: int) -> Bucket:
        """A bucket after this load: as made now, or as it was."""
        done = self._done.get(number)
        if done is not None:
            return Bucket(
                load=self._number,
                patients=done.patients,
                resources=done.resources,
                facts=done.facts,
                last_number=done.last_number,
                issues=dict(done.issues),
                incomplete=dict(done.incomplete),
            )
        return Bucket(load=0) if self._known is None else self._known.buckets[number]

    def _issues(self) -> dict[str, int]:
        """Data-quality codes of the whole store so far."""
        found = Counter(self._state.issues)
        for number in range(self._buckets):
            found.update(self._bucket(number).issues)
        return dict(sorted(found.items()))


def _before(into: FactTables) -> Manifest | None:
    """What stands there now: a whole load replaces tables of other schemas, not of other sites."""
    try:
        found = read_manifest(into.folder)
    except StoreFault:
        return None
    if found.site != into.site:
        raise SettingInvalid(
            f"the store holds site {found.site!r}, this load is for {into.site!r}",
            remedy="Give every site a --store of its own.",
        )
    return found


def _known(into: FactTables) -> Known:
    store = Store.open(into.folder, site=into.site, facts_basis=into.facts_basis)
    return Known.of(store, shared_folder(into.folder, store.manifest.load))


def _sweep(folder: Path, manifest: Manifest | None) -> None:
    """Take away what a load that did not end left, and tables that nobody reads any more."""
    shutil.rmtree(folder / "loading", ignore_errors=True)
    if manifest is None:
        return
    kept = {shared_folder(folder, manifest.load)}
    kept |= {bucket_folder(folder, at, one.load) for at, one in enumerate(manifest.buckets)}
    for path in (*folder.glob("bucket=*/load=*"), *folder.glob("shared/load=*")):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
