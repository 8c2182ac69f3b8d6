"""Strict reading of the TOML files in mappings/: an unknown key names the nearest known one."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec

from fhir_adapter.errors import AdapterError
from fhir_adapter.model.code import Code


class Table(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Base of every TOML table here: kebab-case keys, nothing unknown."""


AnyTable = TypeVar("AnyTable", bound=Table)
_UNKNOWN = re.compile(r"unknown field `(.+?)`(?: - at `\$\.?(.*?)`)?$")
_PLACE = re.compile(r"^(.*?)(?: - at `\$\.?(.*?)`)?$", re.DOTALL)
_CODE = re.compile(r"^([^|\s]+)\|(\S.*)$")


def shown(path: Path) -> str:
    """How messages name a file: its folder and name, never where it lies on a machine."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def read_table(
    path: Path, table: type[AnyTable], inner: tuple[type[Table], ...], error: type[AdapterError]
) -> AnyTable:
    """One TOML file as ``table``; ``inner`` are the tables whose keys may be suggested."""
    raw = _parsed(path, error)
    try:
        return msgspec.convert(raw, table)
    except msgspec.ValidationError as fault:
        raise _explained(str(fault), path, (table, *inner), error) from fault


def _parsed(path: Path, error: type[AdapterError]) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise error("the file does not exist", where=shown(path), remedy=_CHECK_NAME) from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise error("the file cannot be read", where=shown(path), remedy=_AS_UTF8) from fault
    except tomllib.TOMLDecodeError as fault:
        raise error(f"not TOML: {fault}", where=shown(path), remedy=_MEND_LINE) from fault


_CHECK_NAME = "Check the name, or create the file."
_AS_UTF8 = "Store it as readable UTF-8 text."
_MEND_LINE = "Mend that line."


def _explained(
    text: str, path: Path, tables: tuple[type[Table], ...], error: type[AdapterError]
) -> AdapterError:
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        place = _place(path, unknown[2])
        return error(
            f"unknown key {unknown[1]!r}", where=place, remedy=_nearest(unknown[1], tables)
        )
    found = _PLACE.match(text)
    message, place = (found[1], _place(path, found[2])) if found else (text, shown(path))
    return error(
        message, where=place, remedy="Mend this entry; the format stands in the file's head."
    )


def _place(path: Path, inside: str | None) -> str:
    return f"{shown(path)} at {inside}" if inside else shown(path)


def _nearest(key: str, tables: tuple[type[Table], ...]) -> str:
    known = sorted({name for table in tables for name in table.__struct_encode_fields__})
    close = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."


def code_of(text: str, path: Path, error: type[AdapterError]) -> Code:
    """A code written ``system|code``.

    >>> from fhir_adapter.errors import SiteInvalid
    >>> code_of("http://loinc.org|1975-2", Path("sites/demo.toml"), SiteInvalid).code
    '1975-2'
    """
    found = _CODE.match(text)
    if found is None:
        remedy = "Write it as system|code."
        raise error(f"{text!r} is not a code", where=shown(path), remedy=remedy)
    return Code(found[1], found[2])
