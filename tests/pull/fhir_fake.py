"""A FHIR server of a few lines over a dict, with one switch per bad habit; 127.0.0.1 only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fhir_adapter.model.fact import Kind
from fhir_adapter.ports import Need

Json = dict[str, Any]
OWNERS = ("subject", "patient", "individual")


def need(*types: str) -> list[Need]:
    return [Need(kind=Kind.OBSERVATION, resource_type=name) for name in types]


def of(patient: str, resource_type: str, resource_id: str, **more: Any) -> Json:
    owner = {"reference": f"Patient/{patient}"}
    return {"resourceType": resource_type, "id": resource_id, "subject": owner, **more}


def patient(resource_id: str, *links: tuple[str, str]) -> Json:
    made = [{"type": kind, "other": {"reference": f"Patient/{other}"}} for kind, other in links]
    return {"resourceType": "Patient", "id": resource_id} | ({"link": made} if made else {})


@dataclass
class Fake:
    store: dict[str, Json] = field(default_factory=dict)
    capability: Json | None = None
    status: dict[str, int] = field(default_factory=dict)
    """Path beginning ("Observation", "Patient/2") to the status it answers with."""
    ignoring: bool = False
    """Ignores every parameter and says so in self."""
    lying: bool = False
    """Ignores every parameter and does not say so."""
    echoing: bool = False
    """Keeps unknown parameters in self."""
    total_off: int = 0
    with_total: bool = True
    with_self: bool = True
    page: int = 100
    next_base: str = ""
    with_include: bool = False
    without_include: bool = False
    """Refuses _include with a 400."""
    drops_writes: bool = False
    emptying: tuple[str, ...] = ()
    """Types of which ``patient`` finds nobody's."""
    wants_patient: bool = False
    """Refuses a search without one."""
    wants_category: tuple[str, ...] = ()
    """Types that are refused without a category."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def put(self, *resources: Json) -> Fake:
        for resource in resources:
            self.store[f"{resource['resourceType']}/{resource['id']}"] = resource
        return self

    def can(self, *types: str, **more: Any) -> Fake:
        listed = [
            {
                "type": t,
                "interaction": [{"code": "read"}, {"code": "search-type"}],
                "searchParam": [{"name": "patient"}],
                **more,
            }
            for t in types
        ]
        self.capability = {
            "resourceType": "CapabilityStatement",
            "fhirVersion": "4.0.1",
            "rest": [{"mode": "server", "resource": listed}],
        }
        return self

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        parts = urlsplit(path.removeprefix("/fhir/"))
        asked = f"{parts.path}?" if parts.query else parts.path
        for beginning, status in self.status.items():
            if asked.startswith(beginning):
                return status, {"resourceType": "OperationOutcome", "issue": []}
        if parts.path == "metadata":
            return (200, self.capability) if self.capability else (404, {})
        if method in {"PUT", "POST"}:
            return self.write(method, parts.path, json.loads(body))
        if "/" in parts.path:
            found = self.store.get(parts.path)
            return (200, found) if found else (404, {})
        return self.search(parts.path, parse_qs(parts.query), path)

    def write(self, method: str, path: str, resource: Json) -> tuple[int, Any]:
        key = path if method == "PUT" else f"{path}/new{len(self.store)}"
        kept = {**resource, "id": key.partition("/")[2], "meta": {"versionId": "1"}}
        status = 200 if key in self.store else 201
        self.store[key] = {**kept, "title": "lost"} if self.drops_writes else kept
        return status, kept

    def search(self, name: str, query: dict[str, list[str]], path: str) -> tuple[int, Any]:
        if self.refuses(name, query):
            return 400, {"resourceType": "OperationOutcome", "issue": []}
        every = [r for r in self.store.values() if r["resourceType"] == name]
        matches = [r for r in every if self.ignoring or self.lying or self.fits(r, query)]
        if name in self.emptying and "patient" in query:
            matches = []
        start = int(query.get("_start", ["0"])[0])
        size = min(self.page, int(query.get("_count", ["100"])[0]))
        shown = matches[start : start + size]
        entries = [{"resource": r, "search": {"mode": "match"}} for r in shown]
        if self.with_include and "_include" in query:
            entries += [
                {"resource": r, "search": {"mode": "include"}} for r in self.companions(shown)
            ]
        kept = {k: v for k, v in query.items() if self.echoing or "canary" not in k}
        names = [] if self.ignoring else [f"{k}={v[0]}" for k, v in kept.items()]
        links = [{"relation": "self", "url": f"{self.url}/{name}?{'&'.join(names)}"}]
        if start + size < len(matches):
            base = self.next_base or self.url
            rest = "&".join(f"{k}={v[0]}" for k, v in query.items() if k != "_start")
            links.append({"relation": "next", "url": f"{base}/{name}?{rest}&_start={start + size}"})
        bundle: Json = {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": entries,
            "link": links if self.with_self else links[1:],
        }
        if self.with_total:
            bundle["total"] = len(matches) + self.total_off
        return 200, bundle

    def refuses(self, name: str, query: dict[str, list[str]]) -> bool:
        return (
            (self.without_include and "_include" in query)
            or (self.wants_patient and "patient" not in query)
            or (name in self.wants_category and "category" not in query)
        )

    def companions(self, shown: list[Json]) -> Iterator[Json]:
        for resource in shown:
            reference = resource.get("medicationReference") or resource.get("study") or {}
            found = self.store.get(reference.get("reference", ""))
            if found:
                yield found

    def fits(self, resource: Json, query: dict[str, list[str]]) -> bool:
        for name, (value, *_) in query.items():
            if name == "patient":
                owners = [resource.get(o, {}).get("reference") for o in OWNERS]
                if f"Patient/{value}" not in owners:
                    return False
            elif name == "link":
                if value not in [one["other"]["reference"] for one in resource.get("link", ())]:
                    return False
            elif (name == "category" and resource.get("category") != value) or (
                name in {"url", "version"} and resource.get(name) != value
            ):
                return False
            elif name == "identifier":
                said = {i["value"] for i in resource.get("identifier", ())}
                if value.rpartition("|")[2] not in said:
                    return False
        return True


def _handler(fake: Fake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, found = fake.answer(self.command, self.path, body)
            data = json.dumps(found).encode()
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of http.server

        def log_message(self, *args: object) -> None:
            del args

    return Handler


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    fake.url = f"http://127.0.0.1:{server.server_port}/fhir"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()
