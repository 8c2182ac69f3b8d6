"""A connection as it stands in the settings -> how one server is reached, checked by name."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path
from threading import Lock
from uuid import uuid4

from fhir_adapter.client import (
    Auth,
    BasicAuth,
    BearerAuth,
    Gate,
    Network,
    SmartClient,
    origin_of,
    signing_key,
    smart_auth,
)
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.settings import Connection, spelled
from fhir_adapter.settings.keyfiles import refuse_open_key

_MOST_AT_ONCE = 64
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OUR_OWN = re.compile(
    r"accept|authorization|cache-control|connection|content-.*|cookie|expect|host|if-.*|prefer"
    r"|proxy-.*|range|te|trailer|transfer-encoding|upgrade|user-agent",
    re.IGNORECASE,
)
"""Headers that the client sets itself."""

_gates: dict[tuple[object, ...], Gate] = {}
_gates_lock = Lock()


def network_of(connection: Connection, base: str, name: str) -> Network:
    """Certificates, proxy and gate; ``name`` is the server's first word in the settings."""
    return Network(
        ca_file=_authorities(connection.ca_file, f"{name}_ca_file"),
        client_cert=_client_cert(connection, name),
        proxy=_proxy(connection.proxy, f"{name}_proxy"),
        gate=_gate(connection, base, name),
    )


def headers_of(connection: Connection, name: str) -> dict[str, str]:
    """``NAME: VALUE; NAME: VALUE``, or one on each line of a file."""
    found: dict[str, str] = {}
    for one in re.split(r"[;\n]", connection.headers):
        if one.strip():
            header, colon, value = (part.strip() for part in one.partition(":"))
            if not (colon and _HEADER_NAME.fullmatch(header) and _HEADER_VALUE.fullmatch(value)):
                raise SettingInvalid(
                    f"{spelled(f'{name}_headers')} cannot be read",
                    remedy='Write it as "X-Tenant-ID: a; X-Other: b".',
                )
            if _OUR_OWN.fullmatch(header):
                raise SettingInvalid(
                    f"{spelled(f'{name}_headers')} names {header}, which the client sets itself",
                    remedy=f"Leave it out; credentials belong in {name}_token or the smart ones.",
                )
            found[header] = value
    return found


def auth_of(connection: Connection, token: str, base: str, name: str) -> Auth | None:
    """SMART Backend Services, a bearer token, ``basic:USER:PASSWORD``, or nothing."""
    if not connection.smart_client and not connection.smart_key:
        return _simple_auth(token, name)
    if token:
        raise SettingInvalid(
            f"{spelled(f'{name}_token')} and {spelled(f'{name}_smart_client')} are two ways to say "
            "who calls",
            remedy="Leave one of them out.",
        )
    for missing in ("smart_client", "smart_key"):
        if not getattr(connection, missing):
            raise SettingInvalid(
                f"{spelled(f'{name}_{missing}')} is not set",
                remedy=f"SMART Backend Services wants {name}_smart_client, the client id as "
                f"registered, and {name}_smart_key, its private key (@file).",
            )
    client = SmartClient(
        client_id=connection.smart_client,
        key=signing_key(connection.smart_key, key_id=connection.smart_key_id),
        scope=connection.smart_scope,
        token_url=connection.token_url,
    )
    return smart_auth(
        base,
        client,
        now=time.time,
        new_id=lambda: str(uuid4()),
        network=network_of(connection, base, name),
        headers=headers_of(connection, name),
    )


def posts_searches(connection: Connection, name: str) -> bool:
    """Whether searches that name a patient go by POST where the server can."""
    if connection.post_search not in {"auto", "never"}:
        raise SettingInvalid(
            f"{spelled(f'{name}_post_search')} is unknown", remedy="Write auto or never."
        )
    return connection.post_search == "auto"


def _simple_auth(secret: str, name: str) -> Auth | None:
    if not secret:
        return None
    if not secret.startswith("basic:"):
        if not _HEADER_VALUE.fullmatch(secret):
            raise SettingInvalid(
                f"the token of the {name} server holds a line break, or a sign that no header may",
                remedy=f"Give {spelled(f'{name}_token')} the token alone, on one line.",
            )
        return BearerAuth(lambda: secret)
    user, colon, password = secret.removeprefix("basic:").partition(":")
    if not colon:
        raise SettingInvalid(
            f"the credentials of the {name} server have no password",
            remedy="Write them as basic:USER:PASSWORD.",
        )
    return BasicAuth(user, password)


def _client_cert(connection: Connection, name: str) -> str | tuple[str, str] | None:
    cert = _file(connection.client_cert, f"{name}_client_cert")
    key = _file(connection.client_key, f"{name}_client_key")
    if cert is None:
        if key is not None:
            raise SettingInvalid(
                f"{spelled(f'{name}_client_key')} is set and {name}_client_cert is not",
                remedy="Set both.",
            )
        return None
    refuse_open_key(Path(key or cert), spelled(f"{name}_client_{'key' if key else 'cert'}"))
    return cert if key is None else (cert, key)


def _authorities(path: str, name: str) -> str | None:
    """A file with a certificate in it: else each request would fail as if the server broke off."""
    found = _file(path, name)
    if found is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(found)
        except (ssl.SSLError, OSError):
            raise SettingInvalid(
                f"the file named by {spelled(name)} holds no certificate that can be read",
                remedy="Name a PEM file: it begins with -----BEGIN CERTIFICATE-----.",
            ) from None
    return found


def _file(path: str, name: str) -> str | None:
    """An absolute path to a file that can be read; None where none is set."""
    if not path:
        return None
    found = Path(path.removeprefix("@"))
    try:
        with found.open("rb"):
            return str(found.absolute())
    except OSError:
        raise SettingInvalid(
            f"the file named by {spelled(name)} cannot be read",
            remedy="Check the path and its rights.",
        ) from None


def _proxy(text: str, name: str) -> str:
    if text and origin_of(text) is None:
        raise SettingInvalid(f"{spelled(name)} is no address", remedy="Write http://HOST:PORT.")
    return text


def _gate(connection: Connection, base: str, name: str) -> Gate:
    """One for all clients of a host that are limited alike, in this process."""
    at_once = _number(connection.concurrency or "0", f"{name}_concurrency")
    if not at_once.is_integer() or not 1 <= at_once <= _MOST_AT_ONCE:
        raise SettingInvalid(
            f"{spelled(f'{name}_concurrency')} is no number from 1 to {_MOST_AT_ONCE}",
            remedy="Most servers bear 5.",
        )
    per_second = _number(connection.requests_per_second or "0", f"{name}_requests_per_second")
    key = (origin_of(base), at_once, per_second)
    with _gates_lock:
        if key not in _gates:
            _gates[key] = Gate(concurrency=int(at_once), per_second=per_second)
        return _gates[key]


def _number(text: str, name: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise SettingInvalid(f"{spelled(name)} is no number", remedy="Write it as 5, or 2.5.")
    return found
