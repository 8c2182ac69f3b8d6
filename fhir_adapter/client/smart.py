"""SMART Backend Services: a token for this program, renewed before it dies (SMART 2.2, 4.2).

One object serves all threads of one connection. While a token lives only one thread renews it and
the others go on with it; a renewal that fails leaves the old one in use for as long as it lives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from fhir_adapter.client.keys import SigningKey
from fhir_adapter.client.network import Network
from fhir_adapter.client.retry import RetryBudget
from fhir_adapter.client.token_endpoint import TokenEndpoint
from fhir_adapter.client.transport import Timeouts, Transport
from fhir_adapter.client.urls import base_of
from fhir_adapter.errors import ServerFault

ASSERTION_SECONDS = 300
"""Longest life of an assertion (SMART client-confidential-asymmetric, ``exp``)."""
_ASSERTED = 240
"""Seconds that ours live: a minute less, for the server's clock may be behind."""
_RENEWED_AT = 0.8
_PATIENCE = 15.0
"""Seconds before a failed renewal is tried again while the old token lives."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float
    dies_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartClient:
    """What this program is to a server: as registered there, and where its tokens come from."""

    client_id: str
    key: SigningKey
    scope: str = ""
    """Empty: system/*.rs, or system/*.read where the server says that it has no v2."""
    token_url: str = ""
    """Empty: found by discovery."""


class SmartAuth:
    """Auth by ``client_credentials`` with ``private_key_jwt``.

    ``now`` is the time since 1970 in seconds, ``new_id`` gives each assertion its own jti.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        *,
        client_id: str,
        key: SigningKey,
        now: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._endpoint = endpoint
        self._client_id = client_id
        self._key = key
        self._now = now
        self._new_id = new_id
        self._token: _Token | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return "SmartAuth()"

    def header(self) -> str:
        """``Bearer`` and a token that lives."""
        token, now = self._token, self._now()
        if token is not None and now < token.renew_at:
            return _bearer(token)
        lives = token is not None and now < token.dies_at
        if not self._lock.acquire(blocking=not lives):
            assert token is not None  # somebody renews it
            return _bearer(token)
        try:
            return _bearer(self._kept_or_new())
        finally:
            self._lock.release()

    def renewed(self, refused: str) -> str:
        """A new token after a 401, unless another thread has one already."""
        with self._lock:
            token = self._token
            if token is None or _bearer(token) == refused:
                token = self._token = self._fetched()
            return _bearer(token)

    def _kept_or_new(self) -> _Token:
        token, now = self._token, self._now()
        if token is not None and now < token.renew_at:
            return token
        try:
            self._token = self._fetched()
        except ServerFault:
            if token is None or now >= token.dies_at:
                raise
            self._token = _Token(token.value, now + _PATIENCE, token.dies_at)
        return self._token

    def _fetched(self) -> _Token:
        asked_at = self._now()
        found = self._endpoint.granted(self._assertion)
        life = float(found.seconds)
        return _Token(found.token, asked_at + _RENEWED_AT * life, asked_at + life)

    def _assertion(self, audience: str) -> str:
        """Signed anew for each request: a server refuses a jti that it has seen."""
        now = int(self._now())
        expires = now + _ASSERTED
        assert expires <= now + ASSERTION_SECONDS
        return self._key.signed(
            {
                "iss": self._client_id,
                "sub": self._client_id,
                "aud": audience,
                "iat": now,
                "exp": expires,
                "jti": self._new_id(),
            }
        )


def _bearer(token: _Token) -> str:
    return f"Bearer {token.value}"


def smart_auth(
    base_url: str,
    client: SmartClient,
    *,
    now: Callable[[], float],
    new_id: Callable[[], str],
    network: Network | None = None,
    headers: dict[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> SmartAuth:
    """SmartAuth for the server at ``base_url``; nothing is sent before the first request."""
    transport = Transport(
        base_of(base_url),
        auth=None,
        timeouts=Timeouts(read=30.0),
        budget=RetryBudget(),
        sleep=sleep,
        headers=headers or {},
        network=network or Network(),
    )
    endpoint = TokenEndpoint(transport, scope=client.scope, now=now, url=client.token_url)
    return SmartAuth(endpoint, client_id=client.client_id, key=client.key, now=now, new_id=new_id)
