"""One file of an export onto disk: whole or not at all, and from where it broke off.

``NAME.part`` grows, is checked and flushed, and becomes ``NAME.ndjson`` (``.ndjson.gz`` where the
bytes are gzip: they are kept as they were sent, so that a range means the same bytes again).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import IO, cast

import msgspec

from fhir_adapter.client.bulk import ExportFile, file_refused
from fhir_adapter.client.outcomes import fault_of
from fhir_adapter.client.retry import RetryBudget
from fhir_adapter.client.transport import Asked, CutOff, Opened, Transport
from fhir_adapter.client.urls import same_origin
from fhir_adapter.errors import NotFhir, ServerBroken, ServerUnreachable

_BUSY = frozenset({429, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_GZIP_MAGIC = b"\x1f\x8b"
_UNPACKABLE = (OSError, EOFError, zlib.error)


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is there."""

    name: str
    sha256: str
    bytes: int
    lines: int
    """Lines that are not blank: each is a resource."""


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer said of which the part is the beginning."""

    tag: str = ""
    length: int | None = None
    encoding: str = ""
    proves: bool = False
    """Whether its end can be told from a break."""


class Stopped(Exception):  # noqa: N818 - asked for, no mistake
    """Nobody wants the file any more; what is there of it stays."""


class BulkFiles:
    """Fetches files of one export; safe in several threads, one file in each."""

    def __init__(
        self,
        transport: Transport,
        folder: Path,
        *,
        needs_token: bool,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], object] | None = None,
        came: Callable[[int], object] = int,
    ) -> None:
        self.stop: Event = Event()
        self._transport = transport
        self._folder = folder
        self._needs_token = needs_token
        self._budget = budget or RetryBudget(tries=5, seconds=600)
        self._sleep = sleep or self.stop.wait
        self._came = came
        self._where = f"{transport.base}/$export"

    def fetch(self, file: ExportFile, name: str) -> Fetched:
        """The file under ``name`` and its ending; ExportLost and other ServerFaults else.

        A break is mended as long as each try brings more of it, and a few times beyond that.
        """
        part = self._folder / f"{name}.part"
        tried, waited, most = 0, 0.0, _size(part)
        while True:
            try:
                return self._whole(part, name, file)
            except _Again as again:
                if self.stop.is_set():
                    raise Stopped from None
                had, most = most, max(most, _size(part))
                tried, waited = (1, 0.0) if most > had else (tried + 1, waited)
                pause = self._budget.pause(tried=tried, waited=waited, asked=again.wanted)
                if pause is None:
                    raise self._fault(again) from None
                waited += pause
                with self._transport.holding(file.url, again.wanted):
                    self._sleep(pause)

    def _whole(self, part: Path, name: str, file: ExportFile) -> Fetched:
        try:
            note = self._grown(part, file)
        except ServerUnreachable as fault:
            raise _Again(fault.message, fault=fault) from None
        if note.length is not None and _size(part) != note.length:
            raise _Again("a file of the export was cut off")
        found = checked(part)
        if found is None:
            _forget(part)
            raise _Again("a compressed file of the export breaks off inside")
        if file.count is not None and found.lines != file.count:
            _forget(part)
            raise _Again(
                f"a file of the export holds {found.lines} resources where the manifest counts "
                f"{file.count}"
            )
        if not (note.proves or file.count is not None or _is_packed(part)):
            raise _unprovable(self._where)
        return _kept(part, name, found)

    def _grown(self, part: Path, file: ExportFile) -> _Part:
        """Append what is missing; CutOff becomes one more try."""
        note = _noted(part)
        offset = _size(part) if note is not None else 0
        if note is not None and offset and offset == note.length:
            return note
        headers = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "gzip"}
        headers |= {"Range": f"bytes={offset}-"} if offset else {}
        asked = Asked(method="GET", url=file.url, where=self._where, headers=headers)
        send = self._needs_token and same_origin(file.url, self._transport.base)
        with self._transport.opened(asked, with_credentials=send) as answer:
            note = self._begun(answer, part, note, offset, sent=send)
            mode = "ab" if answer.status == HTTPStatus.PARTIAL_CONTENT else "wb"
            with open(part, mode, opener=for_its_owner) as stream:  # noqa: PTH123 - needs a mode
                self._pour(answer, stream)
        return note

    def _begun(
        self, answer: Opened, part: Path, note: _Part | None, offset: int, *, sent: bool
    ) -> _Part:
        """What this answer is the body of; _Again where another must be asked for."""
        if answer.status in _BUSY:
            fault = fault_of(answer.status, (), where=self._where, waits=True, writes=False)
            raise _Again(fault.message, wanted=answer.retry_after, fault=fault)
        if answer.status == HTTPStatus.OK:
            made = _note(answer.headers)
            if "html" in answer.headers.get("Content-Type", "").lower():
                raise NotFhir(
                    "a web page came in the place of a file of the export",
                    where=self._where,
                    remedy="Look for a proxy or a login page before the files.",
                )
            if made.encoding not in {"", "identity", "gzip"}:
                raise NotFhir(
                    "a file of the export is compressed as nobody asked for",
                    where=self._where,
                    remedy="Look for a proxy that rewrites answers.",
                )
            _beside(part).write_bytes(msgspec.json.encode(made))
            return made
        if answer.status == HTTPStatus.PARTIAL_CONTENT and note is not None:
            if _continues(answer.headers, note, offset):
                return _lengthened(note, answer.headers)
            _forget(part)
            raise _Again("a file of the export changed", wanted=0.0)
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            _forget(part)
            raise _Again("the rest of a file of the export was refused", wanted=0.0)
        raise file_refused(answer.status, sent=sent, where=self._where)

    def _pour(self, answer: Opened, stream: IO[bytes]) -> None:
        try:
            for chunk in answer.chunks():
                if self.stop.is_set():
                    raise Stopped
                stream.write(chunk)
                stream.flush()
                self._came(len(chunk))
        except CutOff:
            raise _Again("a file of the export was cut off") from None
        finally:
            stream.flush()
            os.fsync(stream.fileno())

    def _fault(self, again: _Again) -> Exception:
        return again.fault or ServerBroken(
            again.said,
            where=self._where,
            remedy="Run the command again: it goes on with what is missing. If it stays so, "
            "--fresh starts a new export.",
        )


class _Again(Exception):  # noqa: N818 - asks for one more try
    def __init__(
        self, said: str, *, wanted: float | None = None, fault: Exception | None = None
    ) -> None:
        self.said = said
        self.wanted = wanted
        self.fault = fault
        super().__init__(said)


def checked(path: Path) -> Fetched | None:
    """What a file holds; None where its compression breaks off inside."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(2**20):
            digest.update(data)
    try:
        with _unpacked(path) as stream:
            lines = sum(not line.isspace() for line in stream)
    except _UNPACKABLE:
        return None
    return Fetched(name=path.name, sha256=digest.hexdigest(), bytes=_size(path), lines=lines)


def _unpacked(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if _is_packed(path) else path.open("rb")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == _GZIP_MAGIC


def _kept(part: Path, name: str, found: Fetched) -> Fetched:
    final = part.with_name(f"{name}.ndjson.gz" if _is_packed(part) else f"{name}.ndjson")
    part.replace(final)
    _beside(part).unlink(missing_ok=True)
    return msgspec.structs.replace(found, name=final.name)


def _note(headers: Mapping[str, str]) -> _Part:
    length = headers.get("Content-Length", "")
    known = int(length) if length.isascii() and length.isdigit() else None
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return _Part(
        tag=_tag(headers),
        length=known,
        encoding=headers.get("Content-Encoding", "").lower(),
        proves=chunked or known is not None,
    )


def _tag(headers: Mapping[str, str]) -> str:
    """What names these bytes and no others; a weak ETag does not (RFC 9110, 8.8.1)."""
    tag = headers.get("ETag", "")
    if tag:
        return "" if tag.startswith("W/") else tag
    return headers.get("Last-Modified", "")


def _continues(headers: Mapping[str, str], note: _Part, offset: int) -> bool:
    """Whether a part of an answer goes on where ours ends, and is of the same bytes.

    Something must prove that: the same tag, or the same length of the whole.
    """
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None or int(found[1]) != offset:
        return False
    if headers.get("Content-Encoding", "").lower() != note.encoding:
        return False
    whole = None if found[2] == "*" else int(found[2])
    if note.tag or _tag(headers):
        return note.tag == _tag(headers) and (whole is None or note.length in {None, whole})
    return whole is not None and whole == note.length


def _lengthened(note: _Part, headers: Mapping[str, str]) -> _Part:
    """A range may say how long the whole is, where the first answer did not."""
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None or found[2] == "*":
        return note
    return msgspec.structs.replace(note, length=int(found[2]), proves=True)


def for_its_owner(path: str, flags: int) -> int:
    """An opener: what is new can be read by its owner only."""
    return os.open(path, flags, 0o600)


def _beside(part: Path) -> Path:
    return part.with_suffix(".part.json")


def _noted(part: Path) -> _Part | None:
    try:
        return msgspec.json.decode(_beside(part).read_bytes(), type=_Part)
    except (OSError, msgspec.DecodeError):
        return None


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0


def _unprovable(where: str) -> ServerBroken:
    return ServerBroken(
        "a file of the export came without length, and nothing says whether that was all",
        where=where,
        remedy="Look for a proxy that takes Content-Length away.",
    )
