"""HTTP around the exports: kick-off, status, files, taking it back (Bulk Data Access 2)."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from fhir_adapter.fhir.wire import encode
from fhir_adapter.sandbox.exports import Scope
from fhir_adapter.sandbox.interactions import Interactions
from fhir_adapter.sandbox.refusal import Refusal

_LINES = "application/fhir+ndjson"
_ACCEPTED = ("*/*", "application/*", "application/json", "application/fhir+json")


def export_routes(app: FastAPI, server: Interactions) -> None:
    """They stand before those of resource types, which would take ``$export`` for one."""

    @app.get("/$export")
    def everything(request: Request) -> Response:
        return _begun(server, request, Scope())

    @app.get("/Patient/$export")
    def patients(request: Request) -> Response:
        return _begun(server, request, Scope(patients=True))

    @app.get("/Group/{number}/$export")
    def group(number: str, request: Request) -> Response:
        return _begun(server, request, Scope(patients=True, group=number))

    @app.get("/$export-status/{job}")
    def status(job: str) -> Response:
        found = server.exports.status(job, server.base)
        if isinstance(found, str):
            waiting = {"X-Progress": found, "Retry-After": "1"}
            return Response(status_code=202, headers=waiting)
        return Response(encode(found), media_type="application/json")

    @app.delete("/$export-status/{job}")
    def cancel(job: str) -> Response:
        server.exports.cancel(job)
        return Response(status_code=202)

    @app.get("/$export-file/{job}/{number}")
    def file(job: str, number: int) -> Response:
        return Response(server.exports.file(job, number), media_type=_LINES)


def _begun(server: Interactions, request: Request, scope: Scope) -> Response:
    if "respond-async" not in request.headers.get("prefer", ""):
        raise Refusal(400, "required", "an export is asked for with Prefer: respond-async")
    accept = request.headers.get("accept", "*/*")
    if not any(one.partition(";")[0].strip() in _ACCEPTED for one in accept.split(",")):
        raise Refusal(406, "not-supported", "the kick-off is answered with application/fhir+json")
    job = server.exports.begin(scope, request.query_params.multi_items(), str(request.url))
    place = f"{server.base}/$export-status/{job}"
    return Response(status_code=202, headers={"Content-Location": place})
