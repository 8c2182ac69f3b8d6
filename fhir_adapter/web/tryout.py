"""The demonstration's mock chart: calls the hook as an EHR would and shows what it answers."""

from __future__ import annotations

import html
import time
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.fhir.wire import encode
from fhir_adapter.web.access import same_site
from fhir_adapter.web.hooks import Hook
from fhir_adapter.web.limits import Form
from fhir_adapter.web.pages import Pages

_USER = "Practitioner/mock-chart"


def router(pages: Pages, hook: Hook, service: Service) -> APIRouter:
    """Only in the demonstration, where there is no sign-in."""
    made = APIRouter(include_in_schema=False)

    @made.get("/try-out")
    def chart() -> Response:
        return _page(pages, service, patient="", asked=False, cards=[], milliseconds=0)

    @made.post("/try-out")
    def opened(request: Request, body: Form) -> Response:
        same_site(request)
        patient = _given(body, "patient")
        begun = time.perf_counter()
        cards = hook.patient_view(encode(_call(service, patient)), None)["cards"]
        spent = round((time.perf_counter() - begun) * 1000)
        for card in cards:
            card["plain"] = html.unescape(card["detail"].replace("**", ""))
        return _page(pages, service, patient=patient, asked=True, cards=cards, milliseconds=spent)

    @made.post("/try-out/dismiss")
    def dismissed(request: Request, body: Form) -> Response:
        same_site(request)
        reason = {"reason": {"code": _given(body, "reason")}}
        entry = {
            "card": _given(body, "card"),
            "outcome": "overridden",
            "overrideReason": reason,
            "outcomeTimestamp": service.clock.now().isoformat(),
        }
        hook.feedback(encode({"feedback": [entry]}))
        return _page(
            pages, service, patient=_given(body, "patient"), asked=False, cards=[], milliseconds=0
        )

    return made


def _call(service: Service, patient: str) -> dict[str, Any]:
    """What an EHR sends; each opened chart is an encounter of its own here."""
    return {
        "hook": "patient-view",
        "hookInstance": service.new_id(),
        "context": {"userId": _USER, "patientId": patient, "encounterId": service.new_id()},
    }


def _page(pages: Pages, service: Service, **more: Any) -> Response:
    return pages.render("tryout.html", patients=list(service.records().patients()), **more)


def _given(body: bytes, name: str) -> str:
    return parse_qs(body.decode("utf-8", "replace")).get(name, [""])[0]
