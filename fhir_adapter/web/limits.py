"""What one request may cost: size and depth of its body, and how many may come."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Annotated, Any

from fastapi import Depends, Request

from fhir_adapter.fhir.reading import is_object
from fhir_adapter.fhir.wire import decode_any
from fhir_adapter.web.outcomes import Refusal

_KIND = (
    "the body is of another kind than the documentation says, or compressed: "
    "send plain application/json"
)

LARGEST = 4 * 1024 * 1024
"""Bytes of a body: 500 prefetched Observations are about a quarter of a megabyte."""
DEEPEST = 64
_CALLERS = 10_000


_JSON = frozenset(("", "application/json", "application/fhir+json", "application/json+fhir"))
_FORM = frozenset(("", "application/x-www-form-urlencoded"))


def _need_kind(request: Request, kinds: frozenset[str]) -> None:
    """415 where the body says that it is of another kind; one that says nothing is read."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if said not in kinds or packed != "identity":
        raise Refusal(
            415,
            _KIND,
        )


async def read_json(request: Request) -> bytes:
    """The body of a call by a program."""
    _need_kind(request, _JSON)
    return await read_body(request)


async def read_form(request: Request) -> bytes:
    """The body of a form of our pages."""
    _need_kind(request, _FORM)
    return await read_body(request)


async def read_body(request: Request) -> bytes:
    """The body; 413 where it is too large, whether it said so or not."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > LARGEST:
            raise Refusal(413, f"the body is larger than {LARGEST} bytes")
    return bytes(found)


Body = Annotated[bytes, Depends(read_json)]
Form = Annotated[bytes, Depends(read_form)]


def takes(*required: str, media: str = "application/json") -> dict[str, Any]:
    """For OpenAPI: the body is one JSON object with these members."""
    schema = {"type": "object", "required": list(required)}
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}


def json_object(body: bytes) -> dict[str, Any]:
    """The body as one JSON object with exact decimals; 400 where it is anything else."""
    if _is_too_deep(body):
        raise Refusal(400, f"the body is nested deeper than {DEEPEST} levels")
    found = decode_any(body)
    if not is_object(found):
        raise Refusal(400, "the body is not a JSON object")
    return found


_OTHERS = bytes(set(range(256)) - set(b'{}[]"'))
_ALIKE = bytes.maketrans(b"{}", b"[]")


def _is_too_deep(body: bytes) -> bool:
    """Whether a JSON text nests deeper than DEEPEST, before anything is parsed.

    The innermost brackets are taken away level by level; what never closes is left to the parser,
    which refuses it. Texts do not count.
    """
    if b"\\" in body:  # then every quote opens or closes
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = body.translate(_ALIKE, _OTHERS)
    rest = b"".join(brackets.split(b'"')[::2])
    for _ in range(DEEPEST):
        inner = rest.replace(b"[]", b"")
        if len(inner) == len(rest):
            return False
        rest = inner
    return bool(rest)


class RateLimit:
    """A bucket of tokens per caller: ``per_second`` in the long run, ``burst`` at once."""

    def __init__(self, per_second: float = 50, burst: int = 200) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str) -> None:
        """One request; 429 with Retry-After where the bucket is empty."""
        now = time.monotonic()
        with self._lock:
            left, last = self._buckets.pop(caller, (float(self._burst), now))
            left = min(self._burst, left + (now - last) * self._per_second)
            allowed = left >= 1
            self._buckets[caller] = (left - 1 if allowed else left, now)
            while len(self._buckets) > _CALLERS:
                self._buckets.popitem(last=False)
        if not allowed:
            wait = max(1, round((1 - left) / self._per_second))
            raise Refusal(429, "too many requests", (("Retry-After", str(wait)),))
