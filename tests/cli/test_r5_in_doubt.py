"""R5 in forms that R4 does not have: what is not known stays open, and nobody is proposed on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.sandbox import RunningSandbox

import fault_proxy as faults
import r5_forms
from cli.cli_for_tests import AS_OF, run, sandbox
from cli.test_r5_screen import CANDIDATE, KEY, died, screen, subjects, write
from fault_proxy import FaultProxy, Request
from r5_server import r5_sandbox

pytestmark = pytest.mark.slow

SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
OPT_OUT = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}
REASONS = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
REGISTRY = "https://clinicaltrials.gov"
FOREIGN = {"url": "http://hospital.example/said-by", "valueString": "call first"}
WRITTEN = ("Device", "ResearchSubject", "GuidanceResponse", "Provenance", "Task")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    with r5_sandbox(monkeypatch, patients=(CANDIDATE,)) as running:
        yield running


def put(running: RunningSandbox, resource: Any) -> None:
    running._interactions.store.load(dict(r5_forms.valid(resource)))


def state(code: str, start: str = "2024-01-01", end: str = "") -> Any:
    coded = {"coding": [{"system": r5_forms.STATE, "code": code}]}
    return {"subjectState": coded, "startDate": start, **({"endDate": end} if end else {})}


def entered(running: RunningSandbox, number: str, *progress: Any) -> None:
    """A person has entered the patient in a study, in this way."""
    known = [
        found["id"]
        for found in running._interactions.store.all_of("ResearchStudy")
        if any(one["value"] == number for one in found.get("identifier", []))
    ]
    if not known:
        named = [{"system": REGISTRY, "value": number}]
        put(running, {"resourceType": "ResearchStudy", "id": number, "status": "active",
                      "identifier": named})  # fmt: skip
    subject = {
        "resourceType": "ResearchSubject",
        "id": "entered",
        "status": "active",
        "study": {"reference": f"ResearchStudy/{(known or [number])[0]}"},
        "subject": {"reference": f"Patient/{CANDIDATE}"},
        "progress": list(progress),
    }
    put(running, subject)


def decision(running: RunningSandbox) -> Any:
    (found,) = screen(running.base_url, "--patient", CANDIDATE)["decisions"]
    return found


UNCLEAR = {
    "two that are open": (state("on-study"), state("follow-up", "2024-05-01")),
    "all appended, none ended": (state("candidate"), state("on-study", "2024-05-01")),
    "all ended": (state("on-study", end="2024-05-01"), state("off-study", end="2024-05-01")),
    "a decline that is over": (state("not-registered", end="2024-01-01"),),
}


@pytest.mark.parametrize("progress", UNCLEAR.values(), ids=UNCLEAR)
def test_who_may_be_on_this_study_is_not_proposed_for_it(
    one: RunningSandbox, progress: tuple[Any, ...]
) -> None:
    entered(one, "NCT05985863", *progress)
    found = decision(one)
    assert found["unproved"] == ["on-study"]
    assert "whether the patient is on this study is not known" in found["sentence"]


def test_nor_is_one_proposed_on_another_server(one: RunningSandbox) -> None:
    entered(one, "NCT05985863", *UNCLEAR["two that are open"])
    with sandbox(patients=(CANDIDATE,)) as other:
        asked = ("screen", "--server", one.base_url, "--as-of", AS_OF, "--json", "--write")
        ran = run(*asked, FHIR_ADAPTER_WRITE_SERVER=other.base_url, **KEY)
        assert ran.status == 0, ran.flat
        assert list(other._interactions.store.all_of("ResearchSubject")) == []


def consent(running: RunningSandbox, *categories: Any, **more: Any) -> None:
    given = {
        "resourceType": "Consent",
        "id": "given",
        "status": "active",
        "date": "2026-01-01",
        "subject": {"reference": f"Patient/{CANDIDATE}"},
        "category": [{"coding": [one]} for one in categories],
        **more,
    }
    put(running, given)


def scope(code: str) -> Any:
    return {"system": SCOPES, "code": code}


@pytest.mark.parametrize("other", ["treatment", "adr"])
def test_an_opt_out_is_seen_whatever_scope_is_told_first(one: RunningSandbox, other: str) -> None:
    consent(one, scope(other), scope("patient-privacy"), OPT_OUT)
    assert decision(one)["stops"] == ["opted-out"]


def test_an_exception_about_research_is_a_refusal_in_a_consent_to_treatment(
    one: RunningSandbox,
) -> None:
    refused = {"purpose": [{"system": REASONS, "code": "HRESCH"}]}
    consent(one, scope("treatment"), decision="permit", provision=[refused])
    assert decision(one)["stops"] == ["opted-out"]


@pytest.mark.parametrize(
    "exception",
    [
        {"provision": [{"purpose": [{"system": REASONS, "code": "TREAT"}]}]},
        {"action": [{"text": "use"}]},
    ],
)
def test_an_exception_that_cannot_be_told_leaves_the_permission_open(
    one: RunningSandbox, exception: Any
) -> None:
    """All is refused but treatment, say."""
    consent(one, scope("research"), decision="permit", provision=[exception])
    assert "opted-out" in decision(one)["unproved"]


def test_a_batch_of_a_server_that_hides_its_version_is_not_read_as_r4(one: RunningSandbox) -> None:
    consent(one, scope("research"), decision="deny")
    with FaultProxy(one.base_url) as proxy:
        proxy.arm(faults.no_metadata(500), on=faults.is_metadata)
        asked = ("screen", "--server", proxy.url, "--as-of", AS_OF, "--json")
        ran = run(*asked, FHIR_ADAPTER_RECORD_BATCH="always", **KEY)
    (found,) = ran.json["decisions"]
    assert {"Consent", "Encounter"} <= {kind["type"] for kind in ran.json["types-not-whole"]}
    assert "opted-out" in found["unproved"]


def test_what_one_client_was_told_the_next_one_knows(one: RunningSandbox) -> None:
    """Else the one that writes would write R4 where its own question is not answered."""
    asked: list[Request] = []

    def is_second(request: Request) -> bool:
        asked.extend([request] if faults.is_metadata(request) else [])
        return faults.is_metadata(request) and len(asked) > 1

    with FaultProxy(one.base_url) as proxy:
        proxy.arm(faults.no_metadata(500), on=is_second)
        (written,) = screen(proxy.url, "--write", "--patient", CANDIDATE)["written"]
    assert len(asked) > 1, "the client that writes has asked"
    assert [key for key in written["created"] if key.startswith("ResearchSubject/")]
    for kind in WRITTEN:
        for resource in one._interactions.store.all_of(kind):
            r5_forms.valid(resource)


def test_an_extension_of_theirs_on_the_state_is_a_person_s(one: RunningSandbox) -> None:
    write(one)
    (ours,) = subjects(one)
    told = ours["progress"][0]["subjectState"]
    marked = {**told, "extension": [*told["extension"], FOREIGN]}
    one._interactions.store.put({**ours, "progress": [{"subjectState": marked}]})
    died(one)
    assert write(one)["left-to-person"]
    assert subjects(one)[0]["progress"] == [{"subjectState": marked}]


def order(**more: Any) -> Any:
    warfarin = {"coding": [{"system": "http://www.whocc.no/atc", "code": "B01AA03"}]}
    return {
        "resourceType": "MedicationRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "authoredOn": "2026-01-01",
        "subject": {"reference": f"Patient/{CANDIDATE}"},
        "medication": {"concept": warfarin},
        **more,
    }


def test_the_period_of_all_doses_is_read_as_that_of_a_line(one: RunningSandbox) -> None:
    period = {"start": "2026-01-02", "end": "2026-01-10"}

    def effects() -> Any:
        found = decision(one)
        return found["outcome"], [(told["effect"], told["reason"]) for told in found["criteria"]]

    put(one, order(effectiveDosePeriod=period))
    first = effects()
    one._interactions.store.put(
        order(dosageInstruction=[{"timing": {"repeat": {"boundsPeriod": period}}}])
    )
    assert first == effects()
    one._interactions.store.put(order(effectiveDosePeriod=period, dosageInstruction=[{}, {}]))
    assert first != effects(), "two lines: whose period it is cannot be told"


@pytest.mark.parametrize("code", ["SEVCO:01002", "SEVCO:01037", "SEVCO:01038"])
def test_an_observational_study_is_asked_of_a_person(one: RunningSandbox, code: str) -> None:
    design = {"system": "http://hl7.org/fhir/study-design", "code": code}
    put(one, {"resourceType": "ResearchStudy", "id": "NCT00000001", "status": "active",
              "identifier": [{"system": REGISTRY, "value": "NCT00000001"}],
              "studyDesign": [{"coding": [design]}]})  # fmt: skip
    entered(one, "NCT00000001", state("on-study"))
    assert decision(one)["outcome"] == "candidate"
