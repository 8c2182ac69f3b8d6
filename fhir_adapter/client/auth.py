"""Credentials for one server. No secret shows in a repr, an error or a log line."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Auth(Protocol):
    """Gives the Authorization header, and another one after the server refused the first."""

    def header(self) -> str:
        """Value of the Authorization header for the next request."""
        ...

    def renewed(self, refused: str) -> str:
        """Header to try once after a 401; equal to ``refused`` where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """User and password (RFC 7617, UTF-8).

    >>> BasicAuth("user", "secret")
    BasicAuth()
    """

    user: str = field(repr=False)
    password: str = field(repr=False)

    def header(self) -> str:
        """``Basic`` and the encoded pair."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    def renewed(self, refused: str) -> str:
        """A password does not renew itself."""
        return refused


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """A token that a provider hands out; the provider keeps it and knows when it expires.

    After a 401 ``renew`` is asked (``token`` again where there is none) and the request is sent
    once more if that gave another token.

    >>> BearerAuth(lambda: "secret")
    BearerAuth()
    """

    token: Callable[[], str] = field(repr=False)
    renew: Callable[[], str] | None = field(default=None, repr=False)

    def header(self) -> str:
        """``Bearer`` and the token."""
        return f"Bearer {self.token()}"

    def renewed(self, refused: str) -> str:
        """``Bearer`` and what ``renew`` gives."""
        del refused
        return f"Bearer {(self.renew or self.token)()}"
