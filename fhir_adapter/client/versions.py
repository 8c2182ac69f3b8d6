"""A history from its first page to its last (R4 http 3.1.0.9): every version, newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fhir_adapter.client.urls import resolved, same_origin
from fhir_adapter.errors import ServerBroken
from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Resource


def versions_in(
    fetch: Callable[[str], Resource], first: str, *, base: str, max_pages: int
) -> Iterator[Resource]:
    """Resources as they stood; a deletion has none. ServerBroken where a page cannot be had."""
    url = first
    for _ in range(max_pages):
        bundle = fetch(url)
        for entry in map(as_object, as_array(bundle.get("entry"))):
            found = as_object(entry.get("resource"))
            if "resourceType" in found:
                yield found
        links = map(as_object, as_array(bundle.get("link")))
        following = next((str(one["url"]) for one in links if one.get("relation") == "next"), "")
        if not following:
            return
        url = resolved(following, base=base, asked=url)
        if not same_origin(url, base):
            break
    raise ServerBroken(
        "the history is not whole", where=base, remedy="Run `fhir-adapter server doctor`."
    )
