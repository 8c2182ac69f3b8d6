"""A proxy that makes a good FHIR server a bad one: by base URL, before any server.

    with FaultProxy(base_url) as proxy:
        proxy.arm(throttled(429, "2"), times=3)
        proxy.arm(duplicated(), chance=0.2, on=is_write)
        FhirClient(proxy.url)...

Faults lie around each other in the order of arming, the first one nearest to the client. The same
seed and the same requests give the same faults. It listens on 127.0.0.1, on a free port.

From a shell: python -m tests.fault_proxy BASE_URL FAULT...
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

_HOP_BY_HOP = frozenset(
    ("connection", "content-length", "host", "keep-alive", "transfer-encoding", "accept-encoding",
     "content-encoding", "server")
)  # fmt: skip
_FORM = "application/x-www-form-urlencoded"
_FHIR = {"Content-Type": "application/fhir+json"}


@dataclass(frozen=True)
class Request:
    """As the client sent it; ``path`` is what follows the base, without the query."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    @property
    def params(self) -> list[tuple[str, str]]:
        """Of the address and of a posted form."""
        form = self.headers.get("Content-Type", "").startswith(_FORM)
        return [*self.query, *(parse_qsl(self.body.decode(), True) if form else ())]

    def with_params(self, params: list[tuple[str, str]]) -> Request:
        if self.headers.get("Content-Type", "").startswith(_FORM):
            return replace(self, query=(), body=urlencode(params).encode())
        return replace(self, query=tuple(params))

    def header(self, name: str) -> str:
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), "")


@dataclass(frozen=True)
class Reply:
    """What the client gets; ``cut`` = bytes promised and not sent, ``lost`` = nothing at all."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    lost: bool = False

    def json(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def with_json(self, body: dict[str, Any]) -> Reply:
        return replace(self, body=json.dumps(body).encode())


Forward = Callable[[Request], Reply]
Fault = Callable[[Request, Forward], Reply]
Matcher = Callable[[Request], bool]


# ------------------------------------------------------------------------- which requests


def is_any(_: Request) -> bool:
    return True


def is_search(one: Request) -> bool:
    """The first page of a search."""
    if one.method == "POST":
        return one.path.endswith("/_search")
    return (
        one.method == "GET"
        and one.path.count("/") == 1
        and not is_page(one)
        and (not is_metadata(one))
    )


def is_page(one: Request) -> bool:
    """A page after the first: of the sandbox, HAPI, Microsoft, Medplum."""
    names = {name for name, _ in one.query}
    return one.method == "GET" and bool(names & {"_page", "_getpages", "ct", "_cursor", "_offset"})


def is_search_or_page(one: Request) -> bool:
    return is_search(one) or is_page(one)


def is_read(one: Request) -> bool:
    return one.method == "GET" and one.path.count("/") == 2


def is_create(one: Request) -> bool:
    return one.method == "POST" and one.path.count("/") == 1 and not is_batch(one)


def is_batch(one: Request) -> bool:
    """A batch, or a transaction."""
    return one.method == "POST" and one.path in {"", "/"}


def is_write(one: Request) -> bool:
    return is_create(one) or one.method in {"PUT", "DELETE"}


def is_metadata(one: Request) -> bool:
    return one.path == "/metadata"


def of_type(name: str, also: Matcher = is_any) -> Matcher:
    return lambda one: one.path.split("/")[1:2] == [name] and also(one)


# --------------------------------------------------------------------------------- faults


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Fault:
    """An answer without asking the server."""
    return lambda _, __: Reply(code, body, headers or {})


def throttled(code: int = 429, retry_after: str = "1") -> Fault:
    """429 or 503 with Retry-After in seconds."""
    return status(code, {"Retry-After": retry_after})


def throttled_until(seconds: int, code: int = 429) -> Fault:
    """The other form: a date, counted from the answer's own."""

    def fault(_: Request, __: Forward) -> Reply:
        now = time.time()
        until, date = formatdate(now + seconds, usegmt=True), formatdate(now, usegmt=True)
        return Reply(code, b"", {"Retry-After": until, "Date": date})

    return fault


def cut_body(share: float = 0.5) -> Fault:
    """The answer breaks off."""

    def fault(one: Request, forward: Forward) -> Reply:
        found = forward(one)
        kept = found.body[: int(len(found.body) * share)]
        return replace(found, body=kept, cut=max(1, len(found.body) - len(kept)))

    return fault


def cut_after_commit() -> Fault:
    """The server does it, and the answer is lost."""

    def fault(one: Request, forward: Forward) -> Reply:
        forward(one)
        return Reply(0, lost=True)

    return fault


def cut_before_commit() -> Fault:
    """The request is lost."""
    return lambda _, __: Reply(0, lost=True)


def error_after_commit(code: int = 500) -> Fault:
    """The server does it and says that it could not."""

    def fault(one: Request, forward: Forward) -> Reply:
        forward(one)
        return Reply(code)

    return fault


def delayed(seconds: float) -> Fault:
    def fault(one: Request, forward: Forward) -> Reply:
        time.sleep(seconds)
        return forward(one)

    return fault


def duplicated() -> Fault:
    """Something on the way sends the request twice; the second answer arrives."""

    def fault(one: Request, forward: Forward) -> Reply:
        forward(one)
        return forward(one)

    return fault


def edited(edit: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Fault:
    """The JSON of a good answer changed; None leaves it as it is."""

    def fault(one: Request, forward: Forward) -> Reply:
        found = forward(one)
        body = found.json()
        changed = edit(json.loads(json.dumps(body))) if body and found.status < 300 else None
        return found if changed is None else found.with_json(changed)

    return fault


def of_entries(edit: Callable[[list[Any]], list[Any]]) -> Fault:
    """The entries of a Bundle changed, whatever its total says."""

    def change(body: dict[str, Any]) -> dict[str, Any] | None:
        return {**body, "entry": edit(body["entry"])} if body.get("entry") else None

    return edited(change)


def reordered() -> Fault:
    return of_entries(lambda entries: entries[::-1])


def missing_entry() -> Fault:
    return of_entries(lambda entries: entries[:-1])


def repeated_entry() -> Fault:
    return of_entries(lambda entries: [*entries, entries[0]])


def emptied_entry() -> Fault:
    """An entry without its resource."""
    return of_entries(lambda entries: [{"fullUrl": "urn:x"}, *entries[1:]])


def swapped_entry() -> Fault:
    """The last entry gives way to a repetition of the first: the count stays."""
    return of_entries(lambda entries: [*entries[:-1], entries[0]])


def of_next(edit: Callable[[str], str | None]) -> Fault:
    """The next link changed; None takes it away."""

    def change(body: dict[str, Any]) -> dict[str, Any] | None:
        links = []
        for link in body.get("link", []):
            url = edit(link["url"]) if link.get("relation") == "next" else link["url"]
            links += [] if url is None else [{**link, "url": url}]
        return {**body, "link": links} if body.get("link") else None

    return edited(change)


def foreign_next(host: str = "http://internal.example/fhir") -> Fault:
    return of_next(lambda url: f"{host}/x?{urlsplit(url).query}")


def relative_next() -> Fault:
    return of_next(lambda url: f"{urlsplit(url).path}?{urlsplit(url).query}")


def query_next() -> Fault:
    """``?page=2`` alone."""
    return of_next(lambda url: f"?{urlsplit(url).query}")


def doubled_port_next() -> Fault:
    """``host:port:port``, as a gateway was seen to write."""
    return of_next(lambda url: url.replace(netloc := urlsplit(url).netloc, f"{netloc}:443"))


def no_next() -> Fault:
    """The first page is the last."""
    return of_next(lambda _: None)


def looping_next() -> Fault:
    """Every page names the same next one."""
    seen: list[str] = []

    def loop(url: str) -> str:
        seen.append(url)
        return seen[0]

    return of_next(loop)


def no_total() -> Fault:
    return edited(lambda body: {k: v for k, v in body.items() if k != "total"})


def expired_page(code: int = 410) -> Fault:
    """Arm it on is_page."""
    return status(code, _FHIR, b'{"resourceType":"OperationOutcome"}')


def outcome_entry(code: str, severity: str = "warning") -> Fault:
    """An OperationOutcome among the entries."""
    issue = {"severity": severity, "code": code}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    return of_entries(
        lambda entries: [*entries, {"resource": outcome, "search": {"mode": "outcome"}}]
    )


def no_metadata(code: int = 404) -> Fault:
    """Arm it on is_metadata."""
    return status(code)


def lying_metadata(**elements: Any) -> Fault:
    """Arm it on is_metadata."""
    return edited(lambda body: {**body, **elements})


def ignored_parameter(name: str, *, in_self: bool = False) -> Fault:
    """Left out of the search without a word; with ``in_self`` the self link claims it was used."""

    def fault(one: Request, forward: Forward) -> Reply:
        params = one.params
        if name not in {n for n, _ in params}:
            return forward(one)
        found = forward(one.with_params([(n, v) for n, v in params if n != name]))
        if not in_self:
            return found
        said = urlencode(params)
        body = found.json()
        links = [
            {**link, "url": f"{link['url'].partition('?')[0]}?{said}"}
            if link.get("relation") == "self" else link
            for link in body.get("link", [])
        ]  # fmt: skip
        return found.with_json({**body, "link": links})

    return fault


def emptied_parameter(name: str) -> Fault:
    """An unknown parameter is answered as if nobody had data (measured on Medplum)."""

    def fault(one: Request, forward: Forward) -> Reply:
        if name not in {n for n, _ in one.params}:
            return forward(one)
        body = {"resourceType": "Bundle", "type": "searchset", "total": 0}
        return Reply(200, json.dumps(body).encode(), _FHIR)

    return fault


def stale_search(
    seconds: float, *, honest: bool = True, clock: Callable[[], float] = time.monotonic
) -> Fault:
    """The same search is answered from a cache; an honest one heeds Cache-Control: no-cache."""
    kept: dict[str, tuple[float, Reply]] = {}
    lock = threading.Lock()

    def fault(one: Request, forward: Forward) -> Reply:
        fresh = honest and "no-cache" in one.header("Cache-Control")
        key = f"{one.path}?{sorted(one.params)}"
        with lock:
            since, known = kept.get(key, (0.0, None))
        if known is not None and not fresh and clock() - since < seconds:
            return known
        found = forward(one)
        with lock:
            kept[key] = clock(), found
        return found

    return fault


def transaction_as_batch() -> Fault:
    """A transaction runs as a batch, without a word."""

    def fault(one: Request, forward: Forward) -> Reply:
        body = Reply(200, one.body).json()
        if body.get("type") != "transaction":
            return forward(one)
        changed = json.dumps({**body, "type": "batch"}).encode()
        found = forward(replace(one, body=changed))
        return found.with_json({**found.json(), "type": "transaction-response"})

    return fault


def in_batch(inner: Fault, on: Matcher = is_any) -> Fault:
    """What the fault does to a single request, to each such read of a batch: arm it on is_batch."""

    def fault(one: Request, forward: Forward) -> Reply:
        def alone(read: Request) -> Reply:
            url = f"{read.path.lstrip('/')}?{urlencode(read.query)}".rstrip("?")
            entry = {"request": {"method": "GET", "url": url}}
            body = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
            found = forward(replace(one, body=json.dumps(body).encode())).json()["entry"][0]
            told = found["response"]
            status = int(told["status"][:3])
            return Reply(status).with_json(found.get("resource") or told.get("outcome") or {})

        def answered(entry: dict[str, Any]) -> dict[str, Any]:
            path, _, query = entry["request"]["url"].partition("?")
            pairs = tuple(parse_qsl(query, keep_blank_values=True))
            read = Request("GET", f"/{path}", pairs, one.headers, b"")
            found = inner(read, alone) if on(read) else alone(read)
            told = {"response": {"status": str(found.status) if not found.lost else ""}}
            return {**told, "resource": found.json()} if found.json() else told

        asked = Reply(200, one.body).json()["entry"]
        body = {"resourceType": "Bundle", "type": "batch-response"}
        return Reply(200, headers=_FHIR).with_json({**body, "entry": [answered(e) for e in asked]})

    return fault


def double_create() -> Fault:
    """A conditional create is executed without its condition."""

    def fault(one: Request, forward: Forward) -> Reply:
        headers = {k: v for k, v in one.headers.items() if k.lower() != "if-none-exist"}
        return forward(replace(one, headers=headers))

    return fault


def forgotten_create() -> Fault:
    """201, and nothing is kept."""

    def fault(one: Request, _: Forward) -> Reply:
        kept = {**Reply(200, one.body).json(), "id": "forgotten", "meta": {"versionId": "1"}}
        return Reply(201, json.dumps(kept).encode(), {**_FHIR, "ETag": 'W/"1"'})

    return fault


def unauthorized() -> Fault:
    return status(401, {"WWW-Authenticate": "Bearer"})


def html(code: int = 200) -> Fault:
    """A login or error page."""
    return status(code, {"Content-Type": "text/html"}, b"<html><body>Sign in</body></html>")


# ---------------------------------------------------------------------------------- proxy


@dataclass
class Armed:
    """A fault and when it strikes."""

    fault: Fault
    on: Matcher
    times: int | None
    """Requests that it strikes at most; None = all."""
    chance: float
    dice: Random
    after: int
    """Matching requests that pass first."""
    struck: int = 0

    def strikes(self, one: Request) -> bool:
        if not self.on(one):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        if self.dice.random() >= self.chance:
            return False
        self.struck += 1
        return True


@dataclass
class FaultProxy:
    """In front of the server at ``target``; see the head of this file."""

    target: str
    seed: int = 0
    url: str = ""
    seen: list[Request] = field(default_factory=list)
    armed: list[Armed] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _session: requests.Session = field(default_factory=requests.Session)

    def arm(
        self,
        fault: Fault,
        *,
        on: Matcher = is_any,
        times: int | None = None,
        chance: float = 1.0,
        after: int = 0,
    ) -> Armed:
        """Lay a fault around those that are armed later; ``disarm`` takes all away."""
        dice = Random(f"{self.seed}:{len(self.armed)}")
        made = Armed(fault=fault, on=on, times=times, chance=chance, dice=dice, after=after)
        self.armed.append(made)
        return made

    def disarm(self) -> None:
        self.armed.clear()

    def answer(self, one: Request) -> Reply:
        """Through every fault that strikes, then to the server."""
        with self._lock:
            self.seen.append(one)
            faults = [armed.fault for armed in self.armed if armed.strikes(one)]
        forward: Forward = self._forward
        for fault in reversed(faults):
            forward = _around(fault, forward)
        return forward(one)

    def _forward(self, one: Request) -> Reply:
        """Addresses of the proxy become those of the server, and back."""
        here, there = self.url.encode(), self.target.encode()
        query = f"?{urlencode(one.query)}" if one.query else ""
        headers = {k: v for k, v in one.headers.items() if k.lower() not in _HOP_BY_HOP}
        found = self._session.request(
            one.method,
            f"{self.target}{one.path}{query}",
            headers=headers,
            data=one.body.replace(here, there) or None,
            allow_redirects=False,
            timeout=30,
        )
        kept = {
            name: value.replace(self.target, self.url)
            for name, value in found.headers.items()
            if name.lower() not in _HOP_BY_HOP
        }
        return Reply(found.status_code, found.content.replace(there, here), kept)

    def __enter__(self) -> Self:
        self._session.trust_env = False
        base = urlsplit(self.target).path
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, base))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{base}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._session.close()


def _around(fault: Fault, inner: Forward) -> Forward:
    return lambda one: fault(one, inner)


def _handler(proxy: FaultProxy, base: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = proxy.answer(
                Request(
                    method=self.command,
                    path=parts.path.removeprefix(base),
                    query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
                    headers=dict(self.headers.items()),
                    body=body,
                )
            )
            self.close_connection = True
            if found.lost:
                return
            self.send_response_only(found.status)
            length = {"Content-Length": str(len(found.body) + found.cut), "Connection": "close"}
            for name, value in {**found.headers, **length}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *args: object) -> None:
            del args

    return Handler


def _of_patients_alone(body: dict[str, Any]) -> dict[str, Any]:
    """A statement that names no type but Patient, though the server has the others."""
    rest = [
        {**one, "resource": [t for t in one.get("resource", []) if t.get("type") == "Patient"]}
        for one in body.get("rest", [])
    ]
    return {**body, "rest": rest}


BY_NAME: dict[str, tuple[Callable[[], Fault], Matcher]] = {
    "throttled": (throttled, is_any),
    "throttled-until": (lambda: throttled_until(2), is_any),
    "cut-body": (cut_body, is_any),
    "cut-after-commit": (cut_after_commit, is_write),
    "error-after-commit": (error_after_commit, is_write),
    "delayed": (lambda: delayed(2), is_any),
    "duplicated": (duplicated, is_any),
    "reordered": (reordered, is_search_or_page),
    "missing-entry": (missing_entry, is_search_or_page),
    "repeated-entry": (repeated_entry, is_search_or_page),
    "foreign-next": (foreign_next, is_search_or_page),
    "relative-next": (relative_next, is_search_or_page),
    "expired-page": (expired_page, is_page),
    "no-metadata": (no_metadata, is_metadata),
    "lying-metadata": (lambda: edited(_of_patients_alone), is_metadata),
    "ignored-patient": (lambda: ignored_parameter("patient"), is_search),
    "emptied-patient": (lambda: emptied_parameter("patient"), is_search),
    "stale-search": (lambda: stale_search(60), is_search),
    "transaction-as-batch": (transaction_as_batch, is_any),
    "double-create": (double_create, is_create),
    "forgotten-create": (forgotten_create, is_create),
    "unauthorized-page": (unauthorized, is_page),
    "html": (html, is_any),
}
"""For the command line: each strikes one request in five."""


def main(target: str, *names: str) -> None:
    with FaultProxy(target) as proxy:
        for name in names:
            fault, on = BY_NAME[name]
            proxy.arm(fault(), on=on, chance=0.2)
        print(proxy.url)  # noqa: T201 - a command says where it listens
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
