"""What the doctor found of a server, kept in a file and read again where the server is used."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fhir_adapter.client.urls import base_of
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.model.server import ServerProfile, Verdict
from fhir_adapter.settings import Settings, spelled

_FORMAT = 1
_AGAIN = "Run `fhir-adapter server doctor --write --profile FILE` again."


class _File(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A profile as it is written down: verdicts by check, and no resource, id or value."""

    format: int
    server: str
    software: str
    largest_page: int
    checks: dict[str, Verdict]


def keep(profile: ServerProfile, base: str, path: Path) -> None:
    """Write a profile down, whole or not at all."""
    made = _File(
        format=_FORMAT,
        server=base_of(base),
        software=profile.software,
        largest_page=profile.largest_page,
        checks=dict(profile.verdicts),
    )
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    part.replace(path)


def record_profile(settings: Settings) -> ServerProfile | None:
    """Of the record server; None where no file is set."""
    return _read(settings.record.profile, settings.record_server, "record_profile")


def write_profile(settings: Settings) -> ServerProfile | None:
    """Of the server that proposals go to; the record server's where no other is set."""
    if not settings.write_server:
        return record_profile(settings)
    return _read(settings.write.profile, settings.write_server, "write_profile")


def _read(path: str, base: str, name: str) -> ServerProfile | None:
    """SettingInvalid where the file cannot be read or is of another server."""
    if not path or not base:
        return None
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=_File)
    except OSError:
        raise SettingInvalid(
            f"the file named by {spelled(name)} cannot be read",
            remedy="Check the path and its rights.",
        ) from None
    except msgspec.DecodeError:
        raise SettingInvalid(
            f"the file named by {spelled(name)} is no profile", remedy=_AGAIN
        ) from None
    if found.format != _FORMAT:
        raise SettingInvalid(f"the profile of {spelled(name)} is of another format", remedy=_AGAIN)
    if found.server != base_of(base):
        raise SettingInvalid(f"the profile of {spelled(name)} is of another server", remedy=_AGAIN)
    return ServerProfile(
        verdicts=found.checks, largest_page=found.largest_page, software=found.software
    )
