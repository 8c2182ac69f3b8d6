"""Every setting: name, default, help. Read once; adapters get values, never settings.

Order: command line > environment FHIR_ADAPTER_* > fhir-adapter.toml > default. Secrets come only
from the environment or from a file that is named, and are never printed.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from fhir_adapter.errors import SettingInvalid, SettingUnknown

FILE_NAME = "fhir-adapter.toml"
PREFIX = "FHIR_ADAPTER_"
_SECRETS = frozenset(("record_token", "write_token", "study_token", "site_key", "ledger_password"))
_ADDRESS = "ledger"
"""A setting that is no secret unless a password stands in it."""


def _setting(default: str, text: str) -> str:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is in force for one run."""

    site: str = _setting("demo", "Site file in mappings/sites, by name, or a path to one.")
    study: str = _setting(
        "NCT05985863",
        "Study folder in mappings/studies, by name, or a path; serve and cohort screen: A,B,...",
    )
    record_server: str = _setting("", "Base URL of the FHIR server that patient records come from.")
    study_server: str = _setting("", "Base URL of the FHIR server that studies come from.")
    write_server: str = _setting("", "Base URL of the FHIR server that proposals are written to.")
    record_token: str = _setting("", "Token, or basic:USER:PASSWORD, for the record server.")
    study_token: str = _setting("", "Token, or basic:USER:PASSWORD, for the study server.")
    write_token: str = _setting("", "Token, or basic:USER:PASSWORD, for the write-back server.")
    site_key: str = _setting(
        "", "Secret that keys ResearchSubject identifiers (environment or @file)."
    )
    ledger: str = _setting(
        ".fhir-adapter/ledger.sqlite",
        "Where decisions and writes are kept: a SQLite file, or postgresql://USER@HOST/DATABASE.",
    )
    ledger_password: str = _setting(
        "", "Password of a PostgreSQL ledger (environment or @file), if not in its address."
    )
    retention_days: str = _setting(
        "180", "Days for which values of listed patients are kept: `ledger purge`."
    )
    tokens: str = _setting("", "TOML file of the service's people and programs and their roles.")
    clients: str = _setting("", "TOML file of the EHRs that may call the service's CDS hook.")
    public_url: str = _setting("", "Address at which others reach the service, without path.")
    engine: str = _setting("duckdb", "What runs the cohort lane's statement: duckdb, or spark.")
    spark_remote: str = _setting(
        "", "Spark session of the cohort lane: sc://HOST:PORT, or local[*] in this process."
    )
    device: str = _setting("fhir-adapter", "Identifier of this installation (Device.identifier).")

    def each_study(self) -> tuple[Settings, ...]:
        """These settings for each study that is named, with commas between them."""
        names = dict.fromkeys(name.strip() for name in self.study.split(",") if name.strip())
        return tuple(replace(self, study=name) for name in names) or (self,)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """One setting as it stands: its value (hidden when secret), where from, and help."""

    name: str
    value: str
    origin: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings and where each came from."""

    settings: Settings
    origins: Mapping[str, str]

    def in_force(self) -> tuple[InForce, ...]:
        """What `fhir-adapter settings` prints."""
        return tuple(
            InForce(
                name=entry.name,
                value=_shown(entry.name, str(getattr(self.settings, entry.name))),
                origin=self.origins.get(entry.name, "default"),
                help=str(entry.metadata["help"]),
            )
            for entry in fields(Settings)
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
    return Loaded(settings=Settings(**values), origins=origins)


def _names() -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(Settings))


def _check_name(name: str, origin: str) -> None:
    if name in _names():
        return
    near = difflib.get_close_matches(name, _names(), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See `fhir-adapter settings` for all names."
    raise SettingUnknown(f"unknown setting {name!r}", where=origin, remedy=hint)


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
    return {_plain(name): _text(value, path.name, name) for name, value in found.items()}


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
    raise SettingInvalid(f"{name} must be a text", where=origin, remedy="Put it in quotes.")


def _taken(name: str, value: str, origin: str) -> str:
    """The value; a secret, and an address with a password in it, only from where it may stand."""
    if name == _ADDRESS and (value.startswith("@") or _PASSWORD.search(value)):
        return _secret(name, value, origin)
    return _secret(name, value, origin) if name in _SECRETS else value


def _secret(name: str, value: str, origin: str) -> str:
    """Secrets stand in the environment, or in a file named with a leading @."""
    if value.startswith("@"):
        try:
            return Path(value[1:]).read_text("utf-8").strip()
        except OSError:
            raise SettingInvalid(
                f"the file named for {name} cannot be read", where=origin, remedy="Check the path."
            ) from None
    if origin == "environment":
        return value
    raise SettingInvalid(
        f"{name} {'holds' if name == _ADDRESS else 'is'} a secret and must not stand here",
        where=origin,
        remedy=f'Set {PREFIX}{name.upper()}, or name a file: {name} = "@/path/to/file".',
    )


_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_PASSWORD = re.compile(r"://[^:/]*:.*@|[?&]password=")
_WHOLE = re.compile(r"//.*@")
_TOKEN = re.compile(r"(?<=[;/]token=)[^;\s]+")


def _shown(name: str, value: str) -> str:
    if name in _SECRETS:
        return "(set)" if value else "(not set)"
    if name == _ADDRESS and _PASSWORD.search(value):
        return _WHOLE.sub("//(hidden)@", value).partition("?")[0]
    value = _TOKEN.sub("(hidden)", value)  # of Spark Connect
    return _CREDENTIALS.sub("//(hidden)@", value)  # a base URL with a password is refused later
