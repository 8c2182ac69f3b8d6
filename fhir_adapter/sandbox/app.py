"""HTTP around the interactions: routes, headers, OperationOutcome for every error."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from fhir_adapter.fhir.wire import encode
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.bundles import processed
from fhir_adapter.sandbox.export_routes import export_routes
from fhir_adapter.sandbox.interactions import Answer, Interactions
from fhir_adapter.sandbox.refusal import Refusal

_LARGEST = 20 * 1024 * 1024
_FHIR = "application/fhir+json"


async def _body(request: Request) -> bytes:
    """The body, cut off where it is too large."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > _LARGEST:
            raise Refusal(413, "too-long", "the body is too large")
    return bytes(found)


Body = Annotated[bytes, Depends(_body)]


def create_app(server: Interactions) -> FastAPI:
    """The FHIR endpoint of one server."""
    app = FastAPI(title="fhir-adapter sandbox", docs_url=None, redoc_url=None, openapi_url=None)
    _say_errors(app)
    export_routes(app, server)
    _read_routes(app, server)
    _write_routes(app, server)
    return app


def _say_errors(app: FastAPI) -> None:
    def refused(_: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        return _json(refusal.status, refusal.outcome())

    def unknown(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _json(status, Refusal(status, "not-supported", "not offered here").outcome())

    def broken(_: Request, error: Exception) -> Response:
        return _json(500, Refusal(500, "exception", type(error).__name__).outcome())

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(Exception, broken)


def _read_routes(app: FastAPI, server: Interactions) -> None:
    @app.get("/metadata")
    def metadata() -> Response:
        return _sent(server.metadata())

    @app.get("/{kind}")
    def search(kind: str, request: Request) -> Response:
        asked = request.query_params.multi_items()
        return _sent(server.search(kind, asked, fresh=_fresh(request)))

    @app.post("/{kind}/_search")
    def search_by_post(kind: str, request: Request, body: Body) -> Response:
        asked = [*request.query_params.multi_items(), *_form(body)]
        return _sent(server.search(kind, asked))

    @app.get("/{kind}/_history")
    def type_history(kind: str, request: Request) -> Response:
        return _sent(server.type_history(kind, request.query_params.multi_items()))

    @app.get("/{kind}/{number}")
    def read(kind: str, number: str, request: Request) -> Response:
        sent = _sent(server.read(kind, number))
        known = request.headers.get("if-none-match")
        same = known is not None and known == sent.headers.get("ETag")
        return Response(status_code=304, headers={"ETag": known or ""}) if same else sent

    @app.get("/{kind}/{number}/_history")
    def history(kind: str, number: str) -> Response:
        return _sent(server.history(kind, number))

    @app.get("/{kind}/{number}/_history/{version}")
    def vread(kind: str, number: str, version: str) -> Response:
        return _sent(server.vread(kind, number, version))


def _write_routes(app: FastAPI, server: Interactions) -> None:
    @app.post("/")
    def bundle(request: Request, body: Body) -> Response:
        return _sent(processed(server, body, fresh=_fresh(request)))

    @app.post("/{kind}")
    def create(kind: str, request: Request, body: Body) -> Response:
        condition = request.headers.get("if-none-exist", "")
        return _sent(server.create(kind, body, condition.partition("?")[2] or condition))

    @app.put("/{kind}/{number}")
    def update(kind: str, number: str, request: Request, body: Body) -> Response:
        return _sent(server.update(kind, number, body, request.headers.get("if-match", "")))

    @app.put("/{kind}")
    def conditional_update(kind: str, request: Request, body: Body) -> Response:
        asked = request.query_params.multi_items()
        if not asked:
            raise Refusal(400, "required", "a conditional update names its condition")
        return _sent(server.conditional_update(kind, asked, body))

    @app.delete("/{kind}")
    def conditional_delete(kind: str, request: Request) -> Response:
        asked = request.query_params.multi_items()
        if not asked:
            raise Refusal(400, "required", "a conditional delete names its condition")
        return _sent(server.conditional_delete(kind, asked))

    @app.delete("/{kind}/{number}")
    def delete(kind: str, number: str, request: Request) -> Response:
        return _sent(server.delete(kind, number, request.headers.get("if-match", "")))


def _fresh(request: Request) -> bool:
    """Whether the client wants no stored answer."""
    return "no-cache" in request.headers.get("cache-control", "")


def _form(body: bytes) -> list[tuple[str, str]]:

    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def _sent(answer: Answer) -> Response:
    headers: dict[str, str] = {}
    if answer.version:
        headers["ETag"] = f'W/"{answer.version}"'
    if answer.location and answer.status in (200, 201):
        headers["Location" if answer.status == 201 else "Content-Location"] = answer.location  # noqa: PLR2004 - a status of HTTP
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    return _json(answer.status, answer.body, headers)


def _json(status: int, body: Resource, headers: dict[str, str] | None = None) -> Response:
    return Response(
        content=encode(body), status_code=status, media_type=_FHIR, headers=headers or {}
    )
