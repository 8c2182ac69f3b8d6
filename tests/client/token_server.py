"""A FHIR server with a token endpoint that verifies assertions as strictly as SMART has it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey


@dataclass
class TokenServer:
    """Tokens are "t1", "t2", ...; a FHIR read wants one of those that still live."""

    key: ECKey | RSAKey
    url: str = ""
    life: object = 300
    clock: float = 1_800_000_000.0
    """Of the server; its Date header says so."""
    smart: dict[str, Any] = field(default_factory=dict[str, Any])
    """SMART configuration beside the token endpoint."""
    discovery: int = 200
    """Status of its SMART configuration."""
    refusals: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list[Any])
    """Answers of the token endpoint before it works."""
    wait: threading.Event | None = None
    """Held by the token endpoint until it is set."""
    forms: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    claims: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    sent: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Method and path of every request, with what Authorization said."""
    used: set[str] = field(default_factory=set[str])
    dead: set[str] = field(default_factory=set[str])
    number: int = 0

    @property
    def token_url(self) -> str:
        return f"{self.url.removesuffix('/fhir')}/auth/token"

    def grant(self, form: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        self.forms.append(form)
        if self.wait is not None:
            self.wait.wait(20)
        if self.refusals:
            return self.refusals.pop(0)
        fault = self._fault(form)
        if fault:
            return 400, {"error": fault, "error_description": "canary-text"}, {}
        self.number += 1
        body = {"access_token": f"t{self.number}", "token_type": "bearer", "expires_in": self.life}
        return 200, body, {}

    def _fault(self, form: dict[str, str]) -> str:
        if form.get("grant_type") != "client_credentials":
            return "unsupported_grant_type"
        if not form["client_assertion_type"].endswith(":jwt-bearer"):
            return "invalid_request"
        try:
            token = jwt.decode(form["client_assertion"], self.key, algorithms=["RS384", "ES384"])
        except (JoseError, ValueError):
            return "invalid_client"
        claims = dict(token.claims)
        self.claims.append(claims)
        self.headers.append(dict(token.header))
        good = (
            claims["iss"] == claims["sub"] == "me"
            and claims["aud"] == self.token_url
            and self.clock < claims["exp"] <= self.clock + 300
            and claims["jti"] not in self.used
        )
        self.used.add(claims["jti"])
        return "" if good else "invalid_client"

    def read(self, authorization: str) -> tuple[int, Any]:
        token = authorization.removeprefix("Bearer ")
        live = {f"t{n}" for n in range(1, self.number + 1)} - self.dead
        return (200, {"resourceType": "Patient", "id": "1"}) if token in live else (401, {})


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.sent.append((f"GET {self.path}", self.headers.get("Authorization", "")))
            if self.path.endswith("/.well-known/smart-configuration"):
                body = {"token_endpoint": server.token_url, **server.smart}
                self.say(server.discovery, body, {})
            else:
                self.say(*server.read(self.headers.get("Authorization", "")), {})

        def do_POST(self) -> None:
            server.sent.append((f"POST {self.path}", self.headers.get("Authorization", "")))
            data = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self.say(*server.grant({k: v[0] for k, v in parse_qs(data).items()}))

        def say(self, status: int, body: Any, headers: dict[str, str]) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            own = {"Content-Length": str(len(data)), "Connection": "close"}
            for name, value in {
                "Date": formatdate(server.clock, usegmt=True),
                **own,
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            del args

    return Handler


@contextmanager
def token_server(key: ECKey | RSAKey, **given: Any) -> Generator[TokenServer]:
    made = TokenServer(key=key, **given)
    running = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    made.url = f"http://127.0.0.1:{running.server_port}/fhir"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def until(there: Any) -> None:
    """Wait for what another thread does."""
    for _ in range(2000):
        if there():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")
