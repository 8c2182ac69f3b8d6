"""The interactions of the R4 RESTful API that the sandbox offers, apart from HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.fhir.reading import is_array, is_object
from fhir_adapter.fhir.wire import decode
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.capability import capability
from fhir_adapter.sandbox.exports import Exports
from fhir_adapter.sandbox.habits import TIDY, Habits
from fhir_adapter.sandbox.queries import Asked, Pages, Searching
from fhir_adapter.sandbox.refusal import Refusal, not_found
from fhir_adapter.sandbox.search_table import REQUIRED, STATUSES, TABLE
from fhir_adapter.sandbox.store import Store, Version

_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and the version it is of."""

    status: int
    body: Resource | None
    version: int = 0
    location: str = ""


@dataclass(slots=True, kw_only=True)
class Interactions:
    """One server's behaviour over one store."""

    now: Callable[[], str]
    habits: Habits = TIDY
    base: str = ""
    store: Store = field(init=False)
    pages: Pages = field(default_factory=Pages)
    exports: Exports = field(init=False)
    cache: dict[tuple[str, tuple[tuple[str, str], ...]], Resource] = field(
        default_factory=dict[tuple[str, tuple[tuple[str, str], ...]], Resource]
    )
    """Searches that were answered; looked into by a server that caches."""

    def __post_init__(self) -> None:
        self.store = Store(self.habits, self.now)
        self.exports = Exports(self.store, self.habits, self.now)

    def metadata(self) -> Answer:
        """CapabilityStatement."""
        if self.habits.no_metadata:
            return Answer(200, {"resourceType": "Bundle", "type": "searchset", "total": 0})
        return Answer(200, capability(self.habits, self.now()))

    def read(self, resource_type: str, resource_id: str) -> Answer:
        """The current version."""
        self._allow(resource_type)
        return self._of(200, self.store.get(resource_type, resource_id))

    def vread(self, resource_type: str, resource_id: str, version: str) -> Answer:
        """One version."""
        self._allow(resource_type)
        for found in self.store.history(resource_type, resource_id):
            if str(found.number) == version and found.resource is not None:
                return self._of(200, found)
        raise not_found()

    def history(self, resource_type: str, resource_id: str) -> Answer:
        """All versions, newest first."""
        self._allow(resource_type)
        versions = self.store.history(resource_type, resource_id)
        entries = [{"resource": v.resource} for v in versions if v.resource is not None]
        body = {"resourceType": "Bundle", "type": "history", "total": len(versions)}
        return Answer(200, {**body, "entry": entries})

    def type_history(self, resource_type: str, asked: Asked) -> Answer:
        """Versions of all resources of a type since ``_since``, newest first, on one page."""
        self._allow(resource_type)
        if self.habits.no_type_history:
            raise Refusal(404, "not-supported", "this server keeps no history of a type")
        since = dict(asked).get("_since", "")
        found = self.store.versions_of(resource_type, _moment(since) if since else None)
        body = {"resourceType": "Bundle", "type": "history", "total": len(found)}
        return Answer(200, {**body, "entry": [_history_entry(*one) for one in found]})

    def search(self, resource_type: str, asked: Asked, *, fresh: bool = True) -> Answer:
        """A searchset; where this server caches, an old one unless it must be fresh."""
        self._allow(resource_type)
        key = (resource_type, tuple(asked))
        if self.habits.caches_searches and not fresh and key in self.cache:
            return Answer(200, self.cache[key])
        found = self._searching().search(resource_type, asked)
        if self.habits.caches_searches:
            self.cache[key] = found
        return Answer(200, found)

    def create(
        self, resource_type: str, body: bytes, if_none_exist: str, *, new_id: str = ""
    ) -> Answer:
        """POST; with If-None-Exist nothing where one such resource exists already."""
        resource = self._taken(resource_type, body)
        with self.store.lock:
            if if_none_exist and not self.habits.no_conditional_create:
                known = self._searching().find(resource_type, parse_qsl(if_none_exist))
                if len(known) > 1:
                    raise Refusal(412, "multiple-matches", "more than one resource matches")
                if known:
                    return self._of(200, self.store.get(resource_type, str(known[0]["id"])))
            without = {k: v for k, v in resource.items() if k != "id"}
            made = self.store.create(without, new_id)
        return self._of(201, made)

    def update(self, resource_type: str, resource_id: str, body: bytes, if_match: str) -> Answer:
        """PUT; with If-Match only over that version."""
        resource = self._taken(resource_type, body)
        if resource.get("id") != resource_id:
            raise Refusal(400, "invalid", "the id in the body is not the one in the address")
        with self.store.lock:
            existed = self.store.has(resource_type, resource_id)
            self._match(resource_type, resource_id, if_match, exists=existed)
            made = self.store.put(resource)
        return self._of(200 if existed else 201, made)

    def conditional_update(
        self, resource_type: str, asked: Asked, body: bytes, *, new_id: str = ""
    ) -> Answer:
        """PUT on a search: create where nothing matches, update where one does."""
        resource = self._taken(resource_type, body)
        with self.store.lock:
            known = self._searching().find(resource_type, asked)
            if len(known) > 1:
                raise Refusal(412, "multiple-matches", "more than one resource matches")
            if not known:
                return self._of(201, self.store.create(resource, new_id))
            return self._of(200, self.store.put({**resource, "id": known[0]["id"]}))

    def delete(self, resource_type: str, resource_id: str, if_match: str) -> Answer:
        """Deleting what is not there is no mistake."""
        self._allow(resource_type)
        if self.habits.no_delete:
            raise Refusal(405, "not-supported", "this server does not delete")
        with self.store.lock:
            exists = self.store.has(resource_type, resource_id)
            if exists and not self.habits.ignores_match_on_delete:
                self._match(resource_type, resource_id, if_match, exists=True)
            self.store.delete(resource_type, resource_id)
        return Answer(204, None)

    def conditional_delete(self, resource_type: str, asked: Asked) -> Answer:
        """DELETE on a search: the one that it finds; more than one is refused."""
        self._allow(resource_type)
        with self.store.lock:
            known = self._searching().find(resource_type, asked)
            if len(known) > 1:
                raise Refusal(412, "multiple-matches", "more than one resource matches")
            if known:
                return self.delete(resource_type, str(known[0]["id"]), "")
        return Answer(204, None)

    def matching(self, resource_type: str, condition: Asked) -> list[str]:
        """Ids of what a condition finds; none where there is no condition."""
        self._allow(resource_type)
        if not condition:
            return []
        return [str(one["id"]) for one in self._searching().find(resource_type, condition)]

    def _searching(self) -> Searching:
        return Searching(store=self.store, habits=self.habits, base=self.base, pages=self.pages)

    def _allow(self, resource_type: str) -> None:
        if resource_type not in TABLE or resource_type in self.habits.refuses_types:
            raise Refusal(404, "not-supported", "this resource type is not known here")
        if resource_type in self.habits.forbids_types:
            raise Refusal(403, "forbidden", "not allowed to see this resource type")

    def _taken(self, resource_type: str, body: bytes) -> Resource:
        self._allow(resource_type)
        resource = decode(body)
        if resource is None:
            raise Refusal(400, "structure", "the body is not a JSON object")
        if _depth(resource) > _DEEPEST:
            raise Refusal(400, "too-long", "the body is nested too deeply")
        if resource.get("resourceType") != resource_type:
            raise Refusal(400, "invalid", "resourceType is not the one in the address")
        self._refuse_invalid(resource_type, resource)
        return resource

    def _refuse_invalid(self, resource_type: str, resource: Resource) -> None:
        if not _dates_are_dates(resource):
            raise Refusal(400, "value", "a date is none")
        for name in REQUIRED.get(resource_type, ()):
            missing = resource.get(name) in (None, "", [], {})
            if missing and not self.habits.accepts_missing:
                raise Refusal(422, "required", f"{resource_type}.{name} is missing")
        demanded = resource_type == "ResearchSubject" and self.habits.demands_consent
        if demanded and not {"consent", "period"} <= set(resource):
            raise Refusal(demanded, "required", "a profile demands consent and period")
        allowed = STATUSES.get(resource_type)
        status = resource.get("status")
        if allowed and status and status not in allowed and not self.habits.accepts_any_code:
            raise Refusal(422, "code-invalid", f"{resource_type}.status is not a code of R4")

    def _match(self, resource_type: str, resource_id: str, tag: str, *, exists: bool) -> None:
        if not tag or self.habits.no_versions:
            return
        current = self.store.get(resource_type, resource_id).number if exists else 0
        if tag != f'W/"{current}"':
            raise Refusal(412, "conflict", "another version stands here now")

    def _of(self, status: int, version: Version) -> Answer:
        resource = version.resource or {}
        place = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        number = 0 if self.habits.no_versions else version.number
        location = f"{place}/_history/{version.number}" if number else place
        return Answer(status, resource, number, location)


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Refusal(400, "invalid", "_since is not an instant")
    return found


def _history_entry(key: str, version: Version) -> Resource:
    """A deletion has a request and no resource."""
    if version.resource is None:
        return {"request": {"method": "DELETE", "url": key}}
    method = "POST" if version.number == 1 else "PUT"
    return {"resource": version.resource, "request": {"method": method, "url": key}}


def _dates_are_dates(value: Any, name: str = "") -> bool:
    """Of the elements that R4 spells as dates and that are written here."""
    if is_object(value):
        return all(_dates_are_dates(inner, key) for key, inner in value.items())
    if is_array(value):
        return all(_dates_are_dates(inner, name) for inner in value)
    dated = name.endswith(("Date", "DateTime")) or name in _DATED
    return not dated or _DATES.read(value)[0] is not None


_DATED = frozenset(("authored", "authoredOn", "recorded", "whenHandedOver"))
_DATES = DateReader(ZoneInfo("UTC"))


def _depth(value: Any, depth: int = 0) -> int:
    if depth > _DEEPEST:
        return depth
    if is_object(value):
        return max((_depth(inner, depth + 1) for inner in value.values()), default=depth)
    if is_array(value):
        return max((_depth(inner, depth + 1) for inner in value), default=depth)
    return depth
