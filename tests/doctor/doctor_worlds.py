"""The sandbox in this process, behind layers that make it a server which does one thing wrong."""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from requests.structures import CaseInsensitiveDict

from fhir_adapter.client.transport import Answer, Asked
from fhir_adapter.doctor.check import Check, Seen
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.own import Own
from fhir_adapter.doctor.probe import Probe
from fhir_adapter.doctor.specimens import write_specimens
from fhir_adapter.doctor.table import CHECKS
from fhir_adapter.sandbox import Habits, Interactions
from fhir_adapter.sandbox.app import create_app

_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)
BASE = "http://127.0.0.1:8/fhir"
Ask = Callable[[Asked], Answer]
Layer = Callable[[Asked, Ask], Answer]
TABLE: dict[str, Check] = {check.id: check for check in CHECKS}


class World:
    """A client of the doctor over a sandbox; ``layers`` stand between the two."""

    base_url = BASE

    def __init__(self, *layers: Layer, **habits: Any) -> None:
        ticks = count()
        start = datetime(2026, 11, 22, tzinfo=ZoneInfo("UTC"))
        self.server = Interactions(
            now=lambda: f"{(start + timedelta(milliseconds=next(ticks))).isoformat()}",
            habits=Habits(**habits),
            base=BASE,
        )
        self._app = create_app(self.server)
        self.layers = list(layers)
        self.asked: list[tuple[str, str]] = []

    def ask(self, asked: Asked) -> Answer:
        self.asked.append((asked.method, asked.url.removeprefix(BASE)))
        return self._through(asked, self.layers)

    def _through(self, asked: Asked, layers: list[Layer]) -> Answer:
        if not layers:
            return self._send(asked)
        return layers[0](asked, lambda inner: self._through(inner, layers[1:]))

    def _send(self, asked: Asked) -> Answer:
        """One request straight into the application: no client, no thread of its own."""
        path, _, query = asked.url.removeprefix(BASE).partition("?")
        headers = [(k.lower().encode(), v.encode()) for k, v in asked.headers.items()]
        scope = {
            "type": "http", "http_version": "1.1", "method": asked.method, "headers": headers,
            "scheme": "http", "path": unquote(path) or "/", "raw_path": path.encode(),
            "query_string": query.encode(), "root_path": "", "server": ("127.0.0.1", 8),
        }  # fmt: skip
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": asked.body or b"", "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        with suppress(Exception):  # the answer to it was sent already
            _LOOP.run_until_complete(self._app(scope, receive, send))
        start = next(one for one in said if one["type"] == "http.response.start")
        found = CaseInsensitiveDict({k.decode(): v.decode() for k, v in start["headers"]})
        body = b"".join(one.get("body", b"") for one in said if one is not start)
        return Answer(status=start["status"], headers=found, body=body)

    def exam(self, *, write: bool = True, patient: str = "") -> Exam:
        clock = count()
        probe = Probe(
            client=self,  # type: ignore[arg-type] # what the doctor uses of a client
            until=100_000,
            clock=lambda: float(next(clock)),
            sleep=lambda _: None,
            most=100_000,
        )
        made = Exam(probe=probe, own=Own(probe=probe, token="t"), write=write, patient=patient)
        made.may_write = write
        return made

    def standing(self) -> dict[str, int]:
        store = self.server.store
        return {name: sum(1 for _ in store.all_of(name)) for name in store.types()}


_FILLED: dict[str, tuple[World, Exam]] = {}
"""Servers with everything of ours on them, by their habits: written once, copied for each test."""


def filled(**habits: Any) -> tuple[World, Exam]:
    """A server with everything of ours on it."""
    key = str(sorted(habits.items()))
    if key not in _FILLED:
        first = World(**habits)
        made = first.exam()
        write_specimens(made)
        _FILLED[key] = first, made
    template, written = _FILLED[key]
    world = World(**habits)
    for name in ("_versions", "_gone", "_next"):
        setattr(world.server.store, name, deepcopy(getattr(template.server.store, name)))
    exam = world.exam(patient=written.patient)
    exam.specimens = deepcopy(written.specimens)
    exam.replies, exam.sent = dict(written.replies), deepcopy(written.sent)
    exam.own._known, exam.own._count = dict(written.own._known), written.own._count
    return world, exam


def seen(check: str, *layers: Layer, **habits: Any) -> Seen:
    """One check of a server that goes wrong once everything of ours is on it."""
    world, exam = filled(**habits)
    world.layers = list(layers)
    return TABLE[check].look(exam)


def _is(asked: Asked, method: str, path: str) -> bool:
    return method in {"", asked.method} and path in asked.url.removeprefix(BASE)


def answer(status: int, body: dict[str, Any] | None = None, **headers: str) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    return Answer(status=status, headers=headers, body=data)


EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}
NO = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}


def answers(
    status: int, body: dict[str, Any] | None = None, *, method: str = "", path: str = "", **h: str
) -> Layer:
    """This, whatever is asked there; nothing is done."""

    def layer(asked: Asked, ask: Ask) -> Answer:
        return answer(status, body, **h) if _is(asked, method, path) else ask(asked)

    return layer


def refuses(status: int = 400, *, method: str = "", path: str = "") -> Layer:
    return answers(status, NO, method=method, path=path)


def edits(
    change: Callable[[dict[str, Any]], None], *, method: str = "GET", path: str = ""
) -> Layer:
    """The answer with its body changed."""

    def layer(asked: Asked, ask: Ask) -> Answer:
        found = ask(asked)
        if not _is(asked, method, path) or not found.body:
            return found
        body = json.loads(found.body)
        change(body)
        return Answer(status=found.status, headers=found.headers, body=json.dumps(body).encode())

    return layer


def drops(*names: str) -> Layer:
    """Request headers that never arrive."""

    def layer(asked: Asked, ask: Ask) -> Answer:
        kept = {key: value for key, value in asked.headers.items() if key not in names}
        return ask(_like(asked, headers=kept))

    return layer


def with_headers(**headers: str) -> Layer:
    def layer(asked: Asked, ask: Ask) -> Answer:
        found = ask(asked)
        said = {**found.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return Answer(status=found.status, headers=said, body=found.body)

    return layer


def _like(asked: Asked, **changed: Any) -> Asked:
    kept = {
        "method": asked.method,
        "url": asked.url,
        "where": asked.where,
        "headers": asked.headers,
        "body": asked.body,
    }
    return Asked(**{**kept, **changed})


def moved(method: str, to: Callable[[Asked], Asked | None]) -> Layer:
    """Requests of a method sent as another; None leaves one alone."""

    def layer(asked: Asked, ask: Ask) -> Answer:
        other = to(asked) if asked.method == method else None
        return ask(other or asked)

    return layer


def as_create(asked: Asked) -> Asked | None:
    """A conditional update taken for a create."""
    url, bar, _ = asked.url.partition("?")
    return _like(asked, method="POST", url=url) if bar else None


def is_search(asked: Asked) -> bool:
    path = urlsplit(asked.url.removeprefix(BASE)).path.strip("/")
    if asked.method == "POST":
        return path.endswith("_search")
    return asked.method == "GET" and "/" not in path and path != "metadata"


def _kind(asked: Asked) -> str:
    return urlsplit(asked.url.removeprefix(BASE)).path.strip("/").partition("/")[0]


def empty_searches(asked: Asked, ask: Ask) -> Answer:
    """Every search is answered as if nobody had data."""
    return answer(200, EMPTY) if is_search(asked) else ask(asked)


def refused_searches(asked: Asked, ask: Ask) -> Answer:
    return answer(400, NO) if is_search(asked) else ask(asked)


def ignoring_searches(asked: Asked, ask: Ask) -> Answer:
    """Every search is answered with all there is of the type; self echoes what was asked."""
    if not is_search(asked):
        return ask(asked)
    found = ask(_like(asked, method="GET", url=f"{BASE}/{_kind(asked)}", body=None))
    body = json.loads(found.body)
    body["link"] = [{"relation": "self", "url": asked.url}]
    return answer(found.status, body)


def forgetting_self(asked: Asked, ask: Ask) -> Answer:
    """Every search finds all there is, and self says that nothing was used."""
    if not is_search(asked):
        return ask(asked)
    return ask(_like(asked, method="GET", url=f"{BASE}/{_kind(asked)}", body=None))


def dropping_unknown(*, echo: bool) -> Layer:
    """An unknown parameter is left out of the search, and of self unless it is echoed."""

    def layer(asked: Asked, ask: Ask) -> Answer:
        if "canary" not in asked.url:
            return ask(asked)
        path, _, query = asked.url.partition("?")
        known = [(k, v) for k, v in parse_qsl(query) if "canary" not in k]
        found = ask(_like(asked, url=f"{path}?{urlencode(known)}"))
        body = json.loads(found.body)
        if echo:
            body["link"] = [{"relation": "self", "url": asked.url}]
        return answer(found.status, body)

    return layer


class Remembering:
    """The first answer to each GET is the answer for ever."""

    def __init__(self) -> None:
        self._kept: dict[str, Answer] = {}

    def __call__(self, asked: Asked, ask: Ask) -> Answer:
        if asked.method != "GET":
            return ask(asked)
        if asked.url not in self._kept:
            self._kept[asked.url] = ask(asked)
        return self._kept[asked.url]


class Once:
    """A page link works once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def __call__(self, asked: Asked, ask: Ask) -> Answer:
        if "_page" in asked.url and asked.url in self._used:
            return answer(410, NO)
        self._used.add(asked.url)
        return ask(asked)


class Transacting:
    """Transactions and batches; ``atomic`` or not, references resolved or not."""

    def __init__(
        self, *, atomic: bool = True, resolves: bool = True, as_batch: bool = False,
        tells: bool = True, conditional: bool = True,
    ) -> None:  # fmt: skip
        self.atomic, self.resolves, self.as_batch = atomic, resolves, as_batch
        self.tells, self.conditional = tells, conditional

    def __call__(self, asked: Asked, ask: Ask) -> Answer:
        if asked.method != "POST" or asked.url.removeprefix(BASE).strip("/"):
            return ask(asked)
        bundle = json.loads(asked.body or b"")
        alone = self.as_batch or bundle["type"] == "batch"
        done: list[Answer] = []
        text = json.dumps(bundle["entry"])
        for place in range(len(bundle["entry"])):
            entry = json.loads(text)[place]
            found = self._one(entry, ask)
            done.append(found)
            if found.status >= 400 and not alone:
                return self._back(done, ask, found)
            if self.resolves and "fullUrl" in entry:
                kept = json.loads(found.body)
                text = text.replace(entry["fullUrl"], f"{kept['resourceType']}/{kept['id']}")
        return answer(200, {"resourceType": "Bundle", "entry": list(map(self._told, done))})

    def _one(self, entry: dict[str, Any], ask: Ask) -> Answer:
        request = entry["request"]
        headers = {"Content-Type": "application/fhir+json"}
        if "ifMatch" in request:
            headers["If-Match"] = request["ifMatch"]
        if "ifNoneExist" in request and self.conditional:
            headers["If-None-Exist"] = request["ifNoneExist"]
        body = json.dumps(entry["resource"]).encode() if "resource" in entry else None
        url = f"{BASE}/{request['url']}"
        return ask(Asked(method=request["method"], url=url, where=BASE, headers=headers, body=body))

    def _back(self, done: list[Answer], ask: Ask, failed: Answer) -> Answer:
        for one in done[:-1] if self.atomic else []:
            kept = json.loads(one.body)
            url = f"{BASE}/{kept['resourceType']}/{kept['id']}"
            ask(Asked(method="DELETE", url=url, where=BASE))
        return failed

    def _told(self, one: Answer) -> dict[str, Any]:
        body = json.loads(one.body)
        if not self.tells:
            return {"response": {}}
        told: dict[str, Any] = {"response": {"status": f"{one.status} said"}}
        if one.status < 300:
            told["resource"] = body
            if "id" in body:
                told["response"]["location"] = f"{body['resourceType']}/{body['id']}/_history/1"
        return told


class Subscribing:
    """Takes a Subscription and tells its endpoint of every Observation created."""

    def __init__(self, *, active: bool = True, fires: bool = True) -> None:
        self._active, self._fires = active, fires
        self._endpoint = ""

    def __call__(self, asked: Asked, ask: Ask) -> Answer:
        path = asked.url.removeprefix(BASE).strip("/")
        if path.startswith("Subscription"):
            return self._subscription(asked)
        found = ask(asked)
        if asked.method == "POST" and path == "Observation" and self._fires and self._endpoint:
            self._ring()
        return found

    def _ring(self) -> None:
        from urllib.request import Request, urlopen  # noqa: PLC0415 - used by this one

        urlopen(Request(self._endpoint, data=b"{}", method="POST"), timeout=5).close()

    def _subscription(self, asked: Asked) -> Answer:
        if asked.method == "DELETE":
            self._endpoint = ""
            return answer(204)
        if asked.method == "POST":
            self._endpoint = json.loads(asked.body or b"")["channel"]["endpoint"]
        status = "active" if self._active else "requested"
        body = {"resourceType": "Subscription", "id": "s", "status": status}
        gone = asked.method == "GET" and not self._endpoint
        return answer(410 if gone else 201 if asked.method == "POST" else 200, body)
