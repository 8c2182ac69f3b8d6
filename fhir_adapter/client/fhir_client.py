"""FhirClient: the FHIR interactions that the adapter uses, over one session, in R4.

A server that turned out to speak R5 is spoken to in R5 here and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from fhir_adapter.client.auth import Auth
from fhir_adapter.client.batch import BatchSending, Entry, EntryAnswer
from fhir_adapter.client.bulk import BulkClient
from fhir_adapter.client.capability import Capability, capability_of
from fhir_adapter.client.dialect import Dialect, not_in_r5
from fhir_adapter.client.network import Network
from fhir_adapter.client.outcomes import fault_of, status_of
from fhir_adapter.client.paging import RESULT_PARAMS, Found, Page, Walk, found_of
from fhir_adapter.client.posting import Posting
from fhir_adapter.client.retry import RetryBudget, moment
from fhir_adapter.client.saved import Saved, saved_of
from fhir_adapter.client.transport import Answer, Asked, Repeat, Timeouts, Transport
from fhir_adapter.client.urls import Params, base_of, query, segment
from fhir_adapter.client.versions import versions_in
from fhir_adapter.errors import (
    InternalFault,
    NotFhir,
    OtherVersion,
    ServerBroken,
    ServerFault,
    ServerRefused,
)
from fhir_adapter.fhir.outcome import issues_of
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import Resource

_JSON = "application/fhir+json"
_FORM = "application/x-www-form-urlencoded"
_POSTED = "/_search"
_GONE = frozenset({404, 410})
_NOT_FHIR_REMEDY = "Check that the base URL is the FHIR endpoint and not a login or error page."


class FhirClient:
    """One FHIR R4 server; with ``takes_r5`` it may be one of R5, once ``capability`` has said so.

    Raises only the faults of ``errors.py``; their texts hold the base URL, the resource type, a
    status and issue codes, never an id, a query or what the server wrote.

    >>> FhirClient("https://example.org/fhir")
    FhirClient('https://example.org/fhir')
    """

    def __init__(  # noqa: PLR0913 - one keyword per setting of a connection
        self,
        base_url: str,
        *,
        auth: Auth | None = None,
        timeouts: Timeouts | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], None] = time.sleep,
        user_agent: str = "fhir-adapter",
        headers: Mapping[str, str] | None = None,
        prefer_post: bool = False,
        max_pages: int = 1000,
        network: Network | None = None,
        takes_r5: bool = False,
    ) -> None:
        self.base_url: str = base_of(base_url)
        self._posting = Posting(wanted=prefer_post)
        self._max_pages = max_pages
        self._takes_r5 = takes_r5
        self._dialect = Dialect(self.base_url, takes_r5=takes_r5)
        self._sleep = sleep
        self._budget = budget or RetryBudget()
        self._transport = Transport(
            self.base_url,
            auth=auth,
            timeouts=timeouts or Timeouts(),
            budget=self._budget,
            sleep=sleep,
            headers={**_headers(user_agent), **(headers or {})},
            network=network or Network(),
        )

    def __repr__(self) -> str:
        return f"FhirClient({self.base_url!r})"

    @property
    def requests(self) -> int:
        """Requests sent so far, retries and redirects included."""
        return self._transport.sent

    @property
    def server_time(self) -> datetime | None:
        """The Date of the last answer: the server's own clock; None where it sends none."""
        return moment(self._transport.dated)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def read(self, resource_type: str, resource_id: str) -> Resource | None:
        """One resource; None where there is none (404) or none any more (410)."""
        return self._read(resource_type, (resource_id,))

    def vread(self, resource_type: str, resource_id: str, version: str) -> Resource | None:
        """One version of a resource; None where it is not kept."""
        return self._read(resource_type, (resource_id, "_history", version))

    def history(self, resource_type: str, *, since: str) -> tuple[Resource, ...]:
        """Versions of all resources of a type since an instant, newest first; all, or a fault."""
        first = f"{self.base_url}/{resource_type}/_history?{query({'_since': since})}"
        found = versions_in(
            lambda url: self._bundle(self._get(resource_type, url, {})),
            first,
            base=self.base_url,
            max_pages=self._max_pages,
        )
        return tuple(found)

    def search(self, resource_type: str, params: Params, *, max_pages: int | None = None) -> Found:
        """All pages. An error on the first one raises; later ones make it incomplete."""
        pages = list(self.pages(resource_type, params, max_pages=max_pages))
        return found_of(resource_type, pages)

    def pages(
        self, resource_type: str, params: Params, *, max_pages: int | None = None
    ) -> Iterator[Page]:
        """Page after page; the last one says in ``why_not`` what is missing."""
        params = self._dialect.params(resource_type, params)
        asked, first = self._searched(resource_type, params)
        walk = self._walk(resource_type, params, lambda: self._bundle(asked), max_pages)
        walk.posted = asked.method == "POST"
        return walk.pages(first, asked.url.removesuffix(_POSTED))

    def search_from(self, resource_type: str, params: Params, first: Resource) -> Found:
        """``search`` where the first page is here already, as one answer of a batch.

        It is proved like any other; where it has to be asked for again, that is done alone.
        """
        params = self._dialect.params(resource_type, params)
        first = self._dialect.in_r4(first, where=self._where(resource_type))
        asked = f"{self.base_url}/{resource_type}?{query(params)}"
        walk = self._walk(resource_type, params, lambda: self._searched(resource_type, params)[1])
        return found_of(resource_type, list(walk.pages(first, asked)))

    def _walk(
        self,
        resource_type: str,
        params: Params,
        again: Callable[[], Resource],
        max_pages: int | None = None,
    ) -> Walk:
        return Walk(
            resource_type=resource_type,
            params=params,
            base=self.base_url,
            max_pages=max_pages or self._max_pages,
            fetch=lambda url: self._bundle(self._get(resource_type, url, _STRICT)),
            again=again,
            count=lambda: self._counted(resource_type, params),
        )

    def batch(self, entries: Sequence[Entry]) -> tuple[EntryAnswer, ...]:
        """A batch; what is answered 429 or 503 entry by entry is sent again.

        One answer per entry, in their order. An entry that keeps being refused keeps its status.
        """
        if self._dialect.is_r5:
            raise not_in_r5("a batch", where=self.base_url)
        return BatchSending(self._transport, budget=self._budget, sleep=self._sleep).sent(entries)

    def create(self, resource: Resource, *, if_none_exist: Params | None = None) -> Saved:
        """POST; with ``if_none_exist`` the server keeps what it has (200), else 201.

        A plain create is never sent twice; a conditional one only after a 429 or 503.
        """
        condition = self._dialect.params(_type(resource), if_none_exist or {})
        headers = {"If-None-Exist": query(condition)} if condition else {}
        repeat = Repeat.WHEN_REFUSED if if_none_exist else Repeat.NEVER
        url = f"{self.base_url}/{_type(resource)}"
        return self._write("POST", url, resource, headers, repeat=repeat)

    def update(self, resource: Resource, *, if_match: str = "") -> Saved:
        """PUT under the resource's own id; ``if_match`` is the versionId that was read."""
        url = self._url(_type(resource), (str(resource.get("id", "")),))
        if url is None:
            raise InternalFault("an update without a usable id", where=self._where(_type(resource)))
        return self._write("PUT", url, resource, _if_match(if_match))

    def update_where(self, resource: Resource, params: Params) -> Saved:
        """Conditional update: PUT on the one resource that the search finds, or a new one."""
        kind = _type(resource)
        url = f"{self.base_url}/{kind}?{query(self._dialect.params(kind, params))}"
        return self._write("PUT", url, resource, {})

    def delete(self, resource_type: str, resource_id: str, *, if_match: str = "") -> bool:
        """Whether there was something to delete."""
        url = self._url(resource_type, (resource_id,))
        if url is None:
            return False
        asked = Asked(
            method="DELETE",
            url=url,
            where=self._where(resource_type),
            headers=_if_match(if_match),
            writes=True,
        )
        answer = self._transport.ask(asked)
        if answer.status in _GONE:
            return False
        _raise_unless_good(answer, asked)
        return True

    def ask(self, asked: Asked) -> Answer:
        """One exchange as it was, whatever the status: for whom a refusal is a finding."""
        return self._transport.ask(asked)

    def bulk(self, *, patience: float = 86_400.0) -> BulkClient:
        """The same server's Bulk Data export; one may take so many seconds."""
        return BulkClient(self._transport, patience=patience, sleep=self._sleep)

    def subscription_events(self, subscription: str, first: int, last: int) -> Resource:
        """A topic's events again, both ends included (Subscriptions R5 Backport, $events)."""
        url = self._url("Subscription", (subscription, "$events"))
        if url is None:
            raise InternalFault("a Subscription without a usable id", where=self.base_url)
        asked = query({"eventsSinceNumber": str(first), "eventsUntilNumber": str(last)})
        return self._bundle(self._get("Subscription", f"{url}?{asked}", {}))

    def know_version(self) -> None:
        """Ask /metadata where it matters and is not known yet; OtherVersion for one not spoken.

        A server that does not answer it is taken for one of R4.
        """
        if self._dialect.is_r5 is None:
            try:
                self.capability()
            except OtherVersion:
                raise
            except ServerFault:
                return

    def in_r4(self, resource: Resource) -> Resource:
        """What this server's data look like in R4, where they came by another way.

        ServerBroken for what cannot be told in R4.
        """
        return self._dialect.in_r4(resource, where=self.base_url)

    def names(self, resource_type: str, params: Params) -> Params:
        """A search in the words of the version that this server speaks."""
        return self._dialect.params(resource_type, params)

    def capability(self) -> Capability:
        """What /metadata says; NotFhir for another FHIR version."""
        asked = self._get("metadata", f"{self.base_url}/metadata", {})
        said = _good(self._transport.ask(asked), asked)
        found = capability_of(said, where=asked.where, takes_r5=self._takes_r5)
        self._dialect.heard(is_r5=found.is_r5)
        return found

    def _read(self, resource_type: str, path: tuple[str, ...]) -> Resource | None:
        url = self._url(resource_type, path)
        if url is None:
            return None
        asked = self._get(resource_type, url, {})
        answer = self._transport.ask(asked)
        if answer.status in _GONE:
            return None
        return _expect(
            self._dialect.in_r4(_good(answer, asked), where=asked.where), resource_type, asked
        )

    def _resource(self, asked: Asked) -> Resource:
        return self._dialect.in_r4(_good(self._transport.ask(asked), asked), where=asked.where)

    def _bundle(self, asked: Asked) -> Resource:
        return _expect(self._resource(asked), "Bundle", asked)

    def _write(
        self,
        method: str,
        url: str,
        resource: Resource,
        headers: Mapping[str, str],
        *,
        repeat: Repeat = Repeat.ALWAYS,
    ) -> Saved:
        asked = Asked(
            method=method,
            url=url,
            where=self._where(_type(resource)),
            headers={"Content-Type": _JSON, "Prefer": "return=representation", **headers},
            body=encode(self._dialect.as_sent(resource, where=self._where(_type(resource)))),
            repeat=repeat,
            writes=True,
        )
        answer = self._transport.ask(asked)
        _raise_unless_good(answer, asked)
        saved = saved_of(answer, resource)
        if saved.resource is None:
            return saved
        return replace(saved, resource=self._dialect.in_r4(saved.resource, where=asked.where))

    def _searched(self, resource_type: str, params: Params) -> tuple[Asked, Resource]:
        """The first page, by POST where its address would tell too much or be too long."""
        get = self._get(resource_type, f"{self.base_url}/{resource_type}?{query(params)}", _STRICT)
        if not self._posting.fits(params, get.url):
            return get, self._bundle(get)
        post = self._post_search(resource_type, params)
        try:
            found = self._bundle(post)
        except (ServerBroken, ServerRefused) as fault:
            if not self._posting.may_be_refused(status_of(fault)):
                raise
        else:
            self._posting.worked()
            return post, found
        found = self._bundle(get)
        self._posting.failed()
        return get, found

    def _counted(self, resource_type: str, params: Params) -> int | None:
        """How many match, by a search that wants no more than that."""
        selecting = {name: value for name, value in params.items() if name not in RESULT_PARAMS}
        try:
            _, found = self._searched(resource_type, {**selecting, "_summary": "count"})
        except ServerFault:
            return None
        total = found.get("total")
        return total if isinstance(total, int) else None

    def _post_search(self, resource_type: str, params: Params) -> Asked:
        return Asked(
            method="POST",
            url=f"{self.base_url}/{resource_type}{_POSTED}",
            where=self._where(resource_type),
            headers={**_STRICT, "Content-Type": _FORM},
            body=query(params).encode("ascii"),
        )

    def _get(self, resource_type: str, url: str, headers: Mapping[str, str]) -> Asked:
        return Asked(method="GET", url=url, where=self._where(resource_type), headers=headers)

    def _where(self, resource_type: str) -> str:
        return f"{self.base_url}/{resource_type}"

    def _url(self, resource_type: str, path: tuple[str, ...]) -> str | None:
        segments = [segment(part) for part in path]
        if None in segments:
            return None
        return "/".join([self.base_url, resource_type, *(s for s in segments if s)])


_STRICT = {"Prefer": "handling=strict"}


def _headers(user_agent: str) -> dict[str, str]:
    return {"User-Agent": user_agent, "Accept": _JSON, "Cache-Control": "no-cache"}


def _if_match(version: str) -> dict[str, str]:
    return {"If-Match": f'W/"{version}"'} if version else {}


def _type(resource: Resource) -> str:
    return str(resource["resourceType"])


def _raise_unless_good(answer: Answer, asked: Asked) -> None:
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    issues = issues_of(decode(answer.body))
    waits = "Retry-After" in answer.headers
    raise fault_of(answer.status, issues, where=asked.where, waits=waits, writes=asked.writes)


def _good(answer: Answer, asked: Asked) -> Resource:
    _raise_unless_good(answer, asked)
    found = decode(answer.body)
    if found is None:
        raise NotFhir("the answer is not a resource", where=asked.where, remedy=_NOT_FHIR_REMEDY)
    return found


def _expect(found: Resource, resource_type: str, asked: Asked) -> Resource:
    if found["resourceType"] != resource_type:
        said = f"the answer is not a {resource_type}"
        raise NotFhir(said, where=asked.where, remedy=_NOT_FHIR_REMEDY)
    return found
