"""Requests of the doctor: counted, bounded in number and time; every status is a value."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_adapter.client import FhirClient, Params
from fhir_adapter.client.transport import Answer, Asked, Repeat
from fhir_adapter.client.urls import names_in, query
from fhir_adapter.errors import ServerUnreachable
from fhir_adapter.fhir.outcome import issues_of
from fhir_adapter.fhir.reading import is_object, part, parts, text
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import Resource

_GOOD = 300
_GONE = frozenset((404, 410))
_NO_CACHE = {"Cache-Control": "no-cache"}
_MEDIA = frozenset(
    f"application/{name}" for name in ("fhir+json", "fhir+xml", "json", "xml")
) | frozenset(f"text/{name}" for name in ("html", "plain", "xml"))
FHIR_JSON = "application/fhir+json"


class OutOfBounds(Exception):  # noqa: N818 - an end, not a mistake
    """No request is left, or no time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read as FHIR; its repr shows the status only."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: Resource = field(repr=False)
    """Empty where the answer is no resource."""
    url: str = field(default="", repr=False)
    redirected: bool = False

    @property
    def is_good(self) -> bool:
        """2xx."""
        return self.status < _GOOD

    @property
    def is_gone(self) -> bool:
        """404 or 410: servers say either of what was deleted."""
        return self.status in _GONE

    @property
    def kind(self) -> str:
        """resourceType of the body; empty without one."""
        return text(self.body.get("resourceType"))

    @property
    def is_searchset(self) -> bool:
        """A good answer that is a Bundle."""
        return self.is_good and self.kind == "Bundle"

    def rows(self, resource_type: str) -> list[Resource]:
        """Matches of this type."""
        return [
            one
            for entry, one in _entries(self.body)
            if one.get("resourceType") == resource_type and _mode(entry) != "include"
        ]

    def included(self, resource_type: str) -> list[Resource]:
        """What came beside the matches."""
        return [
            one
            for entry, one in _entries(self.body)
            if one.get("resourceType") == resource_type and _mode(entry) == "include"
        ]

    @property
    def warns(self) -> bool:
        """Whether an OperationOutcome stands among the entries."""
        return any(issues_of(one) for _, one in _entries(self.body))

    @property
    def total(self) -> int | None:
        """Bundle.total."""
        found = self.body.get("total")
        return found if isinstance(found, int) else None

    def link(self, relation: str) -> str:
        """Address of a link; empty without one."""
        links = (one for one in parts(self.body.get("link")) if one.get("relation") == relation)
        return next((text(one.get("url")) for one in links), "")

    @property
    def echoed(self) -> frozenset[str]:
        """Names of the parameters in the ``self`` link."""
        return names_in(self.link("self"))

    @property
    def nature(self) -> str:
        """Status and media type, and whether a redirect led there: in our words, not its own."""
        said = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        media = said if said in _MEDIA else "another media type" if said else "no media type"
        return f"{self.status}, {media}{', after a redirect' if self.redirected else ''}"

    @property
    def id(self) -> str:
        """Id of the resource that came back, else that of Location."""
        if self.kind not in {"", "OperationOutcome", "Bundle"}:
            return text(self.body.get("id"))
        steps = self.headers.get("Location", "").split("/_history/", 1)[0].rstrip("/").split("/")
        return steps[-1] if len(steps) > 1 else ""

    @property
    def version(self) -> str:
        """meta.versionId, else the ETag's."""
        found = text(part(self.body.get("meta")).get("versionId"))
        return found or self.headers.get("ETag", "").removeprefix("W/").strip('"')


def _entries(bundle: Resource) -> list[tuple[Resource, Resource]]:
    found = ((entry, entry.get("resource")) for entry in parts(bundle.get("entry")))
    return [(entry, one) for entry, one in found if is_object(one)]


def _mode(entry: Resource) -> str:
    return text(part(entry.get("search")).get("mode"))


@dataclass(slots=True, kw_only=True)
class Probe:
    """One server; ``until`` is a moment of ``clock``."""

    client: FhirClient
    until: float
    most: int = 900
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    sent: int = 0
    lost: int = 0
    """How many requests in a row were not answered at all."""
    reserve: bool = False
    """Set for taking away what was written: that is never left undone for want of time."""

    @property
    def base(self) -> str:
        """Base URL."""
        return self.client.base_url

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Resource | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One exchange; raises OutOfBounds, or the client's fault where nothing answers."""
        url = path if path.startswith(self.base) else f"{self.base}/{path}".rstrip("/")
        url = f"{url}?{query(params)}" if params else url
        return self._exchange(method, url, self._where(path), body, headers or {})

    def _exchange(
        self,
        method: str,
        url: str,
        where: str,
        body: Resource | bytes | None,
        headers: Mapping[str, str],
    ) -> Reply:
        if not self.reserve and (self.sent >= self.most or self.clock() > self.until):
            raise OutOfBounds
        self.sent += 1
        safe = method in {"GET", "HEAD"}
        said = {} if body is None or "Content-Type" in headers else {"Content-Type": FHIR_JSON}
        asked = Asked(
            method=method,
            url=url,
            where=where,
            headers={**_NO_CACHE, **said, **headers},
            body=encode(body) if isinstance(body, dict) else body,
            repeat=Repeat.ALWAYS if safe else Repeat.NEVER,
            writes=not safe,
        )
        try:
            answer = self.client.ask(asked)
        except ServerUnreachable:
            self.lost += 1
            raise
        self.lost = 0
        return _reply(answer, url)

    def _where(self, path: str) -> str:
        kind = path.removeprefix(self.base).lstrip("/").partition("/")[0].partition("?")[0]
        return f"{self.base}/{kind}"

    def get(self, path: str, **more: Any) -> Reply:
        """GET."""
        return self.ask("GET", path, **more)

    def find(
        self, resource_type: str, params: Params, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """A search by GET with these parameters."""
        return self.ask("GET", resource_type, params=params, headers=headers)

    def pause(self, seconds: float) -> None:
        """Wait, within the time that is left."""
        self.sleep(max(0.0, min(seconds, self.until - self.clock())))


def _reply(answer: Answer, url: str) -> Reply:
    return Reply(answer.status, answer.headers, decode(answer.body) or {}, url, answer.redirected)
