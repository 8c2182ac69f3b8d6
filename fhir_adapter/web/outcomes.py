"""OperationOutcome for every error; nothing of the request is ever echoed."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fhir_adapter.errors import AdapterError, InternalFault
from fhir_adapter.fhir.wire import encode
from fhir_adapter.ports import Resource

FHIR_JSON = "application/fhir+json"

_CODES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    409: "conflict",
    412: "incomplete",
    413: "too-long",
    415: "not-supported",
    422: "invalid",
    429: "throttled",
    502: "transient",
    503: "transient",
    504: "timeout",
}
"""HTTP status -> FHIR issue-type."""


class Refusal(Exception):  # noqa: N818 - a refusal is not always an error of the program
    """An answer that is not the one asked for; texts are ours, never the caller's."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def outcome(status: int, text: str) -> Resource:
    """An OperationOutcome with one issue."""
    issue = {
        "severity": "fatal" if status >= 500 else "error",  # noqa: PLR2004 - a status of HTTP
        "code": _CODES.get(status, "exception"),
        "diagnostics": text,
    }
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def answer(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """That OperationOutcome as a response."""
    return fhir(outcome(status, text), status=status, headers=headers)


def fhir(
    resource: Resource, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """A resource as application/fhir+json."""
    return Response(
        content=encode(resource), status_code=status, media_type=FHIR_JSON, headers=dict(headers)
    )


Browser = Callable[[Request, int, str], Response | None]
"""What a browser is shown in place of an OperationOutcome; None where the caller is none."""


def say_errors(app: FastAPI, browser: Browser) -> None:
    """Every error of every route as an OperationOutcome (FastAPI's own 422 echoes the input).

    ``browser``: pages for people who open our pages; everybody else gets the OperationOutcome.
    """

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return browser(request, error.status, error.text) or answer(
            error.status, error.text, error.headers
        )

    def adapter(request: Request, error: Exception) -> Response:
        assert isinstance(error, AdapterError)
        text = f"{error.code}: {error.message}. {error.remedy}".strip()
        return browser(request, error.http_status, text) or answer(error.http_status, text)

    def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = tuple((error.headers or {}).items())
        text = HTTPStatus(error.status_code).phrase
        return browser(request, error.status_code, text) or answer(error.status_code, text, headers)

    def invalid(_: Request, _error: Exception) -> Response:
        return answer(422, "the request does not have the form that the documentation gives")

    def broken(_: Request, _error: Exception) -> Response:
        return answer(500, f"{InternalFault.code}: our own mistake; please report the request id")

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(AdapterError, adapter)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, broken)
