"""A service over a sandbox with teaching patients, and calls as an EHR makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from fastapi.testclient import TestClient
from web.invariants_for_tests import CheckedClient

from fhir_adapter.bootstrap import service as wiring
from fhir_adapter.bootstrap.judging import Bench, bench
from fhir_adapter.bootstrap.service import Service, open_service
from fhir_adapter.settings import Settings
from fhir_adapter.web import create_app

from cli.cli_for_tests import AS_OF, sandbox
from story.cohort_for_tests import COHORT

STUDY = "NCT05985863"
CANDIDATE, NEEDS, OUT = "09-no-pregnancy-test", "03-encephalopathy-without-grade", "17-seventeen"
PATIENTS = (CANDIDATE, NEEDS, OUT, "12-expired", "42-all-answered")
HOOK = "/cds-services/fhir-adapter-patient-view"


@cache
def _compiled(study: str, site: str) -> Bench:
    return bench(Settings(study=study, site=site))


def quick_bench(settings: Settings, **people: Any) -> Bench:
    """A study is compiled once per process; people's answers come from each test's own ledger."""
    made = _compiled(settings.study, settings.site)
    return replace(made, screener=replace(made.screener, **people))


@contextmanager
def service(folder: Path, *, unsigned: bool = True, **settings: Any) -> Iterator[Service]:
    with sandbox(patients=PATIENTS) as server, patch.object(wiring, "bench", quick_bench):
        made = open_service(
            Settings(
                record_server=server.base_url, ledger=str(folder / "ledger.sqlite"), **settings
            ),
            as_of=AS_OF,
            unsigned_alerts=unsigned,
        )
        try:
            yield made
        finally:
            made.close()


@contextmanager
def client(made: Service, *, demo: bool = True, **more: Any) -> Iterator[TestClient]:
    app = create_app(made, demo=demo, refresh=False, **more)
    with CheckedClient(app, raise_server_exceptions=False, follow_redirects=False) as found:
        yield found


def call(patient: str, **more: Any) -> dict[str, Any]:
    context = {"userId": "Practitioner/1", "patientId": patient, **more.pop("context", {})}
    return {"hook": "patient-view", "hookInstance": str(uuid4()), "context": context, **more}


def cards(found: TestClient, patient: str, **more: Any) -> list[dict[str, Any]]:
    answer = found.post(HOOK, json=call(patient, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()["cards"]


def record(patient: str) -> list[dict[str, Any]]:
    """The resources of a teaching patient; floats are fine for a client."""
    bundle = json.loads((COHORT / f"{patient}.json").read_text("utf-8"))
    return [entry["resource"] for entry in bundle["entry"]]


def prefetch(patient: str, service_: Service) -> dict[str, Any]:
    """Every key that the service asks for, as an EHR would fill it, and all other types too."""
    resources = record(patient)
    names = ["Patient", *dict.fromkeys(need.resource_type for need in service_.hook.needs)]
    found: dict[str, Any] = {}
    for name in names:
        own = [one for one in resources if one["resourceType"] == name]
        key = name[:1].lower() + name[1:]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(own)}
        found[key] = {**bundle, "entry": [{"resource": one} for one in own]} if own else bundle
    found["patient"] = next(one for one in resources if one["resourceType"] == "Patient")
    return found


def offline(made: Service) -> Service:
    """The same service whose record server does not answer."""

    def nobody() -> Any:
        raise AssertionError("the record server was asked")

    return replace(made, records=nobody)
