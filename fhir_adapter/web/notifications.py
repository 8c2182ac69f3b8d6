"""The rest-hook: a FHIR server says that something has changed. A hint, never a state.

HAPI sends a payload to the endpoint with type and id behind it, by PUT or POST; topics send a
Bundle to the endpoint itself; an R4 Subscription without payload sends nothing at all. All mean the
same here: read those patients again.
"""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response

from fhir_adapter.bootstrap.notices import NoticeDesk
from fhir_adapter.fhir.notification import Notification, read_notification
from fhir_adapter.web.limits import Body, json_object
from fhir_adapter.web.outcomes import Refusal

PATH = "/notifications"
_UNKNOWN_CALLER = "a valid token is needed: set the Subscription's header Authorization: Bearer ..."


def router(desk: NoticeDesk, secret: str) -> APIRouter:
    """One endpoint for every Subscription of the record server; ``secret`` is its bearer token."""
    made = APIRouter()

    def told(request: Request, body: Body) -> Response:
        _hold_known(request, secret)
        desk.take(_read(body))
        return Response(status_code=200)

    for path in (PATH, PATH + "/{kind}", PATH + "/{kind}/{number}"):
        shown = path == PATH
        made.add_api_route(path, told, methods=["POST", "PUT"], include_in_schema=shown)
    return made


def _hold_known(request: Request, secret: str) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    known = hmac.compare_digest(token.strip().encode(), secret.encode())
    if scheme.lower() != "bearer" or not known:
        raise Refusal(401, _UNKNOWN_CALLER, (("WWW-Authenticate", "Bearer"),))


def _read(body: bytes) -> Notification:
    return read_notification(json_object(body) if body.strip() else None)
