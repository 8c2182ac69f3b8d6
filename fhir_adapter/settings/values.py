"""The settings themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from fhir_adapter.errors import SettingInvalid


def _setting(default: str, text: str) -> str:
    return field(default=default, metadata={"help": text})


def _secret(text: str) -> str:
    return field(default="", repr=False, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How one server is reached, beside its address and token; every value as it was written.

    In the environment each stands with its server in front, FHIR_ADAPTER_RECORD_CA_FILE; in the
    file so (``record_ca_file``), or as ``ca_file`` in the table ``[server.record]``.
    """

    smart_client: str = _setting("", "Client id of SMART Backend Services at the {}.")
    smart_key: str = _secret("Private key of that client, PEM or JWK (environment or @file).")
    smart_key_id: str = _setting("", "Its kid; default: the JWK's own, else its thumbprint.")
    smart_scope: str = _setting("", "Scopes to ask for; default: system/*.rs.")
    token_url: str = _setting("", "Token endpoint; default: found by discovery.")
    ca_file: str = _setting("", "PEM of the authorities that the {} is trusted by.")
    client_cert: str = _setting("", "PEM certificate that is shown to the {} (mutual TLS).")
    client_key: str = _setting("", "PEM file with its private key; default: in client_cert.")
    headers: str = _secret("Headers for the {}: NAME: VALUE; NAME: VALUE, or @file.")
    proxy: str = _secret("Proxy to the {}; default: HTTPS_PROXY of the environment.")
    concurrency: str = _setting("5", "Requests at a time to the {}'s host.")
    requests_per_second: str = _setting("", "Most requests a second to that host; default: any.")
    post_search: str = _setting("auto", "auto: searches that name a patient by POST; or never.")
    batch: str = _setting(
        "auto", "Searches of a patient in one batch: auto (where the {} says so), always, never."
    )
    categories: str = _setting(
        "", "Categories by which the {} is searched: Observation: laboratory, ...; Condition: ..."
    )
    profile: str = _setting("", "What `server doctor --profile FILE` found of the {}: that file.")


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
    record_token: str = _secret("Token, or basic:USER:PASSWORD, for the record server.")
    study_token: str = _secret("Token, or basic:USER:PASSWORD, for the study server.")
    write_token: str = _secret("Token, or basic:USER:PASSWORD, for the write-back server.")
    screening_list: str = _setting(
        "off", "Whether writing also keeps a List of the study's proposals there: on, or off."
    )
    site_key: str = _secret("Secret that keys ResearchSubject identifiers (environment or @file).")
    ledger: str = _setting(
        ".fhir-adapter/ledger.sqlite",
        "Where decisions and writes are kept: a SQLite file, or postgresql://USER@HOST/DATABASE.",
    )
    ledger_password: str = _secret(
        "Password of a PostgreSQL ledger (environment or @file), if not in its address."
    )
    retention_days: str = _setting(
        "180", "Days for which values of listed patients are kept: `ledger purge`."
    )
    tokens: str = _setting("", "TOML file of the service's people and programs and their roles.")
    clients: str = _setting("", "TOML file of the EHRs that may call the service's CDS hook.")
    public_url: str = _setting("", "Address at which others reach the service, without path.")
    poll_seconds: str = _setting("30", "How often `watch` asks the record server for changes.")
    overlap_seconds: str = _setting(
        "300", "How far back each poll reads again: servers index late; 180 is the least."
    )
    sweep_hours: str = _setting("24", "How often everybody is read again; a sweep finds nothing.")
    sweep_at: str = _setting(
        "", "Instead: once a day, from this time of the site's zone on (HH:MM, a quiet hour)."
    )
    census: str = _setting(
        "auto",
        "Who is read again where the server cannot be polled: auto, off, encounters, group:ID, "
        "file:PATH (an id per line).",
    )
    census_minutes: str = _setting("60", "How often everybody of the census is read again.")
    watch_workers: str = _setting("2", "How many patients `watch` reads at once.")
    notify_token: str = _secret(
        "Bearer token that the record server's Subscriptions send (environment or @file)."
    )
    engine: str = _setting("duckdb", "What runs the cohort lane's statement: duckdb, or spark.")
    spark_remote: str = _setting(
        "", "Spark session of the cohort lane: sc://HOST:PORT, or local[*] in this process."
    )
    device: str = _setting("fhir-adapter", "Identifier of this installation (Device.identifier).")
    record: Connection = field(default_factory=Connection, metadata={"server": "record server"})
    studies: Connection = field(default_factory=Connection, metadata={"server": "study server"})
    write: Connection = field(default_factory=Connection, metadata={"server": "write-back server"})

    def each_study(self) -> tuple[Settings, ...]:
        """These settings for each study that is named, with commas between them.

        SettingInvalid for a name that is empty or stands there twice.
        """
        names = [name.strip() for name in self.study.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise SettingInvalid(
                "between the commas a study is missing, or one is named twice",
                where="study",
                remedy="Name each study once: --study A,B.",
            )
        return tuple(replace(self, study=name) for name in names)


_PREFIXES = {"record": "record", "study": "studies", "write": "write"}
"""First word of a setting's name -> field of Settings."""
_OWN = tuple(entry.name for entry in fields(Settings) if "help" in entry.metadata)
_OF_CONNECTION = tuple(entry.name for entry in fields(Connection))
_SECRETS = ("site_key", "ledger_password", "notify_token")
_NOT_OF = {
    "study": frozenset({"batch", "categories", "profile"}),
    "write": frozenset({"batch", "categories"}),
}
"""What would change nothing for a server."""
ADDRESS = "ledger"
"""A setting that is no secret unless a password stands in it."""
SECRETS = frozenset(
    [*_SECRETS, *(f"{prefix}_{name}" for prefix in _PREFIXES for name in ("token", "smart_key"))]
)
FROM_FILE = SECRETS | {f"{prefix}_headers" for prefix in _PREFIXES}
"""Settings whose value may stand in a file of its own: @path."""
KEYS = frozenset(f"{prefix}_smart_key" for prefix in _PREFIXES)
"""Private keys: a file that others may read is refused."""
_COUNTS = (
    *("retention_days", "poll_seconds", "overlap_seconds", "sweep_hours", "census_minutes"),
    "watch_workers",
)
NUMBERS = frozenset(_COUNTS) | frozenset(
    f"{prefix}_{name}" for prefix in _PREFIXES for name in ("concurrency", "requests_per_second")
)


def setting_names() -> tuple[str, ...]:
    """Name of every setting, as in the file."""
    return _OWN + tuple(f"{prefix}_{name}" for prefix in _PREFIXES for name in _names(prefix))


def _names(prefix: str) -> tuple[str, ...]:
    """What can be said of one server's connection."""
    return tuple(n for n in _OF_CONNECTION if n not in _NOT_OF.get(prefix, ()))


def is_of_connection(name: str) -> bool:
    """Whether it says how one of the servers is reached."""
    return name not in _OWN


def table_names(prefix: str) -> tuple[str, ...]:
    """What may stand in the table ``[server.PREFIX]``; empty where there is no such server."""
    return ("url", "token", *_names(prefix)) if prefix in _PREFIXES else ()


def of_table(prefix: str, name: str) -> str:
    """``url`` of ``[server.record]`` is record_server, every other key goes by its own name."""
    return f"{prefix}_server" if name == "url" else f"{prefix}_{name}"


def spelled(name: str) -> str:
    """A setting as it may have been written: flat, or by its key in a table.

    >>> spelled("record_ca_file"), spelled("site_key")
    ('record_ca_file (ca_file in [server.record])', 'site_key')
    """
    for prefix in _PREFIXES:
        for key in table_names(prefix):
            if of_table(prefix, key) == name:
                return f"{name} ({key} in [server.{prefix}])"
    return name


def servers() -> tuple[str, ...]:
    """The tables that there are."""
    return tuple(_PREFIXES)


def value_of(settings: Settings, name: str) -> str:
    """The value of one setting by its name."""
    if name in _OWN:
        return str(getattr(settings, name))
    prefix, _, own = name.partition("_")
    return str(getattr(getattr(settings, _PREFIXES[prefix]), own))


def help_of(name: str) -> str:
    """What one setting is for."""
    if name in _OWN:
        return next(str(e.metadata["help"]) for e in fields(Settings) if e.name == name)
    prefix, _, own = name.partition("_")
    text = next(str(e.metadata["help"]) for e in fields(Connection) if e.name == own)
    server = next(e.metadata["server"] for e in fields(Settings) if e.name == _PREFIXES[prefix])
    return text.format(server)


def made_of(values: dict[str, str]) -> Settings:
    """Settings from values by name."""
    own: dict[str, Any] = {name: value for name, value in values.items() if name in _OWN}
    return Settings(
        **own,
        record=_made(values, "record"),
        studies=_made(values, "study"),
        write=_made(values, "write"),
    )


def _made(values: dict[str, str], prefix: str) -> Connection:
    named = {own: f"{prefix}_{own}" for own in _OF_CONNECTION}
    return Connection(**{own: values[name] for own, name in named.items() if name in values})
