"""Batch and transaction at the base URL (R4 3.1.0.11): entry by entry, or all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fhir_adapter.fhir.reading import is_array, is_object, part, parts, text
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.interactions import Answer, Interactions
from fhir_adapter.sandbox.queries import Asked
from fhir_adapter.sandbox.refusal import Refusal

_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3}
"""In which order the entries of a transaction run, however they stand in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One entry, read: what is asked of which address."""

    method: str
    path: tuple[str, ...]
    query: Asked
    body: bytes = b""
    full_url: str = ""
    if_match: str = ""
    if_none_exist: str = ""
    resource: Resource = field(default_factory=dict[str, Any])
    fresh: bool = True
    new_id: str = ""
    """In a transaction: under which id it is made if it is made."""


def processed(server: Interactions, body: bytes, *, fresh: bool = True) -> Answer:
    """The answer to a Bundle: of a batch one status per entry, of a transaction one for all.

    ``fresh``: no search in it is answered from a cache (its own Cache-Control, as on HAPI).
    """
    bundle = decode(body)
    if server.habits.no_bundles:
        raise Refusal(404, "not-supported", "this server takes no batch and no transaction")
    if bundle is None or bundle.get("resourceType") != "Bundle":
        raise Refusal(400, "structure", "the body is no Bundle")
    steps = [_read(server.base, entry, fresh=fresh) for entry in parts(bundle.get("entry"))]
    match bundle.get("type"):
        case "batch":
            return _answered("batch-response", [_tried(server, step) for step in steps])
        case "transaction":
            return _answered("transaction-response", _all_or_nothing(server, steps))
        case _:
            raise Refusal(400, "invalid", "the Bundle is no batch and no transaction")


def _answered(kind: str, entries: list[Resource]) -> Answer:
    return Answer(200, {"resourceType": "Bundle", "type": kind, "entry": entries})


def _read(base: str, entry: Resource, *, fresh: bool) -> _Step | Refusal:
    """The entry as a step; a Refusal where it cannot be one."""
    asked = part(entry.get("request"))
    method, url = text(asked.get("method")), text(asked.get("url"))
    if method not in _ORDER or not url:
        return Refusal(400, "invalid", "an entry names no method of FHIR and no address")
    found = urlsplit(url.removeprefix(f"{base}/").lstrip("/"))
    resource = part(entry.get("resource"))
    return _Step(
        method=method,
        path=tuple(unquote(name) for name in found.path.split("/")),
        query=parse_qsl(found.query, keep_blank_values=True),
        body=encode(resource) if resource else b"",
        full_url=text(entry.get("fullUrl")),
        if_match=text(asked.get("ifMatch")),
        if_none_exist=_condition(text(asked.get("ifNoneExist"))),
        resource=resource,
        fresh=fresh,
    )


def _condition(asked: str) -> str:
    return asked.partition("?")[2] or asked


# ---------------------------------------------------------------------------------- one entry


def _tried(server: Interactions, step: _Step | Refusal) -> Resource:
    """An entry of a batch: what it came to, and nobody else's business."""
    try:
        return _entry(step, _run(server, step))
    except Refusal as refusal:
        said = {"status": _status(refusal.status), "outcome": refusal.outcome()}
        return {"response": said}


def _run(server: Interactions, step: _Step | Refusal) -> Answer:
    if isinstance(step, Refusal):
        raise step
    match step.method:
        case "GET":
            return _got(server, step)
        case "POST":
            return _posted(server, step)
        case "PUT":
            return _put(server, step)
        case _:  # exhaustive by _ORDER
            return _deleted(server, step)


def _got(server: Interactions, step: _Step) -> Answer:
    match step.path:
        case ("metadata",):
            return server.metadata()
        case (kind,):
            return server.search(kind, step.query, fresh=step.fresh)
        case (kind, number):
            return server.read(kind, number)
        case (kind, number, "_history"):
            return server.history(kind, number)
        case (kind, number, "_history", version):
            return server.vread(kind, number, version)
        case _:
            raise _unknown()


def _posted(server: Interactions, step: _Step) -> Answer:
    match step.path:
        case (kind,):
            return server.create(kind, step.body, step.if_none_exist, new_id=step.new_id)
        case _:
            raise _unknown()


def _put(server: Interactions, step: _Step) -> Answer:
    match step.path:
        case (kind,) if step.query:
            return server.conditional_update(kind, step.query, step.body, new_id=step.new_id)
        case (kind, number):
            return server.update(kind, number, step.body, step.if_match)
        case _:
            raise _unknown()


def _deleted(server: Interactions, step: _Step) -> Answer:
    match step.path:
        case (kind,) if step.query:
            return server.conditional_delete(kind, step.query)
        case (kind, number):
            return server.delete(kind, number, step.if_match)
        case _:
            raise _unknown()


def _unknown() -> Refusal:
    return Refusal(400, "not-supported", "an entry asks for what is not offered in a Bundle here")


def _entry(step: _Step | Refusal, answer: Answer) -> Resource:
    said = {"status": _status(answer.status)}
    if answer.version:
        said["etag"] = f'W/"{answer.version}"'
    if answer.location and isinstance(step, _Step) and step.method != "GET":
        said["location"] = answer.location
    told: Resource = {"response": said}
    read = isinstance(step, _Step) and step.method == "GET" and answer.body is not None
    return {**told, "resource": answer.body} if read else told


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"


# -------------------------------------------------------------------------------- transaction


def _all_or_nothing(server: Interactions, steps: list[_Step | Refusal]) -> list[Resource]:
    """Every entry, or a Refusal and nothing."""
    asked = list(_sound(steps))
    with server.store.all_or_nothing():
        named = [_with_id(server, step) for step in asked]
        names = {one.full_url: key for one, key in named if one.full_url and key}
        _refuse_overlap([key for one, key in named if key and one.method != "GET"])
        found: dict[int, Resource] = {}
        for number in sorted(range(len(named)), key=lambda n: _ORDER[named[n][0].method]):
            step, key = named[number]
            answer = _run(server, _resolved(step, names))
            if key and answer.location and f"/{key}/" not in f"{answer.location}/":
                raise Refusal(412, "conflict", "two entries make what may be there once")
            found[number] = _entry(step, answer)
    return [found[number] for number in range(len(named))]


def _sound(steps: list[_Step | Refusal]) -> Iterator[_Step]:
    for step in steps:
        if isinstance(step, Refusal):
            raise step
        yield step


def _with_id(server: Interactions, step: _Step) -> tuple[_Step, str]:
    """The step with the id that it would be made under, and ``Type/id`` of what it is about."""
    if step.method == "GET":
        return step, ""
    if len(step.path) > 1:
        return step, "/".join(step.path[:2])
    kind = "/".join(step.path)
    known = server.matching(kind, _asked_first(server, step))
    if known:
        return step, f"{kind}/{known[0]}"
    if step.method == "DELETE":
        return step, ""
    made = replace(step, new_id=server.store.new_id(kind))
    return made, f"{kind}/{made.new_id}"


def _asked_first(server: Interactions, step: _Step) -> Asked:
    """The condition of the step; none where this server does not look at it."""
    if step.method != "POST":
        return step.query
    return () if server.habits.no_conditional_create else parse_qsl(step.if_none_exist)


def _refuse_overlap(keys: list[str]) -> None:
    """R4 3.1.0.11.2: no resource is written twice in one transaction."""
    if len(keys) != len(set(keys)):
        raise Refusal(400, "invalid", "two entries write the same resource")


def _resolved(step: _Step, names: Mapping[str, str]) -> _Step:
    """References by fullUrl become those by id."""
    if not step.resource:
        return step
    return replace(step, body=encode(_renamed(step.resource, names)))


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if is_array(value):
        return [_renamed(inner, names) for inner in value]
    if not is_object(value):
        return value
    return {
        name: names.get(inner, inner)
        if name == "reference" and isinstance(inner, str)
        else _renamed(inner, names)
        for name, inner in value.items()
    }
