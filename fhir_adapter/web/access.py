"""Who may do what: bearer tokens with roles for people and programs, sessions for pages.

Default deny. Tokens stand in a TOML file as SHA-256 only; a session is a random id in a cookie that
no script can read and no other site can send. Without a token file the service answers nobody,
except in the demonstration, which listens on loopback only.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from fastapi import Request

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.web.outcomes import Refusal

_UNKNOWN_CALLER = "a valid token is needed: send Authorization: Bearer TOKEN"
_ROLE = "this role may not do that: the tokens file says which roles a token has"

ROLES = ("coordinator", "investigator", "physician", "integrator", "auditor", "monitor")
COOKIE = "fhir_adapter_session"
SESSION_SECONDS = 8 * 3600
REVEAL_SECONDS = 15 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    name: str
    roles: frozenset[str]
    studies: frozenset[str] = frozenset()
    """Empty: all studies of the service."""

    def sees(self, study: str) -> bool:
        """Whether the delegation covers a study."""
        return not self.studies or study in self.studies


DEMO = Caller(name="demo", roles=frozenset(ROLES))


class _Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    sha256: str
    roles: tuple[str, ...]
    studies: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    token: tuple[_Token, ...] = ()


def load_tokens(path: Path) -> dict[str, Caller]:
    """SHA-256 of a token -> who holds it; SettingInvalid names what is wrong, never a hash."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
    except FileNotFoundError:
        raise SettingInvalid(
            "the token file does not exist", where=path.name, remedy="Check the tokens setting."
        ) from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        raise SettingInvalid(
            f"not a token file ({type(fault).__name__})",
            where=path.name,
            remedy="Each [[token]] has name, sha256, roles and, if need be, studies.",
        ) from None
    unknown = {role for token in found.token for role in token.roles} - set(ROLES)
    if unknown:
        raise SettingInvalid(
            f"unknown role {min(unknown)!r}", where=path.name, remedy=f"Use {', '.join(ROLES)}."
        )
    return {
        token.sha256.lower(): Caller(
            name=token.name, roles=frozenset(token.roles), studies=frozenset(token.studies)
        )
        for token in found.token
    }


@dataclass(slots=True)
class _Session:
    caller: Caller
    ends: float
    reveals: dict[str, float] = field(default_factory=dict[str, float])
    """What was revealed (a study) -> until when."""


class Access:
    """Tokens and sessions of one process."""

    def __init__(self, tokens: dict[str, Caller], *, open_to_all: bool = False) -> None:
        self._tokens = tokens
        self._open = open_to_all
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def caller(self, request: Request) -> Caller:
        """Who asks: by bearer token, else by session; 401 where nobody does."""
        found = self._by_token(request) or self._by_session(request)
        if found is not None:
            return found
        if self._open:
            return DEMO
        raise Refusal(
            401,
            _UNKNOWN_CALLER,
            (("WWW-Authenticate", "Bearer"),),
        )

    def need(self, request: Request, *roles: str, study: str = "") -> Caller:
        """The caller where one of these roles is held for the study; 403 otherwise."""
        found = self.caller(request)
        if found.roles.isdisjoint(roles) or (study and not found.sees(study)):
            raise Refusal(403, _ROLE)
        return found

    def _by_token(self, request: Request) -> Caller | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return self.holder(token) if kind.lower() == "bearer" else None

    def holder(self, token: str) -> Caller | None:
        """Who holds a token; None for nobody."""
        return self._tokens.get(hashlib.sha256(token.strip().encode()).hexdigest())

    def _by_session(self, request: Request) -> Caller | None:
        session = self._session(request)
        return None if session is None else session.caller

    def _session(self, request: Request) -> _Session | None:
        found = self._sessions.get(request.cookies.get(COOKIE, ""))
        return found if found is not None and found.ends > time.monotonic() else None

    def start(self, caller: Caller) -> str:
        """A new session: the value of its cookie."""
        now = time.monotonic()
        name = secrets.token_urlsafe(32)
        with self._lock:
            over = [key for key, one in self._sessions.items() if one.ends <= now]
            for key in over:
                del self._sessions[key]
            self._sessions[name] = _Session(caller, now + SESSION_SECONDS)
        return name

    def end(self, request: Request) -> None:
        """Forget the session of a request."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)

    def session_or_new(self, request: Request) -> tuple[str, bool]:
        """The session of a request (the demonstration makes one); and whether it is new."""
        if self._session(request) is not None:
            return request.cookies[COOKIE], False
        return self.start(self.caller(request)), True

    def reveal(self, session: str, what: str) -> None:
        """Show identifiers of one list for a short time."""
        self._sessions[session].reveals[what] = time.monotonic() + REVEAL_SECONDS

    def is_revealed(self, request: Request, what: str) -> bool:
        """Whether identifiers of this list are shown to this session now."""
        session = self._session(request)
        return session is not None and session.reveals.get(what, 0) > time.monotonic()


def same_site(request: Request) -> None:
    """A form must come from our own pages: 403 where the browser says that it does not."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none"):
        raise Refusal(403, "this form must be sent from our own page")


def roles_text(roles: Iterable[str]) -> str:
    """Roles as a page shows them."""
    return ", ".join(sorted(roles))
