"""A batch: many requests in one, each with an answer of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fhir_adapter.client.outcomes import fault_of
from fhir_adapter.client.retry import RetryBudget
from fhir_adapter.client.transport import Answer, Asked, Repeat, Transport
from fhir_adapter.errors import NotFhir
from fhir_adapter.fhir.outcome import Issue, issues_of
from fhir_adapter.fhir.wire import as_array, as_object, decode, encode
from fhir_adapter.ports import Resource

_NOT_DONE = frozenset({429, 503})
_STRICT = {"Prefer": "handling=strict"}
_REMEDY = "Send these requests one by one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request; ``url`` is relative to the base. Its repr shows the method only."""

    method: str
    url: str = field(repr=False)
    resource: Resource | None = field(default=None, repr=False)
    if_none_exist: str = field(default="", repr=False)
    if_match: str = ""

    def as_fhir(self) -> dict[str, Any]:
        """Bundle.entry."""
        request = {
            "method": self.method,
            "url": self.url,
            "ifNoneExist": self.if_none_exist,
            "ifMatch": f'W/"{self.if_match}"' if self.if_match else "",
        }
        told = {"request": {name: value for name, value in request.items() if value}}
        return told if self.resource is None else {**told, "resource": self.resource}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryAnswer:
    """What one request came to; its repr shows status and issue codes only."""

    status: int
    """0 where the server gave none."""
    resource: Resource | None = field(default=None, repr=False)
    etag: str = ""
    location: str = field(default="", repr=False)
    issues: tuple[Issue, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it was done."""
        return HTTPStatus.OK <= self.status < HTTPStatus.BAD_REQUEST


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    answers: list[EntryAnswer]
    retry_after: float | None


@dataclass(slots=True)
class BatchSending:
    """Sends again what was refused for want of time: 429 and 503 say that nothing was done."""

    transport: Transport
    budget: RetryBudget
    sleep: Callable[[float], None]

    def sent(self, entries: Sequence[Entry]) -> tuple[EntryAnswer, ...]:
        """One answer for each entry; raises where the batch as a whole has none."""
        answers: dict[int, EntryAnswer] = {}
        left = list(range(len(entries)))
        tried, waited = 1, 0.0
        while left:
            done = self._round([entries[number] for number in left])
            answers.update(zip(left, done.answers, strict=True))
            left = [number for number in left if answers[number].status in _NOT_DONE]
            pause = self.budget.pause(tried=tried, waited=waited, asked=done.retry_after)
            if not left or pause is None:
                break
            with self.transport.holding(self.transport.base, done.retry_after):
                self.sleep(pause)
            tried, waited = tried + 1, waited + pause
        return tuple(answers[number] for number in range(len(entries)))

    def _round(self, entries: Sequence[Entry]) -> _Round:
        bundle = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [entry.as_fhir() for entry in entries],
        }
        where = self.transport.base
        reads = all(entry.method == "GET" for entry in entries)
        asked = Asked(
            method="POST",
            url=where,
            where=where,
            headers={"Content-Type": "application/fhir+json", **(_STRICT if reads else {})},
            body=encode(bundle),
            repeat=Repeat.ALWAYS if reads else Repeat.WHEN_REFUSED,
            writes=not reads,
        )
        answer = self.transport.ask(asked)
        return _Round(answers=_answers(answer, len(entries), where), retry_after=answer.retry_after)


def _answers(answer: Answer, wanted: int, where: str) -> list[EntryAnswer]:
    body = decode(answer.body)
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        waits = answer.retry_after is not None
        raise fault_of(answer.status, issues_of(body), where=where, waits=waits, writes=True)
    entries = as_array((body or {}).get("entry"))
    if body is None or body.get("resourceType") != "Bundle" or len(entries) != wanted:
        raise NotFhir("the answer is no batch-response to this batch", where=where, remedy=_REMEDY)
    return [_answer(as_object(entry)) for entry in entries]


def _answer(entry: dict[str, Any]) -> EntryAnswer:
    response = as_object(entry.get("response"))
    outcome = as_object(response.get("outcome")) or as_object(entry.get("resource"))
    found = as_object(entry.get("resource"))
    status = str(response.get("status", ""))[:3]
    return EntryAnswer(
        status=int(status) if status.isascii() and status.isdigit() else 0,
        resource=found if found.get("resourceType") not in {None, "OperationOutcome"} else None,
        etag=str(response.get("etag", "")),
        location=str(response.get("location", "")),
        issues=issues_of(outcome),
    )
