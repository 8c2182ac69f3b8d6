"""The searches of one patient's record: one per type, id and category, each proved whole or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_adapter.client import Found, escaped, why_not_of
from fhir_adapter.errors import ServerFault
from fhir_adapter.ports import Resource
from fhir_adapter.pull.batching import Search
from fhir_adapter.pull.canaries import EMPTIED
from fhir_adapter.pull.categories import USUAL_CATEGORIES
from fhir_adapter.pull.record_server import RecordServer
from fhir_adapter.pull.references import (
    COMPANION_TYPES,
    COMPANIONS,
    Target,
    companion_reference,
    key_of,
    patients_of,
    target_of,
)

_GIVING_UP = frozenset({"unreachable", "throttled"})
_GIVE_UP_AFTER = 2


@dataclass(slots=True, kw_only=True)
class Searching:
    """The work on one patient; ``whys``, ``issues`` and ``add`` are the pull's own."""

    server: RecordServer
    ids: tuple[str, ...]
    whys: dict[str, str]
    issues: list[str]
    add: Callable[[Resource], None]
    _empty: list[str] = field(default_factory=list[str])
    """Types that were answered whole, and of which nothing came."""
    _brought: set[str] = field(default_factory=set[str])
    _at_once: dict[Search, Found] = field(default_factory=dict[Search, Found])
    _unread: dict[str, str] = field(default_factory=dict[str, str])
    _failures: int = 0
    _give_up: str = ""

    def search_at_once(self, types: Sequence[str]) -> None:
        """First pages of all searches, then what they refer to, in a batch each."""
        if not self.server.batches():
            return
        batching = self.server.batching
        asked = [search for name in types if self._is_asked(name) for search in self._all(name)]
        found = batching.found(asked)
        for resource in batching.read(self._unknown_companions(found).values()):
            self.server.keep(key_of(resource), resource)
        lacking = set(self._unknown_companions(found))
        self._at_once = {
            search: one for search, one in found.items() if not self._is_better_alone(one, lacking)
        }

    def _unknown_companions(self, found: Mapping[Search, Found]) -> dict[str, Target]:
        """What the found ones refer to on this server and nobody has read yet, by key."""
        every = (one for some in found.values() for one in some.matches)
        targets = {t.key: t for one in every if (t := self._companion_of(one)) is not None}
        return {key: t for key, t in targets.items() if key not in self.server.companions}

    def _is_better_alone(self, found: Found, lacking: set[str]) -> bool:
        """Whether _include may bring what could not be read: some may see a Medication only so."""
        if not lacking or self.server.includes(found.resource_type) is None:
            return False
        targets = (self._companion_of(one) for one in found.matches)
        return any(target is not None and target.key in lacking for target in targets)

    def _companion_of(self, resource: Resource) -> Target | None:
        target = target_of(companion_reference(resource))
        if target is None or target.resource_type not in COMPANION_TYPES:
            return None
        return target if target.is_on(self.server.client.base_url) else None

    def take(self, resource_type: str) -> None:
        """Search one type for every id; what is missing is kept as its ``why_not``."""
        if resource_type in self.whys or resource_type in COMPANION_TYPES:
            return
        if self._give_up or self.server.refuses(resource_type):
            self.whys[resource_type] = self._give_up or "not-supported"
            return
        why_not = self._search_each(self._all(resource_type))
        if why_not == "not-supported":
            why_not = self._by_category(resource_type)
        if not why_not and resource_type not in self._brought:
            self._empty.append(resource_type)
        self.whys[resource_type] = why_not
        self._count_failure(why_not)

    def prove(self) -> None:
        """Of a type that was empty: whether the server empties whatever is asked by patient."""
        extras = {name: self.server.searches(name) for name in self._empty}
        emptied = self.server.canaries.emptied(extras, together=self.server.batches())
        self.whys.update(dict.fromkeys(emptied, EMPTIED))

    def _search_each(self, searches: Sequence[Search]) -> str:
        why_not = ""
        for search in searches:
            why_not = why_not or self._search(search)
        return why_not

    def _by_category(self, resource_type: str) -> str:
        """Where a patient alone is refused: what comes by the usual categories.

        It is never whole so: what has no such category is not seen, unless the site says that
        everything has one.
        """
        usual = USUAL_CATEGORIES.get(resource_type, ())
        if not usual or self.server.has_categories(resource_type):
            return "search-refused"  # it does not say so itself: it may be this patient's alone
        extras = [{"category": name} for name in usual]
        refused = self._search_each(self._with(resource_type, extras))
        return "search-refused" if refused == "not-supported" else refused or "by-category"

    def _is_asked(self, resource_type: str) -> bool:
        known = resource_type in self.whys or resource_type in COMPANION_TYPES
        return not known and not self.server.refuses(resource_type)

    def _all(self, resource_type: str) -> list[Search]:
        """The searches for one type: of every id and every category."""
        return self._with(resource_type, self.server.searches(resource_type))

    def _with(self, resource_type: str, extras: Sequence[Mapping[str, str]]) -> list[Search]:
        return [
            Search(
                resource_type=resource_type,
                selecting=(("patient", escaped(patient)), *extra.items()),
                count=self.server.page_size,
            )
            for patient in self.ids
            for extra in extras
        ]

    def _count_failure(self, why_not: str) -> None:
        self._failures = self._failures + 1 if why_not in _GIVING_UP else 0
        self._give_up = why_not if self._failures >= _GIVE_UP_AFTER else ""

    def _search(self, search: Search) -> str:
        try:
            found = self._found(search)
        except ServerFault as fault:
            return why_not_of(fault)
        own = [match for match in found.matches if self._is_own(match)]
        if own:
            self._brought.add(search.resource_type)
            self.server.canaries.brought(search.resource_type)
        for resource in own:
            self.add(resource)
        self._keep_included(found)
        unread = [self._why_unread(resource) for resource in own]
        foreign = "foreign-patient" if len(own) < len(found.matches) else ""
        return next((why for why in (found.why_not, foreign, *unread) if why), "")

    def _found(self, search: Search) -> Found:
        """What a batch brought, where that stands; else by a search of its own."""
        known = self._at_once.get(search)
        if known is None:
            return self._found_alone(search.resource_type, search.params)
        if all(map(self._is_own, known.matches)) and not self.server.batching.doubts(known):
            return known
        alone = self._found_alone(search.resource_type, search.params)
        self.server.batching.compare(alone)
        return alone

    def _found_alone(self, resource_type: str, params: Mapping[str, str]) -> Found:
        """With _include where it is offered; without where the server then refuses or forgets.

        A server that does not know a parameter may answer as if there were nothing: until an
        _include has brought something, an empty answer is asked for again without it.
        """
        companion = self.server.includes(resource_type)
        if companion is None:
            return self.server.client.search(resource_type, params)
        include = {"_include": f"{resource_type}:{companion.include}"}
        try:
            found = self.server.client.search(resource_type, {**params, **include})
        except ServerFault as fault:
            if why_not_of(fault) != "not-supported":
                raise
        else:
            if found.matches:
                self.server.include_works[resource_type] = True
            if not found.complete or resource_type in self.server.include_works:
                return found
        plain = self.server.client.search(resource_type, params)
        if plain.matches:
            self.server.include_works[resource_type] = False
        return plain

    def _is_own(self, resource: Resource) -> bool:
        """Not plainly somebody else's: a server that ignores ``patient`` sends everybody's."""
        owners = patients_of(resource)
        return not owners or not set(owners).isdisjoint(self.ids)

    def _keep_included(self, found: Found) -> None:
        for resource in found.included:
            if resource.get("resourceType") in COMPANION_TYPES:
                self.server.keep(key_of(resource), resource)

    def _why_unread(self, resource: Resource) -> str:
        """Fetch what the resource refers to; a code when that failed and matters."""
        reference = companion_reference(resource)
        target = target_of(reference)
        if target is None or target.resource_type not in COMPANION_TYPES:
            return ""
        if not target.is_on(self.server.client.base_url):
            return self._lost(resource, "foreign-reference")
        known = self.server.companions.get(target.key)
        if known is None and target.key not in self._unread:
            known = self._read_companion(target.resource_type, target.id)
        if known is None:
            return self._lost(resource, self._unread[target.key])
        self.add(known)
        return ""

    def _read_companion(self, resource_type: str, resource_id: str) -> Resource | None:
        try:
            found = self.server.client.read(resource_type, resource_id)
        except ServerFault as fault:
            self._unread[f"{resource_type}/{resource_id}"] = why_not_of(fault)
            return None
        if found is None:
            self._unread[f"{resource_type}/{resource_id}"] = "reference-missing"
            return None
        self.server.keep(f"{resource_type}/{resource_id}", found)
        return found

    def _lost(self, resource: Resource, why_not: str) -> str:
        companion = COMPANIONS[str(resource["resourceType"])]
        self.issues.append(f"{companion.resource_type.lower()}-unread")
        return why_not if companion.vital else ""
