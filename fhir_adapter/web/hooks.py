"""CDS Hooks 2.0.1: discovery, patient-view, feedback. At most one card, information only."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from fhir_adapter.alerting import Setting, quiet_because, ranked
from fhir_adapter.bootstrap.hooking import Asked
from fhir_adapter.bootstrap.service import Service
from fhir_adapter.errors import PatientNotFound
from fhir_adapter.fhir.reading import is_object, parts, text
from fhir_adapter.fhir.wire import encode
from fhir_adapter.model.dates import instant
from fhir_adapter.ports import Resource
from fhir_adapter.present.cards import DISMISS_REASONS, Told, card
from fhir_adapter.screening import Screened
from fhir_adapter.web.clients import Gatekeeper, HookClient
from fhir_adapter.web.limits import Body, json_object, takes
from fhir_adapter.web.metrics import Metrics
from fhir_adapter.web.outcomes import Refusal

SERVICE = "fhir-adapter-patient-view"
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_TREATING = ("Practitioner/", "PractitionerRole/")
_REASONS = frozenset(code for code, _ in DISMISS_REASONS)


class Hook:
    """The rules of the hook over one service; ``gate`` is None in the demonstration only."""

    def __init__(
        self, service: Service, gate: Gatekeeper | None, metrics: Metrics, public_url: str
    ) -> None:
        self._service = service
        self._gate = gate
        self._metrics = metrics
        self._public_url = public_url.rstrip("/")

    def client(self, request: Request) -> HookClient | None:
        """The client that calls; 401 where it may not."""
        return None if self._gate is None else self._gate.client(request, request.url.path)

    def discovery(self) -> Resource:
        """What this service offers."""
        studies = ", ".join(one.package.study.id for one in self._service.benches)
        return {
            "services": [
                {
                    "hook": "patient-view",
                    "title": "Clinical trial pre-screening",
                    "description": f"Says when the patient may fit a clinical trial ({studies}).",
                    "id": SERVICE,
                    "prefetch": self._service.hook.templates(),
                    "usageRequirements": "Screens only where the site has recorded a basis.",
                }
            ]
        }

    def patient_view(self, body: bytes, client: HookClient | None) -> Resource:
        """One call: the cards, none or one."""
        call = _Call(json_object(body))
        if not call.user.startswith(_TREATING):
            return {"cards": []}  # patients and relatives are not alerted
        try:
            found = self._service.hook.screen(
                call.patient,
                call.prefetch,
                may_fetch=self._may_fetch(call, client),
                encounter=call.encounter,
            )
        except PatientNotFound:
            raise Refusal(412, "the patient was not prefetched and cannot be retrieved") from None
        left_out = len(self._service.benches) - len(found.screened)
        if left_out:
            self._metrics.quiet.labels("gate").inc(left_out)
        told = [one for one in found.screened if self._tells(one, found, call)]
        return {"cards": self._cards(told, call)}

    def _may_fetch(self, call: _Call, client: HookClient | None) -> bool:
        """Only the registered server is ever asked, and never with the token of the call."""
        if client is None:
            return True
        registered = client.fhir_server.rstrip("/")
        named = call.server.rstrip("/") or registered
        return bool(registered) and named == registered == self._service.record_base.rstrip("/")

    def _tells(self, one: Screened, found: Asked, call: _Call) -> bool:
        assert one.decision is not None
        setting = Setting(
            who=call.user,
            encounter=call.encounter,
            now=instant(self._service.clock.now()),
            worked_on=one.worked_on,
            unsigned_allowed=self._service.unsigned_alerts,
            dismissals=found.dismissals(one.decision.study),
            shown=found.shown(one.decision.study),
        )
        reason = quiet_because(one.decision, setting)
        if reason is not None:
            self._metrics.quiet.labels(reason).inc()
        return reason is None

    def _cards(self, told: list[Screened], call: _Call) -> list[Resource]:
        if not told:
            return []
        uuid = self._service.new_id()
        decisions = ranked(one.decision for one in told if one.decision is not None)
        shown: list[Told] = []
        for decision in decisions:
            bench = self._service.bench_of(decision.study)
            link = f"/worklist/{decision.study}/{self._service.handle(decision.patient)}"
            shown.append(
                Told(
                    decision=decision,
                    study=bench.package.study,
                    zone=bench.zone,
                    link=f"{self._public_url}{link}" if self._public_url else "",
                )
            )
            self._metrics.cards.labels(decision.study).inc()
        self._service.hook.remember_cards(decisions, uuid, who=call.user, encounter=call.encounter)
        return [card(shown, uuid=uuid)]

    def feedback(self, body: bytes) -> None:
        """What became of cards; sent again it changes nothing, unknown cards are passed over."""
        sent = json_object(body).get("feedback")
        if not isinstance(sent, list) or not sent:
            raise Refusal(400, "feedback must be a list with at least one entry")
        for entry in parts(sent):  # pyright: ignore[reportUnknownArgumentType] # any JSON
            self._take(entry)

    def _take(self, entry: Resource) -> None:
        uuid, outcome = _uuid(text(entry.get("card"))), text(entry.get("outcome"))
        if uuid is None or outcome not in ("accepted", "overridden"):
            raise Refusal(400, "each feedback names a card and an outcome")
        shown = self._service.ledger.alerts.cards(f"{uuid}/")
        if outcome == "accepted":
            new = sum(1 for one in shown if self._service.ledger.alerts.accept(one))
            self._metrics.acceptances.inc(new)
            return
        given = entry.get("overrideReason")
        reason = given.get("reason") if is_object(given) else None
        code = text(reason.get("code")) if is_object(reason) else ""
        known = code if code in _REASONS else "not-now"
        for one in shown:
            if self._service.ledger.alerts.dismiss(one, reason=known):
                self._metrics.dismissals.labels(known).inc()


class _Call:
    """The fields of one call that we use; 400 where a required one is missing."""

    def __init__(self, sent: dict[str, Any]) -> None:
        context = sent.get("context")
        if text(sent.get("hook")) != "patient-view" or not is_object(context):
            raise Refusal(400, "hook must be patient-view, with a context")
        if _uuid(text(sent.get("hookInstance"))) is None:
            raise Refusal(400, "hookInstance must be a UUID")
        if sent.get("fhirAuthorization") and not sent.get("fhirServer"):
            raise Refusal(400, "fhirAuthorization needs fhirServer")
        self.patient = text(context.get("patientId"))
        self.user = text(context.get("userId"))[:200]
        self.encounter = text(context.get("encounterId"))[:64]
        self.server = text(sent.get("fhirServer"))
        prefetch = sent.get("prefetch")
        self.prefetch: dict[str, Any] = prefetch if is_object(prefetch) else {}
        if not _ID(self.patient) or not self.user:
            raise Refusal(400, "the context needs userId and patientId")


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def router(hook: Hook) -> APIRouter:
    """The three routes."""
    made = APIRouter(tags=["CDS Hooks"])

    @made.get("/cds-services")
    def discovery(request: Request) -> Response:
        """What this service offers, with prefetch templates derived from the open studies."""
        hook.client(request)
        return _json(hook.discovery())

    @made.post(f"/cds-services/{SERVICE}", openapi_extra=takes("hook", "hookInstance", "context"))
    def patient_view(request: Request, body: Body) -> Response:
        """A chart was opened: no card, or one."""
        client = hook.client(request)
        return _json(hook.patient_view(body, client))

    @made.post(f"/cds-services/{SERVICE}/feedback", openapi_extra=takes("feedback"))
    def feedback(request: Request, body: Body) -> Response:
        """What a person did with a card."""
        hook.client(request)
        hook.feedback(body)
        return Response(status_code=200)

    return made


def _json(body: Resource) -> Response:
    return Response(content=encode(body), media_type="application/json")
