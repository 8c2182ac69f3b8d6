"""The service over a record server of R5: its list, and what its client prefetches, are R5 too."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from web.web_for_tests import (
    CANDIDATE,
    NEEDS,
    OUT,
    PATIENTS,
    cards,
    client,
    offline,
    prefetch,
    quick_bench,
    service,
)

from fhir_adapter.bootstrap import service as wiring
from fhir_adapter.bootstrap.service import Service, open_service
from fhir_adapter.settings import Settings

import r5_forms
from cli.cli_for_tests import AS_OF
from r5_server import r5_sandbox

PEOPLE = (CANDIDATE, NEEDS, OUT)


@pytest.fixture
def of_r5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with (
        r5_sandbox(monkeypatch, patients=PATIENTS) as server,
        patch.object(wiring, "bench", quick_bench),
    ):
        settings = Settings(record_server=server.base_url, ledger=str(tmp_path / "r5.sqlite"))
        made = open_service(settings, as_of=AS_OF, unsigned_alerts=True)
        try:
            yield made
        finally:
            made.close()


def in_r5(sent: dict[str, Any]) -> dict[str, Any]:
    """A prefetch as an EHR of R5 fills it."""
    found = copy.deepcopy(sent)
    for value in found.values():
        for entry in value.get("entry", []):
            entry["resource"] = r5_forms.r5_form(entry["resource"])
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["summary"], one["detail"]) for one in found]


def test_cards_are_those_of_r4(of_r5: Service, tmp_path: Path) -> None:
    (tmp_path / "r4").mkdir()
    with service(tmp_path / "r4") as of_r4, client(of_r4) as web:
        sent = {one: prefetch(one, of_r4) for one in PEOPLE}
        wanted = {one: told(cards(web, one, prefetch=sent[one])) for one in PEOPLE}
    with client(of_r5) as web:
        assert {one: told(cards(web, one)) for one in PEOPLE} == wanted, "asked of the server"
    with client(offline(of_r5)) as web:
        found = {one: told(cards(web, one, prefetch=in_r5(sent[one]))) for one in PEOPLE}
    assert found == wanted
    assert any(wanted.values())


def test_what_is_asked_for_is_named_as_in_r5(of_r5: Service) -> None:
    with client(of_r5) as web:
        (found,) = web.get("/cds-services").json()["services"]
    names = found["prefetch"]
    assert names["observation"] == "Observation?patient={{context.patientId}}"
    assert names["researchSubject"] == "ResearchSubject?subject=Patient/{{context.patientId}}"


def test_what_cannot_be_told_in_r4_is_not_taken_for_whole(of_r5: Service) -> None:
    """A Consent that is active and does not say what it decides: an opt-out cannot be ruled out."""
    with client(of_r5) as web:
        web.get("/cds-services")
    sent = in_r5(prefetch(CANDIDATE, of_r5))
    assert screened(of_r5, sent) == "candidate"
    consent = {
        "resourceType": "Consent",
        "id": "says-nothing",
        "status": "active",
        "subject": {"reference": f"Patient/{CANDIDATE}"},
    }
    sent["consent"] = {"resourceType": "Bundle", "total": 1, "entry": [{"resource": consent}]}
    assert screened(of_r5, sent) == "candidate, unproved"


def screened(made: Service, sent: dict[str, Any]) -> str:
    desk = replace(offline(made)).hook
    (found,) = desk.screen(CANDIDATE, sent, may_fetch=False).screened
    assert found.decision is not None
    outcome = found.decision.outcome
    assert outcome is not None
    return outcome.value + (", unproved" if found.decision.unproved else "")
