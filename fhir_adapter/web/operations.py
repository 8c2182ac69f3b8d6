"""FHIR operations for integrators: Parameters in, Parameters with the results out.

The patient stands in the body, never in an address. The resources are those that write-back sends.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from fhir_adapter.bootstrap.judging import Bench
from fhir_adapter.bootstrap.service import Service, plan_of
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.fhir.reading import is_object, parts, text
from fhir_adapter.model.decision import Decision
from fhir_adapter.ports import Resource
from fhir_adapter.present.operations import match, opinion_of, prescreen
from fhir_adapter.screening import Screened
from fhir_adapter.web.access import Access
from fhir_adapter.web.limits import Body, json_object, takes
from fhir_adapter.web.outcomes import FHIR_JSON, Refusal, fhir

_ROLES = ("integrator", "coordinator", "investigator")


class Asked:
    """Parameters of one call; 400 where something is missing or of the wrong kind."""

    def __init__(self, body: bytes) -> None:
        sent = json_object(body)
        if sent.get("resourceType") != "Parameters":
            raise Refusal(400, "the body must be a Parameters resource")
        self._given: dict[str, Resource] = {
            text(one.get("name")): one for one in parts(sent.get("parameter"))
        }

    def word(self, name: str) -> str:
        """A string, code, id, dateTime, canonical or token-like parameter; "" where not given."""
        one = self._given.get(name, {})
        values = [value for key, value in one.items() if key.startswith("value")]
        if not values:
            return ""
        value = values[0]
        if is_object(value):
            return text(value.get("reference")) or text(value.get("value"))
        return text(value)

    def patient(self) -> str:
        """The patient: a reference or a logical id."""
        found = self.word("patient").removeprefix("Patient/")
        if not found:
            raise Refusal(400, "the parameter patient is missing (valueReference Patient/<id>)")
        return found

    def record(self) -> Resource | None:
        """A Bundle handed over as the record; None where the record server is to be asked."""
        found = self._given.get("record", {}).get("resource")
        return found if is_object(found) else None


class Operations:
    """The three operations over one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def prescreen(self, asked: Asked) -> Resource:
        """ResearchStudy/$prescreen: outcome, opinion and proposal for one patient and study."""
        bench = self._bench(asked, "study")
        return prescreen(self._decision(asked, bench), bench.package.study, self._opinion(bench))

    def match(self, asked: Asked) -> Resource:
        """Patient/$match-trials: every open study, the best first."""
        benches = self._service.benches
        found = zip(benches, self._screened(asked, benches), strict=True)
        told = [
            (one.decision, bench.package.study, self._opinion(bench))
            for bench, one in found
            if one.decision is not None
        ]
        return match(told)

    def explain(self, asked: Asked) -> Resource:
        """PlanDefinition/$explain-eligibility: the opinion's Parameters alone."""
        bench = self._bench(asked, "planDefinition")
        return opinion_of(self._decision(asked, bench), bench.package.study, self._opinion(bench))

    def _bench(self, asked: Asked, name: str) -> Bench:
        wanted = asked.word(name)
        if not wanted:
            raise Refusal(400, f"the parameter {name} is missing")
        for bench in self._service.benches:
            plan = plan_of(bench)
            reference = f"ResearchStudy/{bench.package.study.id}"
            if wanted in (plan, plan.partition("|")[0], reference):
                return bench
        return self._service.bench_of(wanted)

    def _opinion(self, bench: Bench) -> dict[str, Any]:
        return {
            "plan": plan_of(bench),
            "judged_at": self._service.clock.now().isoformat(timespec="seconds"),
            "zone": bench.zone,
        }

    def _decision(self, asked: Asked, bench: Bench) -> Decision:
        (found,) = self._screened(asked, (bench,))
        assert found.decision is not None
        return found.decision

    def _screened(self, asked: Asked, benches: tuple[Bench, ...]) -> list[Screened]:
        patient, as_of, record = asked.patient(), asked.word("asOf") or None, asked.record()
        try:
            self._service.moment(benches[0], as_of)
        except SettingInvalid:
            raise Refusal(400, "asOf is not a date, a time or last-fact") from None
        if record is None:
            return self._service.screen_known(patient, benches, as_of)
        return self._service.screen_bundle(record, patient, benches, as_of)


_BODY = takes("resourceType", "parameter", media=FHIR_JSON)


def router(operations: Operations, access: Access) -> APIRouter:
    """The operations and their roles."""
    made = APIRouter(prefix="/fhir", tags=["FHIR operations"])

    @made.post("/ResearchStudy/$prescreen", openapi_extra=_BODY)
    def prescreen_route(request: Request, body: Body) -> Response:
        """study, patient, optionally asOf and record (a Bundle): the decision and its resources."""
        access.need(request, *_ROLES)
        return fhir(operations.prescreen(Asked(body)))

    @made.post("/Patient/$match-trials", openapi_extra=_BODY)
    def match_route(request: Request, body: Body) -> Response:
        """patient, optionally asOf and record: every study of this service."""
        access.need(request, *_ROLES)
        return fhir(operations.match(Asked(body)))

    @made.post("/PlanDefinition/$explain-eligibility", openapi_extra=_BODY)
    def explain_route(request: Request, body: Body) -> Response:
        """planDefinition, patient, optionally asOf and record: criterion by criterion."""
        access.need(request, *_ROLES)
        return fhir(operations.explain(Asked(body)))

    return made
