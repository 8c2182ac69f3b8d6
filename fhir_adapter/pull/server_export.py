"""An export that a server makes for us, read while it is still being downloaded.

begin or go on -> wait -> manifest -> files in two threads -> each read as soon as it is there.
Only when every file of the manifest has been read wholly does the load switch to its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock

import msgspec

from fhir_adapter.client import BulkClient, BulkFiles, ExportAsked, ExportFile, Fetched
from fhir_adapter.client.bulk import ExportManifest
from fhir_adapter.client.bulk_files import checked
from fhir_adapter.client.fetching import Fetching
from fhir_adapter.errors import ExportLost
from fhir_adapter.fhir.outcome import OUTCOME
from fhir_adapter.model.hashing import digest
from fhir_adapter.ports import ExportState, Piece
from fhir_adapter.pull.export import FilesRead, links_in, size_of
from fhir_adapter.pull.export_errors import ErrorsRead
from fhir_adapter.pull.export_folder import ExportFolder, Kept
from fhir_adapter.pull.files import RecordFile, raw_in

_LINE, _FILE = 1000, 8 * 2**20
"""About how many bytes a resource has, and a file, as long as nobody can know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStep:
    """How far a server's export is, for a progress bar; before there are files it is being made."""

    said: str = ""
    """What the server says of its progress, for a terminal only: it is nobody's word but its."""
    files: int = 0
    of: int = 0
    bytes: int = 0
    """Downloaded by this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A file of the manifest, and its place in our order."""

    number: int
    file: ExportFile
    role: str

    @property
    def name(self) -> str:
        """Of types and numbers only: no server's word becomes a file name."""
        return f"{self.number:04d}.{self.role or self.file.type or 'other'}"


class ServerExport(FilesRead):
    """BulkSource over a ``$export``; ``prepare`` comes first, ``finish`` last, ``close`` always."""

    def __init__(
        self,
        bulk: BulkClient,
        folder: ExportFolder,
        asked: ExportAsked,
        *,
        told: Callable[[ExportStep], None],
        complete_types: Collection[str] = (),
        left_out: Mapping[str, str],
        origin: str,
    ) -> None:
        super().__init__(complete_types)
        self.steps: int = 0
        self.resumed: bool = False
        self.bytes: int = 0
        self._bulk = bulk
        self._folder = folder
        self._asked = asked
        self._told = told
        self._left_out = left_out
        self._origin = origin
        self._manifest = ExportManifest()
        self._wanted: dict[str, _Wanted] = {}
        self._counting = Lock()
        self._here = 0
        self._status_url = ""

    # before the load

    def prepare(self, *, fresh: bool = False, loaded: str = "") -> None:
        """Begin, or go on with what an earlier run left, up to the manifest.

        ``loaded`` is the transaction time that the store has already: that export is done with.
        """
        kept = self._folder.open()
        if kept is not None and (fresh or not self._is_wanted(kept, loaded)):
            self._bulk.cancel(kept.status_url)
            self._folder.clear()
            kept = None
        self.resumed = kept is not None
        try:
            self._manifest = self._made(kept)
        except ExportLost:
            self.forget()
            if not self.resumed:
                raise
            self.resumed = False
            self._manifest = self._made(None)
        except KeyboardInterrupt:
            self.forget()
            raise
        self._begin_fetching()

    def _is_wanted(self, kept: Kept, loaded: str) -> bool:
        time = "" if kept.manifest is None else kept.manifest.transaction_time
        return kept.request == self._request and not (time and time == loaded)

    @property
    def _request(self) -> str:
        asked = self._asked
        return digest(self._bulk.base, asked.path, asked.since, sorted(asked.types))

    def _made(self, kept: Kept | None) -> ExportManifest:
        if kept is None:
            self._status_url = self._bulk.kick_off(self._asked)
            self._folder.begin(self._request, self._status_url)
        else:
            self._status_url = kept.status_url
            if kept.manifest is not None:
                return kept.manifest
        self._told(ExportStep())
        found = self._bulk.wait(self._status_url, lambda said: self._told(ExportStep(said=said)))
        self._folder.finished(found)
        return found

    def _begin_fetching(self) -> None:
        self._wanted = {one.name: one for one in _in_order(self._manifest)}
        self.steps = sum(one.role != _ERROR for one in self._wanted.values())
        self._files = BulkFiles(
            self._bulk.transport,
            self._folder.path,
            needs_token=self._manifest.needs_token,
            came=self._came,
        )
        self._fetching = Fetching(self._fetch, list(self._wanted), stop=self._files.stop)

    def _fetch(self, name: str) -> Fetched:
        found = self._known(name)
        if found is None:
            found = self._files.fetch(self._wanted[name].file, name)
            self._folder.fetched(name, found)
        with self._counting:
            self._here += 1
        self._came(0)
        return found

    def _known(self, name: str) -> Fetched | None:
        """A file of an earlier run, unless something has happened to it since."""
        known = self._folder.known(name)
        if known is None or not (path := self._folder.path / known.name).is_file():
            return None
        found = checked(path)
        return known if found is not None and found.sha256 == known.sha256 else None

    def _came(self, count: int) -> None:
        with self._counting:
            self.bytes += count
            step = ExportStep(files=self._here, of=len(self._wanted), bytes=self.bytes)
        self._told(step)

    # after it

    def finish(self) -> None:
        """The load has switched: neither the server's files nor ours are needed any more."""
        self.close()
        self.forget()

    def forget(self) -> None:
        """Take the export back and remove what was downloaded of it."""
        self.close()
        if self._status_url:
            self._bulk.cancel(self._status_url)
        self._folder.clear()

    def close(self) -> None:
        """Download no further; what is there stays for the next run."""
        if self._wanted:
            self._fetching.close()

    # BulkSource

    @property
    def size(self) -> int:
        """Of what is there; for the rest by the server's counts, or guessed."""
        here = self._fetching.ready()
        sizes = [size_of(self._folder.path / one.name) for one in here]
        lines = sum(one.lines for one in here)
        line = sum(sizes) // lines if lines else _LINE
        there = {one.name.partition(".ndjson")[0] for one in here}
        rest = [one.file.count for name, one in self._wanted.items() if name not in there]
        return sum(sizes) + sum(_FILE if count is None else count * line for count in rest)

    def links(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Links in the files of Patients, which come first."""
        return links_in(
            self._read_file(one) for one in self._wanted.values() if one.file.type == "Patient"
        )

    def hashes(self) -> dict[str, str]:
        """Label of each file to the sha256 of its bytes."""
        wanted = (one for one in self._wanted.values() if one.role != _ERROR)
        files = ((self._read_file(one).label, self._fetching.result(one.name)) for one in wanted)
        return {label: found.sha256 for label, found in files}

    def pieces(self, *, strict: bool = False) -> Iterator[Piece]:
        """Every resource, each file as soon as it is there; a second call begins anew."""
        yield from self._read(self._of_role("", _DELETED), strict=strict)
        self._types.update(self._asked.types)
        for name, why in self._left_out.items():
            self._broken.setdefault(name, why)
        errors = ErrorsRead()
        for file in self._of_role(_ERROR):
            errors.add(raw_in(file), self._asked.types)
        self._issues.update(errors.issues)
        for name, why in errors.broken.items():
            self._broken.setdefault(name, why)

    def state(self) -> ExportState:
        """What the manifest and the error files say stands in it too."""
        return msgspec.structs.replace(
            super().state(),
            transaction_time=self._manifest.transaction_time,
            origin=self._origin,
        )

    def _of_role(self, *roles: str) -> Iterator[RecordFile]:
        return (self._read_file(one) for one in self._wanted.values() if one.role in roles)

    def _read_file(self, one: _Wanted) -> RecordFile:
        """The file on disk, once it is there."""
        path = self._folder.path / self._fetching.result(one.name).name
        return RecordFile(path=path, number=one.number, is_lines=True)


_ERROR, _DELETED = "error", "deleted"


def _in_order(manifest: ExportManifest) -> Iterator[_Wanted]:
    """Patients first, for they tell of merges; then by type; errors last.

    Outcomes among the output are what early servers used in the place of error files.
    """
    output = [one for one in manifest.output if one.type != OUTCOME]
    output.sort(key=lambda one: (one.type != "Patient", one.type))
    errors = [*manifest.error, *(one for one in manifest.output if one.type == OUTCOME)]
    found: Iterable[tuple[ExportFile, str]] = (
        *((one, "") for one in output),
        *((one, _DELETED) for one in manifest.deleted),
        *((one, _ERROR) for one in errors),
    )
    for number, (file, role) in enumerate(found, 1):
        yield _Wanted(number=number, file=file, role=role)
