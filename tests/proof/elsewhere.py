"""A server of others as a hospital of the proof: people by HTTP, the machine through the faults.

What the world put there, and what the machine wrote to it, is deleted at its end: the next world
finds the server empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from proof.hospital import Version
from proof.in_process import NearProxy

from fault_proxy import FaultProxy, Reply, Request, is_metadata

_SENT = {"Content-Type": "application/fhir+json", "Cache-Control": "no-cache"}
"""HAPI answers a search from the last minute's unless it is asked not to."""
_PAGE = 200
_PATIENCE = 60
_GONE = frozenset((404, 410))
_TRIES = 5
"""HAPI answers 409 to whoever writes at the same moment."""
_CONFLICT = 409
_WRITTEN = ("Task", "Provenance", "GuidanceResponse", "ResearchSubject", "List", "Device")
"""What the machine writes, each before what it refers to."""


@dataclass(frozen=True)
class Kept:
    """A resource as the server keeps it, read when it is asked for."""

    read: Callable[[], dict[str, Any]]

    @property
    def resource(self) -> dict[str, Any]:
        return self.read()


class RemoteStore:
    """What people do on a server of others; a search is remembered until somebody writes."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(_SENT)
        self._seen: dict[str, list[dict[str, Any]]] = {}
        self._mine: dict[tuple[str, str], None] = {}

    def forget(self) -> None:
        """Somebody has written."""
        self._seen.clear()

    def put(self, resource: dict[str, Any]) -> Kept:
        kind, number = str(resource["resourceType"]), str(resource["id"])
        self._write("PUT", f"{kind}/{number}", resource)
        self._mine[kind, number] = None
        return Kept(lambda: self._read(kind, number))

    def create(self, resource: dict[str, Any]) -> Kept:
        made = self._write("POST", str(resource["resourceType"]), resource).json()
        self._mine[made["resourceType"], made["id"]] = None
        return Kept(lambda: made)

    def delete(self, resource_type: str, resource_id: str) -> None:
        self._write("DELETE", f"{resource_type}/{resource_id}")

    def get(self, resource_type: str, resource_id: str) -> Kept:
        found = self._read(resource_type, resource_id)
        return Kept(lambda: found)

    def has(self, resource_type: str, resource_id: str) -> bool:
        return self._ask("GET", f"{resource_type}/{resource_id}").status_code not in _GONE

    def all_of(self, resource_type: str) -> Iterator[dict[str, Any]]:
        if resource_type not in self._seen:
            self._seen[resource_type] = list(self._pages(resource_type))
        yield from self._seen[resource_type]

    def clear(self) -> None:
        """Delete all that was put here and all that the machine wrote."""
        self.forget()
        for kind in _WRITTEN:
            for one in self._pages(kind):
                self.delete(kind, str(one["id"]))
        for kind, number in reversed(self._mine):
            self.delete(kind, number)
        self._session.close()

    def _read(self, resource_type: str, resource_id: str) -> dict[str, Any]:
        found = self._ask("GET", f"{resource_type}/{resource_id}")
        found.raise_for_status()
        return dict(found.json())

    def _pages(self, resource_type: str) -> list[dict[str, Any]]:
        """Everything of a type; it is held to fit on one page."""
        found = self._ask("GET", f"{resource_type}?_count={_PAGE}").json()
        assert not [one for one in found.get("link", ()) if one["relation"] == "next"]
        return [entry["resource"] for entry in found.get("entry", ())]

    def _write(self, method: str, where: str, body: dict[str, Any] | None = None) -> Any:
        self.forget()
        for _ in range(_TRIES):
            answer = self._ask(method, where, body)
            if answer.status_code != _CONFLICT:
                break
        assert answer.ok or (method == "DELETE" and answer.status_code in _GONE), answer.text[:400]
        return answer

    def _ask(self, method: str, where: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body, default=float)
        return self._session.request(method, f"{self._base}/{where}", data=data, timeout=_PATIENCE)


class Elsewhere:
    """Hospital: a server at ``base``, and what it says of itself, which takes HAPI two seconds."""

    def __init__(self, base: str, metadata: dict[str, Reply]) -> None:
        self._metadata = metadata
        self._there = FaultProxy(base)
        self._there._session.trust_env = False
        self.store = RemoteStore(base)
        self.proxy = NearProxy(self._reached)
        self._there.url = self.proxy.target
        self.began = datetime.now(UTC)

    def _reached(self, one: Request) -> Reply:
        if one.method != "GET":
            self.store.forget()
        if not is_metadata(one):
            return self._there._forward(one)
        if "" not in self._metadata:
            self._metadata[""] = self._there._forward(one)
        return self._metadata[""]

    @property
    def tells_history(self) -> bool:
        """Medplum does not; asked past the faults."""
        return bool(self.store._ask("GET", "ResearchSubject/_history").ok)

    def versions(self, kinds: Iterable[str]) -> frozenset[Version]:
        """As it stands now: what is created and deleted in between leaves no trace here."""
        self.store.forget()
        return frozenset(
            (kind, str(one["id"]), str(one["meta"]["versionId"]))
            for kind in kinds
            for one in self.store.all_of(kind)
        )

    def close(self) -> None:
        self.store.clear()
        self._there._session.close()


def at(base: str) -> Callable[[Callable[[], datetime]], Elsewhere]:
    """How a world reaches the server at ``base``, which has a clock of its own."""
    metadata: dict[str, Reply] = {}
    return lambda _now: Elsewhere(base, metadata)
