"""Settings from the command line, the environment and the file, and what is in force."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fhir_adapter.errors import SettingInvalid, SettingUnknown
from fhir_adapter.settings.keyfiles import refuse_open_key
from fhir_adapter.settings.values import (
    ADDRESS,
    FROM_FILE,
    KEYS,
    NUMBERS,
    SECRETS,
    Settings,
    help_of,
    is_of_connection,
    made_of,
    of_table,
    servers,
    setting_names,
    spelled,
    table_names,
    value_of,
)

FILE_NAME = "fhir-adapter.toml"
PREFIX = "FHIR_ADAPTER_"
_TABLES = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One setting as it stands: its value (hidden when secret), where from, and help."""

    name: str
    value: str
    origin: str
    help: str
    of_connection: bool
    """Whether it says how one of the servers is reached."""

    def as_json(self) -> dict[str, str]:
        """What `settings --json` prints of it."""
        return {"name": self.name, "value": self.value, "origin": self.origin, "help": self.help}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings and where each came from."""

    settings: Settings
    origins: Mapping[str, str]

    def in_force(self) -> tuple[InForce, ...]:
        """What `fhir-adapter settings` prints."""
        return tuple(
            InForce(
                name=name,
                value=_shown(name, value_of(self.settings, name)),
                origin=self.origins.get(name, "default"),
                help=help_of(name),
                of_connection=is_of_connection(name),
            )
            for name in setting_names()
        )


def load(
    *,
    command_line: Mapping[str, str | None],
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Loaded:
    """Settings from all four places; an unknown key is an error that names the nearest one."""
    path = Path(FILE_NAME) if file is None else file
    layers = (
        (str(path), _from_file(path, required=file is not None)),
        ("environment", _from_environment(os.environ if environment is None else environment)),
        ("command line", {k: v for k, v in command_line.items() if v is not None}),
    )
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for name, value in layer.items():
            _check_name(name, origin)
            values[name] = _taken(name, value, origin)
            origins[name] = origin
    _refuse_without_address(values, origins)
    return Loaded(settings=made_of(values), origins=origins)


def _refuse_without_address(values: Mapping[str, str], origins: Mapping[str, str]) -> None:
    """A server that is not named is the record server, connection and all.

    How to reach it otherwise would be left out in silence.
    """
    for server in ("study", "write"):
        address = f"{server}_server"
        of_it = [n for n in values if n.startswith(f"{server}_") and is_of_connection(n)]
        given = [name for name in of_it if name != address]
        if given and not values.get(address):
            raise SettingInvalid(
                f"{spelled(given[0])} is set, and no {address}",
                where=origins[given[0]],
                remedy=f"Name the server ({address}, or url in its table), or leave it out: the "
                "record server is used, with its own settings.",
            )


def _check_name(name: str, origin: str) -> None:
    if name not in setting_names():
        raise _unknown(name, setting_names(), origin)


def _unknown(name: str, known: Iterable[str], origin: str) -> SettingUnknown:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See `fhir-adapter settings` for all names."
    return SettingUnknown(f"unknown setting {name!r}", where=origin, remedy=hint)


def _from_file(path: Path, *, required: bool) -> dict[str, str]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if required:
            raise SettingInvalid(
                "settings file not found", where=path.name, remedy="Name an existing TOML file."
            ) from None
        return {}
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise SettingInvalid(
            f"not valid TOML ({fault})", where=path.name, remedy="Mend that line."
        ) from None
    return _flat(found, path.name)


def _flat(found: dict[str, Any], origin: str) -> dict[str, str]:
    """Every value by its name, those of the tables ``[server.NAME]`` too; no name twice."""
    tables = found.pop(_TABLES, {})
    for name in found:
        _check_name(_plain(name), origin)
    flat = {_plain(name): _text(value, origin, _plain(name)) for name, value in found.items()}
    for name, value in _of_tables(tables, origin):
        if name in flat:
            raise SettingInvalid(
                f"{name} stands twice, once in a table", where=origin, remedy="Keep one of them."
            )
        flat[name] = value
    return flat


def _of_tables(tables: object, origin: str) -> Iterable[tuple[str, str]]:
    for server, table in _table(tables, _TABLES, origin).items():
        known, where = table_names(server), f"{origin} [{_TABLES}.{server}]"
        if not known:
            raise _unknown(f"{_TABLES}.{server}", [f"{_TABLES}.{s}" for s in servers()], origin)
        for key, value in _table(table, f"{_TABLES}.{server}", origin).items():
            if _plain(key) not in known:
                raise _unknown(key, known, where)
            name = of_table(server, _plain(key))
            yield name, _text(value, where, name)


def _table(value: object, name: str, origin: str) -> dict[str, object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value)
    raise SettingInvalid(
        f"{name} is no table", where=origin, remedy="Write [server.record], [server.study]..."
    )


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        _plain(name.removeprefix(PREFIX)): value
        for name, value in environment.items()
        if name.startswith(PREFIX)
    }


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _text(value: object, origin: str, name: str) -> str:
    if isinstance(value, str):
        return value
    if name in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise SettingInvalid(
        f"{spelled(name)} must be a text", where=origin, remedy="Put it in quotes."
    )


def _taken(name: str, value: str, origin: str) -> str:
    """The value; a secret, and an address with a password in it, only from where it may stand."""
    holds = name == ADDRESS and (value.startswith("@") or _PASSWORD.search(value))
    return _secret(name, value, origin) if name in FROM_FILE or holds else value


def _secret(name: str, value: str, origin: str) -> str:
    """Secrets stand in the environment, or in a file named with a leading @."""
    if value.startswith("@"):
        return _of_file(name, Path(value[1:]), origin)
    if origin == "environment" or (name in FROM_FILE and name not in SECRETS):
        return value
    raise SettingInvalid(
        f"{spelled(name)} {'holds' if name == ADDRESS else 'is'} a secret and must not stand here",
        where=origin,
        remedy=f'Set {PREFIX}{name.upper()}, or name a file in its place: "@/path/to/file".',
    )


def _of_file(name: str, path: Path, origin: str) -> str:
    if name in KEYS:
        refuse_open_key(path, spelled(name))
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise SettingInvalid(
            f"the file named for {spelled(name)} cannot be read",
            where=origin,
            remedy="Check the path.",
        ) from None


_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_PASSWORD = re.compile(r"://[^:/]*:.*@|[?&]password=")
_WHOLE = re.compile(r"//.*@")
_HEADER = re.compile(r"([^:;]+):[^;]*")
_TOKEN = re.compile(r"(?<=[;/]token=)[^;\s]+")


def _shown(name: str, value: str) -> str:
    if name in SECRETS:
        return "(set)" if value else "(not set)"
    if name in FROM_FILE:  # a header may be a key
        return _HEADER.sub(r"\1: (hidden)", value)
    if name == ADDRESS and _PASSWORD.search(value):
        return _WHOLE.sub("//(hidden)@", value).partition("?")[0]
    value = _TOKEN.sub("(hidden)", value)  # of Spark Connect
    return _CREDENTIALS.sub("//(hidden)@", value)  # a base URL with a password is refused later
