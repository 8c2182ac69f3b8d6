"""The sandbox without a network: the client's sessions call it in this process, faults and all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from proof.hospital import Version
from requests.adapters import BaseAdapter

from fhir_adapter.client import FhirClient
from fhir_adapter.fhir.wire import encode
from fhir_adapter.sandbox import TIDY, Habits, Interactions
from fhir_adapter.sandbox.bundles import processed
from fhir_adapter.sandbox.interactions import Answer
from fhir_adapter.sandbox.refusal import Refusal

from fault_proxy import FaultProxy, Reply, Request

BASE = "http://sandbox.example/fhir"


class Killed(BaseException):
    """The process is gone: nothing of ours catches it."""


def is_create_of(one: Request, kind: str) -> bool:
    """Whether it makes a resource of this type."""
    return one.method == "POST" and one.path.strip("/") == kind


def is_change_of(one: Request, kind: str) -> bool:
    """Whether it changes or deletes a resource of this type."""
    return one.method in ("PUT", "DELETE") and one.path.strip("/").startswith(f"{kind}/")


class NearProxy(FaultProxy):
    """The faults of the proxy, met without a network; it can kill the client too."""

    def __init__(self, reached: Callable[[Request], Reply], seed: int = 0) -> None:
        super().__init__(BASE, seed=seed)
        self._reached = reached
        self.requests = 0
        self.kill_at: int | None = None
        """Which request the process dies at: even before the server hears of it, odd after."""
        self.dies_after: Callable[[Request], bool] | None = None
        """The process dies after the first of these, before it hears the answer."""
        self.meanwhile: tuple[Callable[[Request], bool], Callable[[], object]] | None = None
        """What somebody else does before the server hears of the first of these."""

    def _forward(self, one: Request) -> Reply:
        self.requests += 1
        if self.meanwhile is not None and self.meanwhile[0](one):
            (_, act), self.meanwhile = self.meanwhile, None
            act()
        turn = None if self.kill_at is None else self.kill_at // 2
        if turn == 0 and self.kill_at == 0:
            self.kill_at = None
            raise Killed
        reply = self._reached(one)
        dies = self.dies_after is not None and self.dies_after(one)
        if turn == 0 or dies:
            self.kill_at = self.dies_after = None
            raise Killed
        self.kill_at = None if self.kill_at is None else self.kill_at - 2
        return reply


class Sandbox:
    """Hospital: the sandbox in this process, which stamps what it keeps with the world's clock."""

    began = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def __init__(self, now: Callable[[], datetime], *, habits: Habits = TIDY) -> None:
        self._server = Interactions(now=lambda: now().isoformat(), habits=habits)
        self._server.base = BASE
        self.store = self._server.store
        self.proxy = NearProxy(lambda one: answered(self._server, one))

    @property
    def tells_history(self) -> bool:
        return not self._server.habits.no_type_history

    def versions(self, kinds: Iterable[str]) -> frozenset[Version]:
        """Deletions too."""
        return frozenset(
            (kind, number, str(version.number))
            for kind in kinds
            for number, versions in self.store._versions.get(kind, {}).items()
            for version in versions
        )

    def close(self) -> None:
        """It ends with the world."""


def answered(server: Interactions, one: Request) -> Reply:
    """What the sandbox says to one request, without its HTTP."""
    try:
        found = _interaction(server, one, one.path.strip("/").split("/"))
    except Refusal as refusal:
        return Reply(refusal.status, encode(refusal.outcome()), _FHIR)
    headers = dict(_FHIR)
    if found.version:
        headers["ETag"] = f'W/"{found.version}"'
    if found.location:
        headers["Location"] = found.location
    return Reply(found.status, b"" if found.body is None else encode(found.body), headers)


_FHIR = {"Content-Type": "application/fhir+json"}


def _interaction(server: Interactions, one: Request, path: list[str]) -> Answer:
    match one.method, path:
        case "GET", ["metadata"]:
            return server.metadata()
        case "GET", [kind]:
            return server.search(kind, one.params)
        case "POST", [kind, "_search"]:
            return server.search(kind, one.params)
        case "GET", [kind, "_history"]:
            return server.type_history(kind, one.params)
        case "GET", [kind, number]:
            return server.read(kind, number)
        case "POST", [""]:
            return processed(server, one.body)
        case "POST", [kind]:
            return server.create(kind, one.body, one.header("If-None-Exist"))
        case "PUT", [kind, number]:
            return server.update(kind, number, one.body, one.header("If-Match"))
        case "DELETE", [kind, number]:
            return server.delete(kind, number, one.header("If-Match"))
        case _:
            raise Refusal(404, "not-supported", "not offered here")


class InProcess(BaseAdapter):
    """requests' way to the proxy."""

    def __init__(self, proxy: NearProxy) -> None:
        super().__init__()
        self._proxy = proxy

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        body = request.body or b""
        asked = Request(
            method=str(request.method),
            path=parts.path.removeprefix("/fhir"),
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers=dict(request.headers),
            body=body.encode() if isinstance(body, str) else bytes(body),
        )
        reply = self._proxy.answer(asked)
        if reply.lost:
            raise requests.exceptions.ConnectionError("lost")
        return _response(request, reply)

    def close(self) -> None:
        """Nothing is open."""


def _response(request: requests.PreparedRequest, reply: Reply) -> requests.Response:
    made = requests.Response()
    made.status_code = reply.status
    made.headers.update(reply.headers)
    made.url = str(request.url)
    made.request = request
    made.raw = io.BytesIO(reply.body[: len(reply.body) - reply.cut])
    if reply.cut:
        raise requests.exceptions.ChunkedEncodingError("cut")
    return made


def client(proxy: NearProxy) -> FhirClient:
    """A client whose requests reach the proxy."""
    found = FhirClient(BASE, sleep=lambda _: None)
    for session in (found._transport._session, found._transport._elsewhere):
        session.mount("http://", InProcess(proxy))
    return found
