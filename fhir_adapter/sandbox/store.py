"""Resources with their versions, in memory; one lock makes a condition and its write one step."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Any

from fhir_adapter.fhir.reading import is_array, is_object, part
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.habits import Habits
from fhir_adapter.sandbox.refusal import Refusal, not_found

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource; None where it was deleted."""

    number: int
    resource: Resource | None


class Store:
    """All resources of one server."""

    def __init__(self, habits: Habits, now: Callable[[], str]) -> None:
        self._habits = habits
        self._now = now
        self._versions: dict[str, dict[str, list[Version]]] = {}
        self._gone: dict[tuple[str, str], str] = {}
        self._next = 0
        self.lock: AbstractContextManager[bool] = RLock()

    def all_of(self, resource_type: str) -> Iterator[Resource]:
        """Current versions of one type, in order of arrival."""
        for versions in list(self._versions.get(resource_type, {}).values()):
            if versions[-1].resource is not None:
                yield versions[-1].resource

    def types(self) -> tuple[str, ...]:
        """Types that have anything."""
        return tuple(sorted(name for name in self._versions if any(self.all_of(name))))

    def get(self, resource_type: str, resource_id: str) -> Version:
        """The current version; 404 where there never was one, 410 where it was deleted."""
        versions = self._versions.get(resource_type, {}).get(resource_id)
        if not versions:
            raise not_found()
        if versions[-1].resource is None:
            raise Refusal(410, "deleted", "this resource was deleted")
        return versions[-1]

    def history(self, resource_type: str, resource_id: str) -> list[Version]:
        """All versions, newest first."""
        found = self._versions.get(resource_type, {}).get(resource_id)
        if not found:
            raise not_found()
        return found[::-1]

    def versions_of(self, resource_type: str, since: datetime | None) -> list[tuple[str, Version]]:
        """``Type/id`` and version of all that came to be since then, newest first."""
        found = list[tuple[datetime, str, Version]]()
        for number, versions in list(self._versions.get(resource_type, {}).items()):
            gone = self._gone.get((resource_type, number), "")
            for one in versions:
                kept = one.resource
                moment = datetime.fromisoformat(kept["meta"]["lastUpdated"] if kept else gone)
                if since is None or moment >= since:
                    found.append((moment, f"{resource_type}/{number}", one))
        found.sort(key=lambda one: one[0], reverse=True)
        return [(key, version) for _, key, version in found]

    def has(self, resource_type: str, resource_id: str) -> bool:
        """Whether there is a current version."""
        versions = self._versions.get(resource_type, {}).get(resource_id)
        return bool(versions) and versions[-1].resource is not None if versions else False

    def create(self, resource: Resource, new_id: str = "") -> Version:
        """A new resource under an id of ours."""
        with self.lock:
            return self._put(resource, new_id or self.new_id(str(resource["resourceType"])))

    def put(self, resource: Resource) -> Version:
        """A new version under the resource's own id."""
        resource_id = str(resource.get("id", ""))
        if not _ID.fullmatch(resource_id):
            raise Refusal(400, "value", "the id is missing or malformed")
        with self.lock:
            return self._put(resource, resource_id)

    def load(self, resource: Resource) -> None:
        """Take a resource from a file as it is, its version with it where it has one."""
        resource_id = str(resource.get("id", "")) or self.new_id(str(resource["resourceType"]))
        meta = part(resource.get("meta"))
        version = str(meta.get("versionId", ""))
        number = int(version) if version.isdecimal() else 1
        kept = self._stamped({**resource, "id": resource_id}, number, meta)
        with self.lock:
            of_type = self._versions.setdefault(str(resource["resourceType"]), {})
            of_type[resource_id] = [Version(number, kept)]
            self._gone.pop((str(resource["resourceType"]), resource_id), None)

    def delete(self, resource_type: str, resource_id: str) -> None:
        """Mark as deleted; deleting twice is no mistake."""
        with self.lock:
            versions = self._versions.get(resource_type, {}).get(resource_id)
            if versions and versions[-1].resource is not None:
                versions.append(Version(versions[-1].number + 1, None))
                self._gone[resource_type, resource_id] = self._now()

    @contextmanager
    def all_or_nothing(self) -> Generator[None]:
        """Many writes as one: where the block raises, everything is as it was before."""
        with self.lock:
            kept = {
                kind: {number: list(versions) for number, versions in of_type.items()}
                for kind, of_type in self._versions.items()
            }
            gone = dict(self._gone)
            try:
                yield
            except BaseException:
                self._versions, self._gone = kept, gone
                raise

    def deleted(self) -> Iterator[tuple[Resource, str]]:
        """What is no longer there, as it was last, and the moment it was deleted."""
        for (resource_type, resource_id), moment in list(self._gone.items()):
            versions = self._versions[resource_type][resource_id]
            last = next(v.resource for v in reversed(versions) if v.resource is not None)
            yield last, moment

    def _put(self, resource: Resource, resource_id: str) -> Version:
        versions = self._versions.setdefault(str(resource["resourceType"]), {}).setdefault(
            resource_id, []
        )
        self._gone.pop((str(resource["resourceType"]), resource_id), None)
        number = versions[-1].number + 1 if versions else 1
        meta = dict(resource.get("meta") or {}) if is_object(resource.get("meta")) else {}
        if versions and self._habits.keeps_old_tags and versions[-1].resource is not None:
            meta = _merged(versions[-1].resource.get("meta") or {}, meta)
        meta["lastUpdated"] = self._now()
        kept = self._stamped({**self._worn(resource), "id": resource_id}, number, meta)
        versions.append(Version(number, kept))
        return versions[-1]

    def _stamped(self, resource: Resource, number: int, meta: Resource) -> Resource:
        stamped = {"lastUpdated": self._now(), **meta, "versionId": str(number)}
        if self._habits.no_versions:
            stamped.pop("versionId")
        return {**resource, "meta": stamped}

    def new_id(self, resource_type: str) -> str:
        """An id that nothing of this type has."""
        while True:
            self._next += 1
            if str(self._next) not in self._versions.get(resource_type, {}):
                return str(self._next)

    def _worn(self, resource: Resource) -> Resource:
        worn: Resource = _worn(resource, self._habits)
        return worn


def _worn(value: Any, habits: Habits) -> Any:
    if is_object(value):
        return {name: _worn(inner, habits) for name, inner in value.items()}
    if is_array(value):
        return [_worn(inner, habits) for inner in value]
    if habits.strips_versions and isinstance(value, str) and "/_history/" in value:
        return value.split("/_history/", 1)[0]
    if habits.normalises_numbers and isinstance(value, Decimal):
        return value.normalize() if value else Decimal(0)
    return value


def _merged(old: Resource, new: Resource) -> Resource:
    found = dict(new)
    for name in ("tag", "security"):
        kept = [item for item in old.get(name, []) if item not in found.get(name, [])]
        if kept or found.get(name):
            found[name] = [*found.get(name, []), *kept]
    return found
