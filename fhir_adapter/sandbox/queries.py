"""A search as asked: parameters understood or refused, sorted, included, cut into pages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlencode

from fhir_adapter.fhir.reading import is_object
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.habits import Habits
from fhir_adapter.sandbox.refusal import Refusal
from fhir_adapter.sandbox.search import Wanted, matches, sort_key, values_at
from fhir_adapter.sandbox.search_table import (
    COMMON,
    CONTROLS,
    INCLUDES,
    PATIENT_DATA,
    TABLE,
    Parameter,
)
from fhir_adapter.sandbox.store import Store

Asked = Sequence[tuple[str, str]]
_DEFAULT_PAGE = 50
_MOST_PAGES = 10_000
_PATIENT_NAMES = ("patient", "subject", "individual", "_id", "identifier")


@dataclass(slots=True)
class Pages:
    """What is left of searches that did not fit on one page; the oldest are forgotten."""

    _left: OrderedDict[str, tuple[Resource, ...]] = field(default_factory=OrderedDict)
    _next: int = 0
    _lock: Lock = field(default_factory=Lock)

    def keep(self, rest: tuple[Resource, ...]) -> str:
        """A token for the rest of a search."""
        with self._lock:
            self._next += 1
            token = f"p{self._next}"
            self._left[token] = rest
            while len(self._left) > _MOST_PAGES:
                self._left.popitem(last=False)
            return token

    def of(self, token: str) -> tuple[Resource, ...]:
        """The rest behind a token; 410 where it is forgotten."""
        with self._lock:
            if token not in self._left:
                raise Refusal(410, "deleted", "this page is no longer kept: search again")
            return self._left[token]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searching:
    """What a search needs."""

    store: Store
    habits: Habits
    base: str
    pages: Pages

    def search(self, resource_type: str, asked: Asked) -> Resource:
        """A searchset Bundle."""
        controls = {name: value for name, value in asked if name in CONTROLS}
        count = _count(controls.get("_count"), self.habits.max_page)
        if "_page" in controls:
            token = controls["_page"]
            kept = self.pages.of(token)
            return self._bundle(resource_type, kept, count, controls, (), total=None)
        wanted = self._wanted(resource_type, asked)
        if wanted is None:
            return self._bundle(resource_type, (), count, controls, (), total=0)
        found = self._found(resource_type, wanted, controls)
        if controls.get("_summary") == "count":
            return {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return self._bundle(resource_type, found, count, controls, asked, total=len(found))

    def find(self, resource_type: str, asked: Asked) -> list[Resource]:
        """All matches, for a condition."""
        wanted = self._wanted(resource_type, asked)
        return [] if wanted is None else list(self._found(resource_type, wanted, {}))

    def _wanted(self, resource_type: str, asked: Asked) -> tuple[Wanted, ...] | None:
        """The parameters, understood; None where this server answers nonsense with nothing."""
        found: list[Wanted] = []
        for name, value in asked:
            if name in CONTROLS:
                continue
            parameter = self._parameter(resource_type, name)
            if parameter is None:
                if self.habits.empty_for_unknown_parameter:
                    return None
                raise Refusal(
                    400, "not-supported", f"the search parameter {name!r} is not known here"
                )
            found.append(Wanted(parameter, tuple(value.split(","))))
            found[-1].refuse_nonsense()
        self._refuse_everybody(resource_type, [name for name, _ in asked])
        return tuple(found)

    def _parameter(self, resource_type: str, name: str) -> Parameter | None:
        if name == "_lastUpdated" and self.habits.no_last_updated:
            return None
        return TABLE[resource_type].get(name) or COMMON.get(name)

    def _refuse_everybody(self, resource_type: str, names: Sequence[str]) -> None:
        if not self.habits.needs_patient or resource_type not in PATIENT_DATA:
            return
        if not set(names) & set(_PATIENT_NAMES):
            raise Refusal(400, "required", "this server wants a patient on every search")

    def _found(
        self, resource_type: str, wanted: Sequence[Wanted], controls: dict[str, str]
    ) -> tuple[Resource, ...]:
        base = "" if self.habits.knows_no_absolute else self.base
        with self.store.lock:
            found = [
                resource
                for resource in self.store.all_of(resource_type)
                if matches(resource, wanted, base)
            ]
        return tuple(self._sorted(resource_type, found, controls.get("_sort", "")))

    def _sorted(self, resource_type: str, found: list[Resource], how: str) -> list[Resource]:
        if not how:
            return found
        name = how.removeprefix("-")
        parameter = self._parameter(resource_type, name)
        if parameter is None or parameter.kind != "date":
            raise Refusal(400, "not-supported", "only dates can be sorted by")
        return sorted(
            found, key=lambda item: sort_key(item, parameter.paths), reverse=how.startswith("-")
        )

    def _bundle(
        self,
        resource_type: str,
        found: tuple[Resource, ...],
        count: int,
        controls: dict[str, str],
        used: Asked,
        *,
        total: int | None,
    ) -> Resource:
        page, rest = found[:count], found[count:]
        entries = [self._entry(resource, "match") for resource in page]
        entries += [
            self._entry(resource, "include")
            for resource in self._included(resource_type, page, controls)
        ]
        links = [{"relation": "self", "url": self._url(resource_type, used)}]
        if rest:
            token = self.pages.keep(rest)
            more = [("_page", token), ("_count", str(count))]
            if "_include" in controls:
                more.append(("_include", controls["_include"]))
            links.append({"relation": "next", "url": self._url(resource_type, more)})
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset"}
        if total is not None:
            bundle["total"] = total
        return {**bundle, "link": links, "entry": entries}

    def _entry(self, resource: Resource, mode: str) -> Resource:
        url = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}

    def _included(
        self, resource_type: str, page: Sequence[Resource], controls: dict[str, str]
    ) -> list[Resource]:
        asked = controls.get("_include", "")
        if not asked:
            return []
        element = INCLUDES.get(resource_type, {}).get(asked.partition(":")[2])
        if element is None or asked.partition(":")[0] != resource_type:
            raise Refusal(400, "not-supported", "this _include is not known here")
        found: dict[str, Resource] = {}
        for resource in page:
            for value in values_at(resource, element):
                target = str(value.get("reference", "")) if is_object(value) else ""
                kind, _, number = target.removeprefix(f"{self.base}/").partition("/")
                if self.store.has(kind, number):
                    found[f"{kind}/{number}"] = self.store.get(kind, number).resource or {}
        return list(found.values())

    def _url(self, resource_type: str, params: Asked) -> str:
        text = f"{resource_type}?{urlencode(list(params))}" if params else resource_type
        return text if self.habits.relative_links else f"{self.base}/{text}"


def _count(text: str | None, most: int) -> int:
    if text is None:
        return min(_DEFAULT_PAGE, most)
    if not text.isdecimal():
        raise Refusal(400, "invalid", "_count is not a number")
    return max(1, min(int(text), most))
