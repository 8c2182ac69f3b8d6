"""What a server's refusal may say in our words: severity and code, never its text."""

from __future__ import annotations

from http import HTTPStatus

from fhir_adapter.errors import (
    AdapterError,
    NotFhir,
    ServerBroken,
    ServerFault,
    ServerRefused,
    ServerThrottled,
    ServerUnreachable,
    WriteConflict,
)
from fhir_adapter.fhir.outcome import Issue


class Answered(Exception):  # noqa: N818 - the cause of a fault, never raised alone
    """Status and issues behind a fault: its ``__cause__``."""

    def __init__(self, status: int, issues: tuple[Issue, ...] = ()) -> None:
        self.status = status
        self.issues = issues
        super().__init__(f"HTTP {status}{_listed(issues)}")


def _listed(issues: tuple[Issue, ...]) -> str:
    return f" ({', '.join(str(issue) for issue in issues[:3])})" if issues else ""


def fault_of(
    status: int, issues: tuple[Issue, ...], *, where: str, waits: bool, writes: bool
) -> AdapterError:
    """The fault for an error status; ``waits`` = the answer carried a Retry-After."""
    said = f"the server answered {status}{_listed(issues)}"
    conflict = writes and status in {409, 412}
    fault = (
        _conflict(said, where)
        if conflict
        else _fault(status, said, where, issues=issues, waits=waits)
    )
    fault.__cause__ = Answered(status, issues)
    return fault


def _conflict(said: str, where: str) -> AdapterError:
    return WriteConflict(said, where=where, remedy="Read the resource again and compare.")


def _fault(
    status: int, said: str, where: str, *, issues: tuple[Issue, ...], waits: bool
) -> AdapterError:
    if status == HTTPStatus.UNAUTHORIZED:
        return ServerRefused(said, where=where, remedy=_LOGIN)
    if status == HTTPStatus.FORBIDDEN:
        return ServerRefused(said, where=where, remedy=_SCOPE)
    busy = waits and status == HTTPStatus.SERVICE_UNAVAILABLE
    if busy or status == HTTPStatus.TOO_MANY_REQUESTS:
        return ServerThrottled(said, where=where, remedy=_SLOWER)
    gone = status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and not issues
    return ServerBroken(said, where=where, remedy=_NO_FHIR if gone else _ASK_SERVER)


_LOGIN = (
    "The credentials are missing, wrong or expired: check the token or password settings. Where a "
    "fresh SMART token is refused, check the issuer and audience that this server expects."
)
_SCOPE = "The credentials are known but may not do this: ask for the scopes that the doctor lists."
_SLOWER = "Run again later, or set requests_per_second or concurrency lower."
_NO_FHIR = "Check the base URL: a FHIR server would have said more than that nothing is there."
_ASK_SERVER = "Run `fhir-adapter server doctor`; the server's own log has the details."


def status_of(fault: BaseException) -> int:
    """HTTP status behind a fault; 0 where there was no answer."""
    return fault.__cause__.status if isinstance(fault.__cause__, Answered) else 0


_NOT_SUPPORTED = frozenset({400, 404, 405, 406, 410, 415, 422, 501})
_BY_STATUS = {401: "unauthorized", 403: "forbidden"} | dict.fromkeys(
    _NOT_SUPPORTED, "not-supported"
)
_BY_CLASS: tuple[tuple[type[ServerFault], str], ...] = (
    (ServerThrottled, "throttled"),
    (ServerUnreachable, "unreachable"),
    (NotFhir, "not-fhir"),
)


def why_not_of(fault: AdapterError) -> str:
    """The fault as a ``why_not`` code of PulledType."""
    for kind, code in _BY_CLASS:
        if isinstance(fault, kind):
            return code
    return _BY_STATUS.get(status_of(fault), "server-broken")
