"""One FHIR client per server of the settings: records, studies, write-back."""

from __future__ import annotations

from fhir_adapter.bootstrap.connections import (
    auth_of,
    headers_of,
    network_of,
    posts_searches,
)
from fhir_adapter.bootstrap.profiles import record_profile, write_profile
from fhir_adapter.client import Capability, FhirClient, RetryBudget, Timeouts
from fhir_adapter.errors import NotFhir, OtherVersion, ServerBroken, ServerRefused, SettingInvalid
from fhir_adapter.model.server import ServerProfile
from fhir_adapter.settings import Connection, Settings

_OPTIONS = {
    "record": "--server (or a folder of records, where the command takes one)",
    "study": "--study-server",
    "write": "--write-server",
}


def _client(  # noqa: PLR0913, PLR0917 - one per thing that is known of a server
    base: str,
    token: str,
    connection: Connection,
    name: str,
    profile: ServerProfile | None = None,
    patience: int = 0,
    *,
    takes_r5: bool = True,
) -> FhirClient:
    if not base:
        raise SettingInvalid(
            f"no {name} server is set",
            remedy=f"Give a base URL: {_OPTIONS[name]}, or {name}_server in fhir-adapter.toml.",
        )
    slow = Timeouts(), RetryBudget()
    quick = (
        Timeouts(connect=min(patience, 5), read=patience),
        RetryBudget(tries=2, seconds=patience),
    )
    timeouts, budget = quick if patience else slow
    return FhirClient(
        base,
        auth=auth_of(connection, token, base, name),
        timeouts=timeouts,
        budget=budget,
        headers=headers_of(connection, name),
        prefer_post=posts_searches(connection, name) and not _post_fails(profile),
        network=network_of(connection, base, name),
        takes_r5=takes_r5,
    )


def _post_fails(profile: ServerProfile | None) -> bool:
    return profile is not None and profile.fails("query.post")


def record_client(settings: Settings, *, patience: int = 0, takes_r5: bool = True) -> FhirClient:
    """The server that records come from; with ``patience`` one answer may take so many seconds.

    ``takes_r5=False``: for who does with it what is not proved on a server of R5.
    """
    return _client(
        settings.record_server,
        settings.record_token,
        settings.record,
        "record",
        record_profile(settings),
        patience,
        takes_r5=takes_r5,
    )


def study_client(settings: Settings) -> FhirClient:
    """The server that studies come from; the record server where no other is set."""
    if not settings.study_server:
        if not settings.record_server:
            raise SettingInvalid(
                "no server for studies is set",
                remedy="Give a base URL: --server of `study publish`, --study-server elsewhere, "
                "or study_server in fhir-adapter.toml.",
            )
        return record_client(settings, takes_r5=False)
    return _client(
        settings.study_server, settings.study_token, settings.studies, "study", takes_r5=False
    )


def write_client(settings: Settings) -> FhirClient:
    """The server that proposals go to; the record server where no other is set."""
    if not settings.write_server:
        return record_client(settings)
    return _client(
        settings.write_server,
        settings.write_token,
        settings.write,
        "write",
        write_profile(settings),
    )


def what_it_can(client: FhirClient) -> Capability | None:
    """None where the server does not say: everything is tried then, and read back.

    OtherVersion is raised: a server of another version keeps what it is sent, or half of it.
    """
    try:
        return client.capability()
    except OtherVersion:
        raise
    except (ServerRefused, ServerBroken, NotFhir):
        return None
