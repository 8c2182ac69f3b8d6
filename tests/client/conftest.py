"""A server that plays back a script and remembers what it was asked; 127.0.0.1 only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fhir_adapter.client import FhirClient


@dataclass
class Reply:
    body: Any = field(default_factory=lambda: {"resourceType": "Basic", "id": "1"})
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    """Bytes promised but not sent."""

    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """Replies in order; the last one repeats."""

    replies: list[Reply] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    def say(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            script.seen.append(Seen(self.command, self.path, dict(self.headers), body))
            reply = script.next()
            data = reply.bytes()
            self.send_response_only(reply.status)
            headers = {"Content-Type": "application/fhir+json", **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) + reply.cut))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *args: object) -> None:
            del args

    return Handler


def _serving() -> Iterator[Script]:
    script = Script()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    script.url = f"http://127.0.0.1:{server.server_port}/fhir"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server() -> Iterator[Script]:
    yield from _serving()


@pytest.fixture
def other_server() -> Iterator[Script]:
    yield from _serving()


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def client_of(naps: list[float]) -> Iterator[Callable[..., FhirClient]]:
    made: list[FhirClient] = []

    def make(script: Script, **options: Any) -> FhirClient:
        client = FhirClient(script.url, sleep=naps.append, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
