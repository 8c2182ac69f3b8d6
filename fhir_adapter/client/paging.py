"""A search from its first page to its last, and the proof that nothing was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhir_adapter.client.outcomes import status_of, why_not_of
from fhir_adapter.client.urls import Params, names_in, pairs, plain, resolved, same_origin
from fhir_adapter.errors import ServerFault
from fhir_adapter.fhir.outcome import OUTCOME, Issue, issues_of
from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Resource

RESULT_PARAMS = frozenset(
    [
        "_count",
        "_elements",
        "_format",
        "_include",
        "_include:iterate",
        "_pretty",
        "_revinclude",
        "_sort",
        "_summary",
        "_total",
    ]
)
"""Parameters that shape an answer and select nothing: ignoring one loses no resource."""

_EXPIRED = frozenset({400, 404, 410})
_MOST_RESTARTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page. On the last one ``why_not`` says what is missing; empty means: all is here."""

    matches: tuple[Resource, ...] = ()
    included: tuple[Resource, ...] = ()
    issues: tuple[Issue, ...] = ()
    ignored: tuple[str, ...] = ()
    """Parameters that we sent and that are missing from the ``self`` link."""
    self_stated: bool = False
    """Whether a ``self`` link was there to compare with."""
    total: int | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A whole search: resources once each, in the order of the server."""

    resource_type: str
    matches: tuple[Resource, ...]
    included: tuple[Resource, ...]
    complete: bool
    why_not: str
    total: int | None
    pages: int
    ignored: tuple[str, ...]
    self_stated: bool
    issues: tuple[Issue, ...]


@dataclass(slots=True, kw_only=True)
class Walk:
    """Pages of one search.

    ``fetch`` gets a Bundle by address, ``again`` the first page anew, ``count`` how many resources
    match (None where the server does not say).
    """

    resource_type: str
    params: Params
    base: str
    max_pages: int
    fetch: Callable[[str], Resource]
    again: Callable[[], Resource]
    count: Callable[[], int | None]
    posted: bool = False
    _links: set[str] = field(default_factory=set[str])
    _keys: set[str] = field(default_factory=set[str])
    _matched: int = 0
    _nameless: int = 0
    _restarts: int = 0
    _start: str = ""
    _total: int | None = None
    _number: int = 0

    def pages(self, first: Resource, asked: str) -> Iterator[Page]:
        """The first page and all after it; the last one carries the reason it is not whole."""
        bundle: Resource = first
        self._start = asked
        while True:
            self._links.add(asked)
            page, lost = self._page(bundle), ""
            following, why_not = self._next(bundle, asked, page)
            why_not = why_not or self._shortfall(page, following)
            if following and not why_not:
                bundle, asked, lost = self._fetched(following, bundle)
            why_not = why_not or lost
            yield _ended(page, why_not)
            if why_not or not following:
                return

    def _fetched(self, url: str, bundle: Resource) -> tuple[Resource, str, str]:
        """A page, its address, and why there is none."""
        try:
            return self.fetch(url), url, ""
        except ServerFault as fault:
            why_not = _why(fault)
        if why_not != "page-expired":
            return bundle, url, why_not
        return self._restarted(bundle)

    def _restarted(self, bundle: Resource) -> tuple[Resource, str, str]:
        """The search from its beginning: what was there already is told by its id.

        Resources without an id would count twice: with one of them the search stays cut short.
        """
        if self._restarts >= _MOST_RESTARTS or self._nameless:
            return bundle, "", "page-expired"
        self._restarts += 1
        self._links.clear()
        try:
            return self.again(), self._start, ""
        except ServerFault as fault:
            return bundle, "", _why(fault)

    def _page(self, bundle: Resource) -> Page:
        self._number += 1
        entries = _entries(bundle)
        matches, included = self._sorted(entries)
        self._matched += len(matches)
        total = bundle.get("total")
        if isinstance(total, int):
            self._total = max(total, self._total or 0)
        issues = tuple(i for e in entries for i in issues_of(_resource(e)))
        ignored, stated = self._ignored(bundle)
        return Page(
            matches=matches,
            included=included,
            issues=issues,
            ignored=ignored,
            self_stated=stated,
            total=self._total,
            why_not=_fault_of_page(entries, issues, ignored),
        )

    def _sorted(
        self, entries: list[dict[str, Any]]
    ) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
        matches: list[Resource] = []
        included: list[Resource] = []
        for entry in entries:
            resource = _resource(entry)
            if resource is not None and self._is_new(resource):
                (matches if self._is_match(entry, resource) else included).append(resource)
        return tuple(matches), tuple(included)

    def _is_new(self, resource: Resource) -> bool:
        if resource.get("resourceType") == OUTCOME:
            return False
        if "id" not in resource:
            self._nameless += 1
            return True
        key = f"{resource.get('resourceType')}/{resource['id']}"
        known = key in self._keys
        self._keys.add(key)
        return not known

    def _is_match(self, entry: dict[str, Any], resource: Resource) -> bool:
        mode = as_object(entry.get("search")).get("mode")
        return mode != "include" and resource.get("resourceType") == self.resource_type

    def _ignored(self, bundle: Resource) -> tuple[tuple[str, ...], bool]:
        """R4 search 3.1.1.1: ``self`` holds the parameters that the server really used.

        After a POST an address without any parameter proves nothing.
        """
        link = _link(bundle, "self")
        kept = names_in(link)
        if self._number > 1 or not link or (self.posted and not kept):
            return (), False
        return tuple(name for name in self.params if plain(name) not in kept), True

    def _next(self, bundle: Resource, asked: str, page: Page) -> tuple[str, str]:
        """Address of the next page (empty at the end), and why it is not followed."""
        link = _link(bundle, "next")
        if page.why_not or not link:
            return "", page.why_not
        url = resolved(link, base=self.base, asked=asked)
        if not same_origin(url, self.base):
            return url, "foreign-next-link"
        if url in self._links:
            return url, "next-link-loop"
        return url, "too-many-pages" if self._number >= self.max_pages else ""

    def _shortfall(self, page: Page, following: str) -> str:
        """Fewer than the total; without one a last page that is full to the brim proves no end."""
        if following:
            return ""
        if self._total is None and str(len(page.matches)) == self.params.get("_count"):
            self._total = self.count()
            return "" if self._total == self._matched else "cut-short"
        return "cut-short" if self._total is not None and self._matched < self._total else ""


def _why(fault: ServerFault) -> str:
    return "page-expired" if status_of(fault) in _EXPIRED else why_not_of(fault)


def _ended(page: Page, why_not: str) -> Page:
    return Page(
        matches=page.matches,
        included=page.included,
        issues=page.issues,
        ignored=page.ignored,
        self_stated=page.self_stated,
        total=page.total,
        why_not=why_not,
    )


def _fault_of_page(
    entries: list[dict[str, Any]], issues: tuple[Issue, ...], ignored: tuple[str, ...]
) -> str:
    if any(name not in RESULT_PARAMS for name in ignored):
        return "parameter-ignored"
    if any(issue.withholds for issue in issues):
        return "withheld-by-server"
    return "entry-without-resource" if any(_resource(e) is None for e in entries) else ""


def _entries(bundle: Resource) -> list[dict[str, Any]]:
    return [as_object(entry) for entry in as_array(bundle.get("entry"))]


def _resource(entry: dict[str, Any]) -> Resource | None:
    found = as_object(entry.get("resource"))
    return found if "resourceType" in found else None


def is_answer_to(bundle: Resource, resource_type: str, params: Params) -> bool:
    """Whether its ``self`` link is this search: the type, and all that selects with its value.

    Nothing else says to which of many searches an empty Bundle is the answer.
    """
    asked = urlsplit(_link(bundle, "self"))
    said = parse_qsl(asked.query, keep_blank_values=True)
    kind = asked.path.removesuffix("/_search").rpartition("/")[2]
    return kind == resource_type and all(
        any(plain(known) == plain(name) and _is_same(text, value) for known, text in said)
        for name, value in pairs(params)
        if name not in RESULT_PARAMS
    )


def _is_same(said: str, asked: str) -> bool:
    """``patient=1`` may come back as ``patient=Patient/1``."""
    return said == asked or said.endswith(f"/{asked}")


def _link(bundle: Resource, relation: str) -> str:
    for link in map(as_object, as_array(bundle.get("link"))):
        if link.get("relation") == relation:
            return str(link.get("url", ""))
    return ""


def found_of(resource_type: str, pages: list[Page]) -> Found:
    """All pages as one; there is always at least one page."""
    first, last = pages[0], pages[-1]
    return Found(
        resource_type=resource_type,
        matches=tuple(r for page in pages for r in page.matches),
        included=tuple(r for page in pages for r in page.included),
        complete=not last.why_not,
        why_not=last.why_not,
        total=last.total,
        pages=len(pages),
        ignored=first.ignored,
        self_stated=first.self_stated,
        issues=tuple(i for page in pages for i in page.issues),
    )
