"""One FHIR client per server of the settings: records, studies, write-back."""

from __future__ import annotations

from fhir_adapter.client import BasicAuth, BearerAuth, FhirClient, RetryBudget, Timeouts
from fhir_adapter.client.auth import Auth
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.settings import Settings

_OPTIONS = {
    "record_server": "--server (or a folder of records, where the command takes one)",
    "study_server": "--study-server",
    "write_server": "--write-server",
}


def _client(base: str, token: str, name: str, patience: int = 0) -> FhirClient:
    if not base:
        raise SettingInvalid(
            f"no {name.replace('_', ' ')} is set",
            remedy=f"Give a base URL: {_OPTIONS[name]}, or {name} in fhir-adapter.toml.",
        )
    if not patience:
        return FhirClient(base, auth=_auth(token, name))
    return FhirClient(
        base,
        auth=_auth(token, name),
        timeouts=Timeouts(connect=min(patience, 5), read=patience),
        budget=RetryBudget(tries=2, seconds=patience),
    )


def _auth(secret: str, name: str) -> Auth | None:
    """A bearer token, ``basic:USER:PASSWORD``, or nothing."""
    if not secret:
        return None
    if not secret.startswith("basic:"):
        return BearerAuth(lambda: secret)
    user, colon, password = secret.removeprefix("basic:").partition(":")
    if not colon:
        raise SettingInvalid(
            f"the credentials of the {name.replace('_', ' ')} have no password",
            remedy="Write them as basic:USER:PASSWORD.",
        )
    return BasicAuth(user, password)


def record_client(settings: Settings, *, patience: int = 0) -> FhirClient:
    """The server that records come from; with ``patience`` one answer may take so many seconds."""
    return _client(settings.record_server, settings.record_token, "record_server", patience)


def study_client(settings: Settings) -> FhirClient:
    """The server that studies come from; the record server where no other is set."""
    if not settings.study_server:
        if not settings.record_server:
            raise SettingInvalid(
                "no server for studies is set",
                remedy="Give a base URL: --server of `study publish`, --study-server elsewhere, "
                "or study_server in fhir-adapter.toml.",
            )
        return record_client(settings)
    return _client(settings.study_server, settings.study_token, "study_server")


def write_client(settings: Settings) -> FhirClient:
    """The server that proposals go to; the record server where no other is set."""
    if not settings.write_server:
        return record_client(settings)
    return _client(settings.write_server, settings.write_token, "write_server")
