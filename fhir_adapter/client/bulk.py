"""Bulk Data export (HL7 Bulk Data Access 2): kick-off, waiting, the manifest, taking it back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import msgspec

from fhir_adapter.client.outcomes import fault_of
from fhir_adapter.client.transport import Answer, Asked, Repeat, Transport
from fhir_adapter.client.urls import query, same_origin, segment
from fhir_adapter.errors import (
    AdapterError,
    ExportLost,
    NotFhir,
    ServerBroken,
    ServerRefused,
    ServerThrottled,
    ServerUnreachable,
    SettingInvalid,
)
from fhir_adapter.fhir.outcome import Issue, issues_of, types_named
from fhir_adapter.fhir.wire import as_array, as_object, decode, decode_any

_JSON = "application/fhir+json"
_SHORTEST, _FIRST, _LONGEST = 0.2, 1.0, 60.0
"""Seconds between two questions: never less; where the server names none, doubling up to."""
_BUSY = frozenset({429, 502, 503, 504})
_GONE = frozenset({404, 410})
_LOST_IN_A_ROW = 5
_SHOWN = 60
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAsked:
    """What is to be exported."""

    types: tuple[str, ...]
    patients: bool = False
    """Of patients only (``Patient/$export``), for servers that have no export of everything."""
    group: str = ""
    """Id of a Group: of its members only."""
    since: str = ""
    """Only what changed from this instant on, and what was deleted."""

    @property
    def path(self) -> str:
        """Below the base; SettingInvalid where the group's id cannot be one."""
        if not self.group:
            return "Patient/$export" if self.patients else "$export"
        found = segment(self.group)
        if found is None:
            raise SettingInvalid("the group's id is none", remedy="Give the id of a Group.")
        return f"Group/{found}/$export"

    @property
    def place(self) -> str:
        """The same without an id."""
        return "Group/$export" if self.group else self.path


class ExportFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a manifest."""

    type: str
    """Resource type; empty where the manifest says something that cannot be one."""
    url: str
    count: int | None = None
    """Resources in it, where the server counts them."""


class ExportManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished export consists of."""

    transaction_time: str = ""
    needs_token: bool = True
    output: tuple[ExportFile, ...] = ()
    deleted: tuple[ExportFile, ...] = ()
    error: tuple[ExportFile, ...] = ()


class BulkClient:
    """The asynchronous side of one server; ``patience`` is in seconds for one export."""

    def __init__(
        self,
        transport: Transport,
        *,
        patience: float = 86_400.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = transport
        self.base: str = transport.base
        self._patience = patience
        self._sleep = sleep
        self._clock = clock

    def kick_off(self, asked: ExportAsked) -> str:
        """Start an export; the address under which its status is asked."""
        where = f"{self.base}/{asked.place}"
        params = {"_type": ",".join(asked.types), "_outputFormat": "application/fhir+ndjson"}
        params |= {"_since": asked.since} if asked.since else {}
        request = Asked(
            method="GET",
            url=f"{self.base}/{asked.path}?{query(params)}",
            where=where,
            headers={"Accept": _JSON, "Prefer": "respond-async"},
            repeat=Repeat.WHEN_REFUSED,
        )
        answer = self.transport.ask(request)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refused(answer, asked, where)
        if answer.status != HTTPStatus.ACCEPTED:
            raise ServerBroken(
                f"the server answered {answer.status} and not 202: it started no export",
                where=where,
                remedy=_NO_EXPORT,
            )
        url = urljoin(f"{self.base}/", answer.headers.get("Content-Location", ""))
        if not answer.headers.get("Content-Location") or not same_origin(url, self.base):
            raise ServerBroken(
                "the export's status has no address on this server",
                where=where,
                remedy="Use the base URL under which the server names itself.",
            )
        return url

    def wait(self, status_url: str, told: Callable[[str], None]) -> ExportManifest:
        """The manifest, once it is there; ``told`` gets what the server says of its progress.

        ExportLost where the export is gone or was given up. ServerThrottled where it is not ready
        in time: then it goes on at the server, and may be waited for again.
        """
        until = self._clock() + self._patience
        pause, failures = _FIRST, 0
        while True:
            answer, failures = self._status(status_url, failures)
            if answer is not None and answer.status == HTTPStatus.OK:
                return manifest_of(answer.body, where=self._where)
            wanted = None
            if answer is not None:
                self._refuse_end(answer)
                told(_sayable(answer.headers.get("X-Progress", "")))
                wanted = answer.retry_after
            nap = max(_SHORTEST, pause if wanted is None else wanted)
            if self._clock() + nap > until:
                raise _too_slow(self._patience, self._where)
            self._sleep(nap)
            pause = min(2 * pause, _LONGEST)

    def cancel(self, status_url: str) -> None:
        """Tell the server that nobody needs it any more; what it answers does not matter."""
        if not same_origin(status_url, self.base):
            return
        asked = Asked(method="DELETE", url=status_url, where=self._where, repeat=Repeat.NEVER)
        try:
            self.transport.ask(asked)
        except AdapterError:
            return

    @property
    def _where(self) -> str:
        return f"{self.base}/$export"

    def _status(self, url: str, failures: int) -> tuple[Answer | None, int]:
        """The answer; None where there was none, which happens to a long wait now and then."""
        headers = {"Accept": "application/json"}
        asked = Asked(method="GET", url=url, where=self._where, headers=headers)
        try:
            return self.transport.ask(asked), 0
        except ServerUnreachable:
            if failures + 1 >= _LOST_IN_A_ROW:
                raise
            return None, failures + 1

    def _refuse_end(self, answer: Answer) -> None:
        """Raise unless the export is still being made."""
        if answer.status == HTTPStatus.ACCEPTED or answer.status in _BUSY:
            return
        issues = issues_of(decode(answer.body))
        if any(issue.code == "transient" for issue in issues):
            return
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise fault_of(answer.status, issues, where=self._where, waits=False, writes=False)
        said = "is no longer there" if answer.status in _GONE else "was given up by the server"
        raise ExportLost(
            f"the export {said} ({answer.status}{_codes(issues)})",
            where=self._where,
            remedy="Run the command again: it starts a new export.",
        )


_NO_EXPORT = (
    "Ask for its Bulk Data support; `--patients` and `--group ID` use the two other operations."
)


def _refused(answer: Answer, asked: ExportAsked, where: str) -> AdapterError:
    """The fault of a kick-off, with what may help; types are named only where we asked for them."""
    body = decode(answer.body)
    issues = issues_of(body)
    waits = "Retry-After" in answer.headers
    fault = fault_of(answer.status, issues, where=where, waits=waits, writes=False)
    named = types_named(body, asked.types)
    if named and not isinstance(fault, ServerThrottled):
        without = " ".join(f"--without {name}" for name in named)
        made = type(fault)(
            f"{fault.message}, speaking of {', '.join(named)}",
            where=where,
            remedy=f"Ask for the right to export them, or leave them out: {without}. "
            "What they would tell stays open.",
        )
    elif isinstance(fault, ServerBroken):
        made = type(fault)(fault.message, where=where, remedy=_NO_EXPORT)
    else:
        return fault
    made.__cause__ = fault.__cause__
    return made


def _codes(issues: tuple[Issue, ...]) -> str:
    return f", {', '.join(str(issue) for issue in issues[:3])}" if issues else ""


def _too_slow(patience: float, where: str) -> ServerThrottled:
    return ServerThrottled(
        f"the export was not ready after {patience / 3600:.3g} hours",
        where=where,
        remedy="Run the command again: it goes on waiting for the same export (--hours: longer).",
    )


def _sayable(text: str) -> str:
    """Something short for a terminal, whatever a server sends."""
    return "".join(sign for sign in text if sign.isprintable())[:_SHOWN]


def manifest_of(body: bytes, *, where: str) -> ExportManifest:
    """The completion manifest; NotFhir where it is none, or not all of it is there."""
    found = as_object(decode_any(body))
    if not isinstance(found.get("output"), list):
        raise _no_manifest("the export's manifest has no output", where)
    if any(as_object(link).get("relation") == "next" for link in as_array(found.get("link"))):
        raise _no_manifest("the export's manifest has further pages, which nobody asked for", where)
    return ExportManifest(
        transaction_time=_text(found.get("transactionTime")),
        needs_token=found.get("requiresAccessToken") is not False,
        output=_files(found.get("output"), where),
        deleted=_files(found.get("deleted"), where),
        error=_files(found.get("error"), where),
    )


def _files(listed: object, where: str) -> tuple[ExportFile, ...]:
    return tuple(_file(as_object(item), where) for item in as_array(listed))


def _file(item: dict[str, Any], where: str) -> ExportFile:
    url, kind, count = item.get("url"), _text(item.get("type")), item.get("count")
    if not isinstance(url, str) or not url:
        raise _no_manifest("the export's manifest names a file without address", where)
    counted = isinstance(count, int) and not isinstance(count, bool)
    return ExportFile(
        type=kind if _TYPE.fullmatch(kind) else "",
        url=urljoin(where, url),
        count=count if counted else None,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _no_manifest(said: str, where: str) -> NotFhir:
    return NotFhir(said, where=where, remedy="The server's own log says what went wrong.")


def file_refused(status: int, *, sent: bool, where: str) -> AdapterError:
    """The fault of a file that does not come; ``sent`` = credentials went with the request."""
    if status in _GONE:
        return ExportLost(
            f"a file of the export is no longer there ({status})",
            where=where,
            remedy="Run the command again: it starts a new export.",
        )
    if sent or status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return fault_of(status, (), where=where, waits=False, writes=False)
    return ServerRefused(
        f"a file of the export was refused ({status}) without credentials",
        where=where,
        remedy="They are sent only where the manifest asks for them, and to no other origin; "
        "an address may also have expired: --fresh starts a new export.",
    )
