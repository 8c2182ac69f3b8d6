"""A small FHIR server in memory with the habits of real ones, behind the methods of FhirClient."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_adapter.client import Found, Params, Saved
from fhir_adapter.client.outcomes import Answered
from fhir_adapter.errors import (
    AdapterError,
    ServerBroken,
    ServerRefused,
    ServerUnreachable,
    WriteConflict,
)
from fhir_adapter.ports import Resource

Fault = Callable[[], object]


@dataclass
class MemoryServer:
    """Counts its requests; faults wait in ``before`` and ``after``, by method, in order."""

    versions: bool = True
    conditional: bool = True
    any_will_do: bool = False
    """A conditional create takes whatever stands there for what was meant."""
    history_refused: int = 0
    """Status with which the history of a type is refused; 0 = told."""
    no_search: frozenset[str] = frozenset()
    no_study_search: bool = False
    refused_search: dict[str, int] = field(default_factory=dict)
    """Status with which the search of a type is refused."""
    demands: int = 0
    """Status with which a profile refuses a ResearchSubject without consent; 0 = it does not."""
    ignores: frozenset[str] = frozenset()
    """Parameters that are left out of account without a word."""
    lagging: frozenset[str] = frozenset()
    """Types of which a search finds nothing yet; a read does."""
    incomplete: bool = False
    mangle: Callable[[Resource], Resource] = copy.deepcopy
    kept: dict[tuple[str, str], Resource] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    before: dict[str, list[Fault]] = field(default_factory=dict)
    after: dict[str, list[Fault]] = field(default_factory=dict)
    past: list[Resource] = field(default_factory=list)
    """Every version that ever stood."""
    number: int = 0

    @property
    def writes(self) -> int:
        """Writes asked for so far."""
        return self.asked["create"] + self.asked["update"] + self.asked["update_where"]

    def read(self, resource_type: str, resource_id: str) -> Resource | None:
        self._enter("read")
        found = self.kept.get((resource_type, resource_id))
        return None if found is None else self._shown(found)

    def search(self, resource_type: str, params: Params) -> Found:
        self._enter("search")
        if resource_type in self.no_search or (self.no_study_search and "study" in params):
            raise refusal(400)
        if resource_type in self.refused_search:
            raise refusal(self.refused_search[resource_type])
        asked: Params = {k: v for k, v in params.items() if k not in self.ignores}
        matches = tuple(
            self._shown(one)
            for (kind, _), one in self.kept.items()
            if kind == resource_type and kind not in self.lagging and _matches(one, asked)
        )
        why = "cut-short" if self.incomplete else ""
        return Found(
            resource_type=resource_type,
            matches=matches,
            included=(),
            complete=not why,
            why_not=why,
            total=len(matches),
            pages=1,
            ignored=(),
            self_stated=True,
            issues=(),
        )

    def create(self, resource: Resource, *, if_none_exist: Params | None = None) -> Saved:
        self._enter("create")
        kind = str(resource["resourceType"])
        if self.demands and kind == "ResearchSubject" and "consent" not in resource:
            raise refusal(self.demands, kind)
        if if_none_exist and self.conditional:
            found = [one for (k, _), one in self.kept.items() if k == kind]
            found = [one for one in found if self.any_will_do or _matches(one, if_none_exist)]
            if len(found) > 1:
                raise refusal(412)
            if found:
                return _saved(self._shown(found[0]), created=False)
        self.number += 1
        made = self.put({**resource, "id": f"n{self.number}"})
        self._leave("create")
        return _saved(self._shown(made), created=True)

    def update(self, resource: Resource, *, if_match: str = "") -> Saved:
        self._enter("update")
        kind, number = str(resource["resourceType"]), str(resource["id"])
        self._guard(kind, number, if_match)
        made = self.put(resource)
        self._leave("update")
        return _saved(self._shown(made), created=False)

    def update_where(self, resource: Resource, params: Params) -> Saved:
        self._enter("update_where")
        kind = str(resource["resourceType"])
        found = [one for one in self.all(kind) if _matches(one, params)]
        if len(found) > 1:
            raise refusal(412)
        self.number += 1
        number = found[0]["id"] if found else f"n{self.number}"
        made = self.put({**resource, "id": number})
        self._leave("update_where")
        return _saved(self._shown(made), created=not found)

    def history(self, resource_type: str, *, since: str) -> tuple[Resource, ...]:
        self._enter("history")
        assert since < "2026-11-03"
        if self.history_refused:
            raise refusal(self.history_refused)
        return tuple(one for one in self.past[::-1] if one["resourceType"] == resource_type)

    def put(self, resource: Resource) -> Resource:
        """Keep a resource as a server does: meta of its own, and its habits."""
        key = (str(resource["resourceType"]), str(resource["id"]))
        self.number += 1
        meta = {"versionId": str(self.number), "lastUpdated": f"2026-11-03T00:00:{self.number:02}Z"}
        self.kept[key] = self.mangle({**resource, "meta": {**resource.get("meta", {}), **meta}})
        self.past.append(self.kept[key])
        return self.kept[key]

    def change(self, kind: str, **elements: Any) -> Resource:
        """A person edits the only resource of a kind: a None takes the element away."""
        found = self.only(kind)
        edited = {**found, **elements}
        return self.put({name: value for name, value in edited.items() if value is not None})

    def only(self, kind: str) -> Resource:
        """The only resource of a kind."""
        (found,) = self.all(kind)
        return found

    def all(self, kind: str) -> list[Resource]:
        """Every resource of a kind."""
        return [one for (k, _), one in self.kept.items() if k == kind]

    def _shown(self, resource: Resource) -> Resource:
        shown = copy.deepcopy(resource)
        if not self.versions:
            shown["meta"].pop("versionId")
        return shown

    def _guard(self, kind: str, number: str, if_match: str) -> None:
        standing = self.kept.get((kind, number))
        version = standing["meta"]["versionId"] if standing else ""
        if if_match and if_match != version:
            raise refusal(412)

    def _enter(self, method: str) -> None:
        self.asked[method] += 1
        if self.before.get(method):
            self.before[method].pop(0)()

    def _leave(self, method: str) -> None:
        if self.after.get(method):
            self.after[method].pop(0)()


def refusal(status: int, where: str = "") -> AdapterError:
    """The fault that FhirClient raises for an error status."""
    kinds: dict[int, type[AdapterError]] = {
        403: ServerRefused,
        409: WriteConflict,
        412: WriteConflict,
    }
    fault = kinds.get(status, ServerBroken)(f"the server answered {status}", where=where)
    fault.__cause__ = Answered(status)
    return fault


def lost() -> None:
    """No answer."""
    raise ServerUnreachable("no answer")


def broken(status: int) -> Fault:
    """An error status."""

    def fault() -> None:
        raise refusal(status)

    return fault


def _saved(resource: Resource, *, created: bool) -> Saved:
    return Saved(
        resource_type=resource["resourceType"],
        id=resource["id"],
        version="",
        created=created,
        resource=resource,
    )


def _matches(resource: Resource, params: Params) -> bool:
    return all(_one(resource, name, str(value)) for name, value in params.items())


def _one(resource: Resource, name: str, value: str) -> bool:
    if name == "identifier":
        found = resource.get("identifier", [])
        items = found if isinstance(found, list) else [found]
        tokens = {f"{i.get('system', '')}|{i['value']}" for i in items} | {
            i["value"] for i in items
        }
        return value in tokens
    if name == "patient":
        return bool(resource.get("individual", {}).get("reference") == value)
    if name == "study":
        return bool(resource["study"]["reference"] == value)
    assert name == "target"
    return value in {target["reference"] for target in resource.get("target", [])}
