"""The token endpoint: found by discovery or named, asked for a token, its refusals explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

from fhir_adapter.client.outcomes import Answered
from fhir_adapter.client.retry import moment
from fhir_adapter.client.scopes import scope_for
from fhir_adapter.client.transport import Answer, Asked, Transport
from fhir_adapter.client.urls import is_followed, query
from fhir_adapter.errors import (
    AdapterError,
    ServerRefused,
    ServerThrottled,
    SettingInvalid,
)
from fhir_adapter.fhir.wire import as_object, decode_any

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT_LIFE = 300
"""Seconds that a token is taken to live where ``expires_in`` is missing (SMART: at most 300)."""
_SKEW = 60
"""Seconds by which two clocks may differ before that is named."""
_BUSY = frozenset({429, 502, 503, 504})
_REFUSES_CLIENT = frozenset({400, 401, 403})
_CLOCK_FAULTS = frozenset({"invalid_client", "invalid_grant"})


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and how long it lives."""

    token: str = field(repr=False)
    seconds: int


class TokenEndpoint:
    """Where tokens for one FHIR server come from; ``transport`` is bound to that server's base.

    Without ``url`` it is asked for once, at ``.well-known/smart-configuration``. The endpoint may
    have another origin: it is sent the assertion and nothing else.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        scope: str,
        now: Callable[[], float],
        url: str = "",
    ) -> None:
        self._transport = transport
        self._scope = scope
        self._now = now
        self._url = url
        self._found: tuple[str, str] | None = None

    def granted(self, assertion: Callable[[str], str]) -> Granted:
        """A token for an assertion that is made for the address of the endpoint."""
        url, scope = self._place()
        where = _plain(url)

        def asked() -> Asked:
            return Asked(
                method="POST",
                url=url,
                where=where,
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                body=_form(scope, assertion(url)),
            )

        answer = self._transport.ask_elsewhere(asked)
        body = as_object(decode_any(answer.body))
        if answer.status != HTTPStatus.OK:
            raise self._refusal(answer, body, where)
        return _token(body, where)

    def _place(self) -> tuple[str, str]:
        """Address and scope."""
        if self._found is None:
            said = {} if self._url and not _may_need_v1(self._scope) else self._configuration()
            url = self._url or self._stated(said)
            if not is_followed(url, self._transport.base):
                raise SettingInvalid(
                    "the token endpoint is not reached by https", remedy=_SET_TOKEN_URL
                )
            self._found = url, scope_for(self._scope, said)
        return self._found

    def _configuration(self) -> dict[str, Any]:
        """What discovery says; empty where it is not there."""
        url = f"{self._transport.base}/.well-known/smart-configuration"
        asked = Asked(method="GET", url=url, where=self._transport.base, headers={"Accept": _JSON})
        answer = self._transport.ask_elsewhere(lambda: asked)
        if answer.status in _BUSY:
            raise ServerThrottled(
                f"the server answered {answer.status} when asked for its SMART configuration",
                where=self._transport.base,
                remedy="Run later.",
            )
        return as_object(decode_any(answer.body)) if answer.status == HTTPStatus.OK else {}

    def _stated(self, said: dict[str, Any]) -> str:
        found = said.get("token_endpoint")
        if not isinstance(found, str) or not found:
            raise _refused(
                "its .well-known/smart-configuration names no token endpoint",
                self._transport.base,
                _SET_TOKEN_URL,
            )
        return urljoin(f"{self._transport.base}/", found)

    def _refusal(self, answer: Answer, body: dict[str, Any], where: str) -> AdapterError:
        code = str(body.get("error"))
        known = code if code in _REMEDIES else "no OAuth error code"
        said = f"the token endpoint answered {answer.status} ({known})"
        if answer.status in _BUSY:
            return ServerThrottled(said, where=where, remedy="Run later.")
        skew = self._skew(answer) if code in _CLOCK_FAULTS else 0
        if abs(skew) > _SKEW:
            way = "ahead of" if skew > 0 else "behind"
            said = f"{said}; this machine's clock is {abs(skew)} seconds {way} the server's"
            return _refused(said, where, _SET_CLOCK)
        return _refused(said, where, _REMEDIES.get(code) or _by_status(answer.status))

    def _skew(self, answer: Answer) -> int:
        """Our clock minus the server's, in seconds; 0 where it does not say."""
        theirs = moment(answer.headers.get("Date", ""))
        return round(self._now() - theirs.timestamp()) if theirs is not None else 0


def _refused(said: str, where: str, remedy: str) -> ServerRefused:
    """As a 401: whoever pulls ends there, and does not ask for a token type by type."""
    fault = ServerRefused(said, where=where, remedy=remedy)
    fault.__cause__ = Answered(HTTPStatus.UNAUTHORIZED)
    return fault


_JSON = "application/json"
_SET_CLOCK = "Set this machine's clock (NTP): an assertion lives for minutes only."
_SET_TOKEN_URL = "Name the server's token endpoint in the setting token_url."  # noqa: S105 - prose
_KEY = (
    "The client id or key is not known there, or the key has expired: register the public key "
    "under the kid in use (settings smart_client, smart_key, smart_key_id), and check that "
    "token_url is the address that the server calls its own."
)
_BROKEN = (
    "Nothing to set here: that endpoint failed by itself. Try later; its operator's log has the "
    "cause."
)
_REMEDIES = {
    "invalid_client": _KEY,
    "invalid_grant": _KEY,
    "invalid_request": f"{_KEY} Some servers say so of a jti or kid that they do not take.",
    "invalid_scope": "Ask for the scopes that the doctor lists, or set smart_scope to those that "
    "were granted at registration.",
    "unauthorized_client": "Have client_credentials (SMART Backend Services) allowed for this "
    "client id.",
    "unsupported_grant_type": "This server has no SMART Backend Services at that address: check "
    "token_url.",
}
"""Error codes of RFC 6749, 5.2; another word is not repeated, it could be any text."""


def _by_status(status: int) -> str:
    """Without an error code that is known: what the status alone tells of."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BROKEN
    return _KEY if status in _REFUSES_CLIENT else _SET_TOKEN_URL


def _may_need_v1(scope: str) -> bool:
    return not scope or ".read" not in scope


def _form(scope: str, assertion: str) -> bytes:
    return query(
        {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion,
        }
    ).encode("ascii")


def _token(body: dict[str, Any], where: str) -> Granted:
    token, kind = body.get("access_token"), str(body.get("token_type", "bearer"))
    usable = isinstance(token, str) and token.isascii() and token.isprintable() and token
    if not usable or kind.lower() != "bearer":
        raise _refused("its answer is no bearer token", where, _SET_TOKEN_URL)
    seconds = body.get("expires_in")
    life = seconds if isinstance(seconds, int) and seconds > 0 else _DEFAULT_LIFE
    return Granted(str(token), life)


def _plain(url: str) -> str:
    """An address without query and credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
