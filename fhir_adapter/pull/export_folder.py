"""What is known of an export that is under way, on disk, so that a killed run can go on with it.

It holds addresses that may open files without credentials, and beside it lie patients' records:
the folder is readable by its owner only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Lock

import msgspec

from fhir_adapter.client import ExportManifest, Fetched
from fhir_adapter.client.bulk_files import for_its_owner
from fhir_adapter.errors import SettingInvalid

_STATE = "export.json"
_OURS = re.compile(
    r"export\.json(\.new)?|lock(-[a-z]+)?|\d{4,}\.[A-Za-z]+\.(ndjson(\.gz)?|part(\.json)?)"
)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An export as far as it has come."""

    request: str
    """Hash of what was asked of whom."""
    status_url: str
    manifest: ExportManifest | None = None
    done: dict[str, Fetched] = {}
    """Files that are there, whole, by the name they were asked for under."""


class ExportFolder:
    """One export's folder; ``done`` may be said by several threads."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._lock = Lock()
        self._kept: Kept | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is anything to go on with."""
        return (self.path / _STATE).exists()

    def open(self) -> Kept | None:
        """What an earlier run left; SettingInvalid where other things lie in the folder."""
        if not all(_OURS.fullmatch(one.name) for one in self.path.iterdir()):
            raise SettingInvalid(
                "the folder for downloads holds other files",
                where="--download",
                remedy="Name a folder that is empty or not there yet.",
            )
        try:
            self._kept = msgspec.json.decode((self.path / _STATE).read_bytes(), type=Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            self._kept = None
        return self._kept

    def begin(self, request: str, status_url: str) -> None:
        """A new export has been started; nothing of an older one may be taken for a part of it."""
        self.clear()
        self._write(Kept(request=request, status_url=status_url))

    def finished(self, manifest: ExportManifest) -> None:
        """The server has made it."""
        self._write(msgspec.structs.replace(self._now(), manifest=manifest))

    def fetched(self, name: str, file: Fetched) -> None:
        """A file is there."""
        with self._lock:
            kept = self._now()
            self._write(msgspec.structs.replace(kept, done={**kept.done, name: file}))

    def known(self, name: str) -> Fetched | None:
        """What is known of a file that was fetched before."""
        return self._now().done.get(name)

    def clear(self) -> None:
        """Take everything away, but for the lock and the folder itself."""
        self._kept = None
        for one in self.path.iterdir():
            if not one.name.startswith("lock"):
                one.unlink()

    def _now(self) -> Kept:
        assert self._kept is not None
        return self._kept

    def _write(self, kept: Kept) -> None:
        self._kept = kept
        beside = self.path / f"{_STATE}.new"
        with open(beside, "wb", opener=for_its_owner) as stream:  # noqa: PTH123 - needs a mode
            stream.write(msgspec.json.encode(kept))
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(self.path / _STATE)
