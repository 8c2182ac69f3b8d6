"""The demonstration's mock chart: calls the hook as an EHR would and shows what it answers."""

from __future__ import annotations

import html
import time
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.fhir.wire import encode
from fhir_adapter.pull.prefetch import PATIENT_KEY, key_of
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
        call = encode(_call(service, patient))
        begun = time.perf_counter()
        cards = hook.patient_view(call, None)["cards"]
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
        "prefetch": _prefetched(service, patient),
    }


def _prefetched(service: Service, patient: str) -> dict[str, Any]:
    """Every type that studies read, as far as it was found whole: nothing waits for a deadline."""
    pulled = service.records().pull(patient, service.hook.needs)
    found: dict[str, Any] = {
        PATIENT_KEY: next(one for one in pulled.resources if _is(one, patient))
    }
    for one in pulled.types:
        if one.complete and one.resource_type != "Patient":
            own = [r for r in pulled.resources if r["resourceType"] == one.resource_type]
            entries = [{"resource": resource} for resource in own]
            found[key_of(one.resource_type)] = {
                "resourceType": "Bundle",
                "type": "searchset",
                "total": len(own),
                "entry": entries,
            }
    return found


def _is(resource: dict[str, Any], patient: str) -> bool:
    return bool(resource["resourceType"] == "Patient" and resource["id"] == patient)


def _page(pages: Pages, service: Service, **more: Any) -> Response:
    return pages.render("tryout.html", patients=list(service.records().patients()), **more)


def _given(body: bytes, name: str) -> str:
    return parse_qs(body.decode("utf-8", "replace")).get(name, [""])[0]
