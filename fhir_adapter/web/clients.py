"""Clients of the hook: pinned issuer, keys, audience and algorithms; every token used once.

CDS Hooks 2.0.1, trusting CDS Clients. The address of a key set that a token names (jku) must equal
the configured text and is never fetched; keys come from a file. Every fault is one 401 without why.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from fastapi import Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.fhir.reading import is_array
from fhir_adapter.web.outcomes import Refusal

_UNKNOWN_CALLER = "a valid token is needed: send Authorization: Bearer TOKEN"

ALGORITHMS = ("ES384", "RS384", "ES256", "RS256", "ES512", "RS512", "PS384")
LEEWAY = 60
LONGEST_TOKEN = 8 * 1024
"""Characters of a token: a client's takes about 500."""
LONGEST_ID = 256
LONGEST = 15 * 60
"""Seconds that a client's token may live, where its entry says nothing else."""
_SECOND = 1_000_000


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    name: str
    issuer: str
    keys: str
    """File with the client's JWK Set, beside this one."""
    jku: str = ""
    subject: str = ""
    algorithms: tuple[str, ...] = ("ES384", "RS384")
    audiences: tuple[str, ...] = ()
    fhir_server: str = ""
    origins: tuple[str, ...] = ()
    longest: int = LONGEST


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    client: tuple[_Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookClient:
    """One EHR that may call the hook."""

    name: str
    issuer: str
    keys: KeySet
    jku: str = ""
    subject: str = ""
    algorithms: tuple[str, ...] = ("ES384", "RS384")
    audiences: tuple[str, ...] = ()
    """Other texts that this hospital has typed in as our address."""
    fhir_server: str = ""
    origins: tuple[str, ...] = ()
    longest: int = LONGEST


def load_clients(path: Path) -> tuple[HookClient, ...]:
    """The clients of a TOML file; SettingInvalid names what is wrong."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
        return tuple(_client(entry, path.parent) for entry in found.client)
    except (OSError, ValueError, JoseError) as fault:
        raise SettingInvalid(
            f"the clients of the hook cannot be read ({type(fault).__name__})",
            where=path.name,
            remedy="Each [[client]] has name, issuer and keys (a JWK Set file beside it).",
        ) from None


def _client(entry: _Entry, folder: Path) -> HookClient:
    weak = set(entry.algorithms) - set(ALGORITHMS)
    if weak:
        raise ValueError(f"algorithm {min(weak)}")
    keys = KeySet.import_key_set(json.loads((folder / entry.keys).read_text("utf-8")))
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "keys"}
    return HookClient(**fields, keys=keys)


class Gatekeeper:
    """Verifies the token of every call of the hook; ``used`` marks one and says if it was new."""

    def __init__(
        self,
        clients: tuple[HookClient, ...],
        *,
        public_url: str,
        now: Callable[[], int],
        used: Callable[[str, str, int], bool],
    ) -> None:
        self._clients = {client.issuer: client for client in clients}
        self._public_url = public_url.rstrip("/")
        self._now = now
        self._used = used

    @property
    def origins(self) -> tuple[str, ...]:
        """Browser origins that may call."""
        return tuple(origin for client in self._clients.values() for origin in client.origins)

    def client(self, request: Request, path: str) -> HookClient:
        """The client behind a call of ``path``; 401 for any fault, always the same."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._verified(token.strip(), path) if kind.lower() == "bearer" else None
        if found is None:
            raise Refusal(
                401,
                _UNKNOWN_CALLER,
                (("WWW-Authenticate", "Bearer"),),
            )
        return found

    def _verified(self, token: str, path: str) -> HookClient | None:
        try:
            client = self._clients.get(_issuer(token)) if len(token) <= LONGEST_TOKEN else None
            if client is None:
                return None
            read = jwt.decode(token, client.keys, algorithms=list(client.algorithms))
        except (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None
        claims = cast("Mapping[str, Any]", read.claims)
        good = self._header_fits(client, read.header) and self._claims_fit(client, claims, path)
        return client if good and self._is_new(client, claims) else None

    def _header_fits(self, client: HookClient, header: Mapping[str, Any]) -> bool:
        named = "kid" in header and header.get("typ", "JWT") == "JWT"
        return named and header.get("jku", client.jku) == client.jku

    def _claims_fit(self, client: HookClient, claims: Mapping[str, Any], path: str) -> bool:
        now = self._now() // _SECOND
        ends, began, start = claims.get("exp"), claims.get("iat"), claims.get("nbf", now)
        if not all(_is_number(one) for one in (ends, began, start)):
            return False
        assert ends is not None
        assert began is not None
        in_time = now - LEEWAY < ends <= began + client.longest + LEEWAY
        started = began <= now + LEEWAY and start <= now + LEEWAY
        subject = not client.subject or claims.get("sub") == client.subject
        return in_time and started and subject and self._is_for_us(client, claims, path)

    def _is_for_us(self, client: HookClient, claims: Mapping[str, Any], path: str) -> bool:
        sent = claims.get("aud")
        listed = sent if is_array(sent) else [sent]
        named = {one for one in listed if isinstance(one, str)}
        service = f"{self._public_url}{path}"
        return not named.isdisjoint((service, service.removesuffix("/feedback"), *client.audiences))

    def _is_new(self, client: HookClient, claims: Mapping[str, Any]) -> bool:
        token = claims.get("jti")
        if not isinstance(token, str) or not 0 < len(token) <= LONGEST_ID:
            return False
        if not token.isprintable():
            return False
        return self._used(client.issuer, token, (int(claims["exp"]) + LEEWAY) * _SECOND)


def _issuer(token: str) -> str:
    """The issuer that a token claims, read before it is verified: it only picks the keys."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["iss"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
