"""The hook: discovery, cards, the four cases of a prefetch key, feedback, dismissals."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from web.invariants_for_tests import CHECKED, INVARIANTS, broken, rules
from web.web_for_tests import (
    CANDIDATE,
    HOOK,
    NEEDS,
    OUT,
    STUDY,
    call,
    cards,
    client,
    offline,
    prefetch,
    service,
)

from fhir_adapter.bootstrap import hooking
from fhir_adapter.bootstrap.records import server_records
from fhir_adapter.bootstrap.service import Service
from fhir_adapter.errors import ServerUnreachable
from fhir_adapter.present.cards import SUMMARY_LIMIT
from fhir_adapter.settings import Connection, Settings

from fault_proxy import FaultProxy, of_type, status

REQUIREMENTS = INVARIANTS.with_name("requirements-2.0.csv")


def test_discovery_lists_one_service_with_templates(web: TestClient) -> None:
    answer = web.get("/cds-services")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    (found,) = answer.json()["services"]
    assert found["hook"] == "patient-view"
    assert {"title", "description", "id", "prefetch"} <= set(found)
    assert HOOK.endswith(found["id"])
    assert found["prefetch"]["patient"] == "Patient/{{context.patientId}}"
    assert found["prefetch"]["observation"] == "Observation?patient={{context.patientId}}"
    assert len(found["prefetch"]) <= 8


def test_a_candidate_gets_one_card_with_fixed_sentences(web: TestClient) -> None:
    (card,) = cards(web, CANDIDATE)
    assert card["indicator"] == "info"
    assert len(card["summary"]) <= SUMMARY_LIMIT
    assert STUDY in card["summary"]
    assert card["source"]["label"]
    assert "suggestions" not in card
    assert "11 criteria fit" in card["detail"]
    assert "Fits: Age 18 to 70 years\n" in card["detail"]
    assert "1992" not in card["detail"]
    assert "INR&#125;" not in card["detail"]
    assert card["overrideReasons"][0]["code"] == "not-suitable"
    assert all(reason["display"] and reason["system"] for reason in card["overrideReasons"])


def test_no_response_carries_a_system_action_a_null_or_an_empty_part(web: TestClient) -> None:
    def walk(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            return [bad for k, v in value.items() for bad in walk(v, f"{path}.{k}")]
        if isinstance(value, list):
            return [bad for v in value for bad in walk(v, path)] or ([] if value else [path])
        return [path] if value in (None, "", {}) else []

    for patient in (CANDIDATE, NEEDS):
        found = web.post(HOOK, json=call(patient)).json()
        assert set(found) == {"cards"}
        assert walk(found, "") == []
    assert walk(web.get("/cds-services").json(), "") == []


@pytest.mark.parametrize("patient", [OUT, "12-expired"])
def test_others_get_no_card(web: TestClient, patient: str) -> None:
    assert cards(web, patient) == []


@pytest.mark.parametrize("user", ["Patient/9", "RelatedPerson/3", "nonsense"])
def test_patients_and_relatives_are_not_alerted(web: TestClient, user: str) -> None:
    assert cards(web, CANDIDATE, context={"userId": user}) == []


def test_an_unsigned_study_stays_silent_unless_allowed(tmp_path: Path) -> None:
    with service(tmp_path, unsigned=False) as made, client(made) as web:
        assert cards(web, CANDIDATE) == []
        said = web.get("/metrics").text
    assert 'fhir_adapter_quiet_total{reason="unsigned"} 1.0' in said


def test_a_patient_whom_a_person_works_on_is_not_alerted_again(web: TestClient) -> None:
    assert cards(web, "42-all-answered") != []
    # the expired patient has a person's status and is stopped; see test_alerting for worked-on


# -------------------------------------------------------------------- prefetch, case by case


def test_everything_prefetched_needs_no_server(made: Service) -> None:
    with client(offline(made)) as web:
        (card,) = cards(web, CANDIDATE, prefetch=prefetch(CANDIDATE, made))
    assert "11 criteria fit" in card["detail"]


def detail(web: TestClient, made: Service, **changes: Any) -> list[dict[str, Any]]:
    sent = prefetch(CANDIDATE, made)
    for key, value in changes.items():
        if value is ...:
            del sent[key]
        else:
            sent[key] = value
    return cards(web, CANDIDATE, prefetch=sent)


def test_a_key_left_out_is_fetched_from_the_registered_server(
    web: TestClient, made: Service
) -> None:
    whole = detail(web, made)
    again = detail(web, made, observation=..., condition=...)
    assert again[0]["detail"] == whole[0]["detail"]


def test_a_null_key_means_asked_and_nothing_there(web: TestClient, made: Service) -> None:
    # no Observation at all: the bilirubin gate is open and holds, so there is no card
    assert detail(web, made, observation=None) == []


def test_a_failed_key_is_not_asked_again_and_opens_what_needs_it(
    web: TestClient, made: Service
) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}
    assert detail(web, made, observation=outcome) == []


def test_a_paged_key_is_completed_from_the_registered_server(
    web: TestClient, made: Service
) -> None:
    sent = prefetch(CANDIDATE, made)["observation"]
    cut = {**sent, "entry": sent["entry"][:1], "link": [{"relation": "next", "url": "x?page=2"}]}
    assert detail(web, made, observation=cut)[0]["detail"] == detail(web, made)[0]["detail"]


def test_a_total_beyond_what_was_sent_is_a_page_too(web: TestClient, made: Service) -> None:
    sent = prefetch(CANDIDATE, made)["observation"]
    cut = {**sent, "entry": sent["entry"][:1]}
    assert detail(web, made, observation=cut)[0]["detail"] == detail(web, made)[0]["detail"]


@pytest.mark.parametrize("rubbish", [False, 5, [1], "x", None])
@pytest.mark.parametrize("listed", [True, False])
def test_an_entry_that_holds_no_resource_is_no_mistake_of_ours(
    web: TestClient, rubbish: Any, *, listed: bool
) -> None:
    """Found by drawing: it was answered 500."""
    entry = {"resource": rubbish}
    sent = {"patient": {"entry": [entry] if listed else entry}, "consent": {"entry": entry}}
    assert cards(web, CANDIDATE, prefetch=sent)


def test_an_entry_without_its_resource_was_not_sent(web: TestClient, made: Service) -> None:
    """The registered server has the Consents: the card is that of the whole record."""
    sent = prefetch(CANDIDATE, made)
    sent["consent"] = {"resourceType": "Bundle", "total": 1, "entry": [{"fullUrl": "x"}]}
    desk = made.hook
    (lacking,) = desk.screen(CANDIDATE, sent, may_fetch=False).screened
    (completed,) = desk.screen(CANDIDATE, sent, may_fetch=True).screened
    assert lacking.decision is not None
    assert completed.decision is not None
    assert lacking.decision.unproved
    assert not completed.decision.unproved
    assert cards(web, CANDIDATE, prefetch=sent)


def test_without_patient_and_without_server_it_is_412(made: Service) -> None:
    sent = {k: v for k, v in prefetch(CANDIDATE, made).items() if k != "patient"}
    with client(made) as web:
        answer = web.post(HOOK, json=call("nobody-here", prefetch=sent))
    assert answer.status_code == 412
    assert answer.json()["resourceType"] == "OperationOutcome"


PATIENT_FAILED = {
    "nothing there": None,
    "failed": {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]},
    "another patient": {"resourceType": "Patient", "id": "somebody-else"},
}


@pytest.mark.parametrize("name", PATIENT_FAILED)
def test_a_patient_key_that_the_client_answered_is_not_asked_again(
    made: Service, name: str
) -> None:
    sent = {**prefetch(CANDIDATE, made), "patient": PATIENT_FAILED[name]}
    with client(offline(made)) as web:
        assert web.post(HOOK, json=call(CANDIDATE, prefetch=sent)).status_code == 412


def test_only_what_was_left_out_is_asked_when_the_patient_is_missing_too(made: Service) -> None:
    asked: list[str] = []
    real = made.records()

    class Listening:
        def pull(self, patient: str, needs: Any) -> Any:
            asked.extend(need.resource_type for need in needs)
            return real.pull(patient, needs)

    made.records = Listening  # type: ignore[assignment] # stands for the real one
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}
    sent = {"condition": prefetch(CANDIDATE, made)["condition"], "observation": outcome}
    with client(made) as web:
        assert web.post(HOOK, json=call(CANDIDATE, prefetch=sent)).status_code == 200
    assert asked
    assert {"Condition", "Observation"}.isdisjoint(asked)


def test_without_patient_a_server_that_is_down_or_too_slow_is_412_too(made: Service) -> None:
    def down() -> Any:
        raise ServerUnreachable("no answer", where="x", remedy="Check it.")

    made.records = down
    with client(made) as web:
        answer = web.post(HOOK, json=call(CANDIDATE))
    assert answer.status_code == 412
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.fixture
def patient_fails(made: Service) -> Iterator[TestClient]:
    """A record server that answers 500 to every read of a Patient, and all else."""
    with FaultProxy(made.record_base) as proxy:
        proxy.arm(status(500), on=of_type("Patient"))
        proxied = Settings(record_server=proxy.url, record=Connection(batch="never"))
        made.records = lambda: server_records(proxied)
        with client(made) as web:
            yield web


def test_a_patient_whose_read_fails_is_412_and_not_a_quiet_200(patient_fails: TestClient) -> None:
    answer = patient_fails.post(HOOK, json=call(CANDIDATE))
    assert answer.status_code == 412
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("operation", "name", "value"),
    [
        ("ResearchStudy/$prescreen", "study", STUDY),
        ("Patient/$match-trials", "", ""),
    ],
)
def test_an_operation_without_a_patient_is_502_and_says_that_nothing_was_judged(
    patient_fails: TestClient, operation: str, name: str, value: str
) -> None:
    given = [{"name": "patient", "valueString": CANDIDATE}]
    given += [{"name": name, "valueString": value}] if name else []
    body = {"resourceType": "Parameters", "parameter": given}
    answer = patient_fails.post(f"/fhir/{operation}", json=body)
    assert answer.status_code == 502
    said = json.dumps(answer.json())
    assert "nothing can be judged" in said
    assert CANDIDATE not in said


def test_a_slow_server_is_not_waited_for(made: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooking, "HOOK_DEADLINE", 0.05)

    class Slow:
        def pull(self, *_: Any) -> Any:
            time.sleep(1)

    made.records = Slow  # type: ignore[assignment] # stands for the real one
    sent = {k: v for k, v in prefetch(CANDIDATE, made).items() if k != "allergyIntolerance"}
    with client(made) as web:
        begun = time.perf_counter()
        answer = web.post(HOOK, json=call(CANDIDATE, prefetch=sent))
        assert time.perf_counter() - begun < 0.9
    assert answer.status_code == 200


# -------------------------------------------------------------------------------- bad calls


BAD = {
    "not json": b"{",
    "a list": b"[]",
    "no hook": b'{"context": {}}',
    "another hook": json.dumps({**call(CANDIDATE), "hook": "order-sign"}).encode(),
    "no instance": json.dumps({**call(CANDIDATE), "hookInstance": "1"}).encode(),
    "no patient": json.dumps(call("", context={"userId": "Practitioner/1"})).encode(),
    "odd patient": json.dumps(call("a/../b?c")).encode(),
    "half a character": b'{"hook": "\\ud800"}',
    "half a user": json.dumps(
        call(CANDIDATE, context={"userId": "Practitioner/\ud800", "encounterId": "\ud800"})
    ).encode(),
    "token without server": json.dumps({**call("p"), "fhirAuthorization": {"a": 1}}).encode(),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_call_is_400_with_an_outcome_and_no_echo(web: TestClient, name: str) -> None:
    answer = web.post(HOOK, content=BAD[name])
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert "order-sign" not in answer.text
    assert "../b" not in answer.text


# ------------------------------------------------------------------------------- feedback


def feedback(card: str, **more: Any) -> dict[str, Any]:
    entry = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-11-22T08:00:00Z"}
    return {"feedback": [{**entry, **more}]}


def reason(code: str) -> dict[str, Any]:
    return {"overrideReason": {"reason": {"code": code, "system": "x"}}}


def test_a_final_dismissal_silences_everybody(web: TestClient) -> None:
    (card,) = cards(web, CANDIDATE)
    sent = feedback(card["uuid"], **reason("not-suitable"))
    assert web.post(f"{HOOK}/feedback", json=sent).status_code == 200
    assert web.post(f"{HOOK}/feedback", json=sent).status_code == 200, "sent twice"
    assert cards(web, CANDIDATE) == []
    assert cards(web, CANDIDATE, context={"userId": "Practitioner/2"}) == []
    assert 'fhir_adapter_dismissals_total{reason="not-suitable"} 1.0' in web.get("/metrics").text


def test_not_now_silences_one_user_only(web: TestClient) -> None:
    (card,) = cards(web, CANDIDATE)
    web.post(f"{HOOK}/feedback", json=feedback(card["uuid"], **reason("not-now")))
    assert cards(web, CANDIDATE) == []
    assert len(cards(web, CANDIDATE, context={"userId": "Practitioner/2"})) == 1


def test_one_card_per_encounter(web: TestClient) -> None:
    here = {"encounterId": "e1"}
    assert len(cards(web, CANDIDATE, context=here)) == 1
    assert cards(web, CANDIDATE, context=here) == []
    assert len(cards(web, CANDIDATE, context={"encounterId": "e2"})) == 1


def test_accepted_is_recorded_once_and_silences_nothing(web: TestClient, made: Service) -> None:
    (card,) = cards(web, CANDIDATE)
    accepted = feedback(card["uuid"], outcome="accepted", acceptedSuggestions=[{"id": "s"}])
    for _ in range(2):
        assert web.post(f"{HOOK}/feedback", json=accepted).status_code == 200
    (kept,) = made.ledger.alerts.acceptances(f"{card['uuid']}/")
    assert (kept.study, kept.patient) == (STUDY, CANDIDATE)
    assert "fhir_adapter_acceptances_total 1.0" in web.get("/metrics").text
    assert web.post(f"{HOOK}/feedback", json=feedback(str(uuid4()))).status_code == 200
    assert len(cards(web, CANDIDATE)) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"feedback": []}, {"feedback": [{"card": "%", "outcome": "overridden"}]},
     {"feedback": [{"card": str(uuid4()), "outcome": "liked"}]}],
    ids=["nothing", "empty", "no uuid", "odd outcome"],
)  # fmt: skip
def test_malformed_feedback_is_400(web: TestClient, body: dict[str, Any]) -> None:
    assert web.post(f"{HOOK}/feedback", json=body).status_code == 400


# ------------------------------------------------------------- the specification's invariants


BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cds-r-1": ({"fhirAuthorization": {"scope": "x"}}, {"cards": []}),
    "cds-r-2": ({"fhirServer": "x", "fhirAuthorization": {"scope": "patient/*.rs"}}, {"cards": []}),
    "cds-resp-1": ({}, {"cards": [{"selectionBehavior": "at-most-one", "suggestions": [
        {"isRecommended": True}, {"isRecommended": True}]}]}),
    "cds-resp-2": ({}, {"cards": [], "systemActions": [
        {"type": "delete", "resource": {"id": "1"}}]}),
    "cds-resp-3": ({}, {"cards": [{"links": [{"type": "absolute", "appContext": "x"}]}]}),
    "cds-resp-4": ({}, {"cards": [{"overrideReasons": [{"code": "x"}]}]}),
    "cds-resp-5": ({}, {"cards": [{"selectionBehavior": "any", "suggestions": [
        {"actions": [{"type": "create"}]}]}]}),
    "cds-resp-6": ({}, {"cards": [{"suggestions": [{"label": "s"}]}]}),
    "cds-resp-7": ({}, {"cards": [{"selectionBehavior": "any", "suggestions": [
        {"actionSelectionBehavior": "most"}]}]}),
    "cds-fb-1": ({"feedback": [{"outcome": "liked"}]}, {}),
    "cds-fb-2": ({"feedback": [{"outcome": "accepted"}]}, {}),
    "cds-fb-3": ({"feedback": [{"outcome": "overridden", "overrideReason": {"x": 1}}]}, {}),
}  # fmt: skip
"""Each invariant, and an exchange that breaks it and no other."""
with_suite = pytest.mark.skipif(not INVARIANTS.is_file(), reason="needs ../shared: the invariants")


@with_suite
@pytest.mark.parametrize("name", BROKEN)
def test_each_invariant_is_seen_where_it_is_broken(name: str) -> None:
    sent, answer = BROKEN[name]
    path = f"{HOOK}/feedback" if name.startswith("cds-fb") else HOOK
    assert set(BROKEN) == set(rules())
    assert broken(path, sent, answer) == [name]


@with_suite
def test_the_invariants_of_the_specification_hold(tmp_path: Path) -> None:
    """On every exchange of every test here (CheckedClient); this one sends all that we know."""
    before = CHECKED.copy()
    with service(tmp_path, public_url="https://trials.example") as made, client(made) as web:
        token = {"access_token": "t", "scope": "patient/*.rs", "patient": CANDIDATE}
        sent = {"fhirServer": made.record_base, "fhirAuthorization": token}
        (shown,) = cards(web, CANDIDATE, **sent)
        assert cards(web, OUT) == []
        away = feedback(shown["uuid"], **reason("declined"))
        assert web.post(f"{HOOK}/feedback", json=away).status_code == 200
    seen = {name for name, count in CHECKED.items() if count > before[name]}
    ours = {f"cds-resp-{number}" for number in (1, 3, 4, 6)}  # no suggestion, no action is sent
    assert seen == {"cds-r-1", "cds-r-2", "cds-fb-1", "cds-fb-2", "cds-fb-3", *ours}


def test_templates_use_first_level_context_tokens_and_plain_searches(web: TestClient) -> None:
    templates = web.get("/cds-services").json()["services"][0]["prefetch"]
    for template in templates.values():
        assert re.findall(r"\{\{(.*?)\}\}", template) == ["context.patientId"]
        assert re.fullmatch(
            r"(Patient/|[A-Z][A-Za-z]+\?patient=)\{\{context\.patientId\}\}", template
        )


def test_templates_name_the_categories_that_the_site_is_searched_by(tmp_path: Path) -> None:
    by = Connection(categories="Observation: laboratory, vital-signs")
    with service(tmp_path, record=by) as made, client(made) as web:
        (found,) = web.get("/cds-services").json()["services"]
    wanted = "Observation?patient={{context.patientId}}&category=laboratory,vital-signs"
    assert found["prefetch"]["observation"] == wanted
    assert found["prefetch"]["condition"] == "Condition?patient={{context.patientId}}"


def test_a_link_is_absolute_and_names_nobody(tmp_path: Path) -> None:
    with service(tmp_path, public_url="https://trials.example/") as made, client(made) as web:
        (card,) = cards(web, CANDIDATE)
    (link,) = card["links"]
    assert set(link) == {"label", "url", "type"}
    assert link["type"] == "absolute"
    assert link["url"].startswith(f"https://trials.example/worklist/{STUDY}/")
    assert CANDIDATE not in link["url"]


def test_the_matrix_in_the_docs_names_tests_that_exist() -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`(tests/\S+?)::(\w+)`", (root / "docs/cds-hooks.md").read_text("utf-8"))
    assert len(named) > 50
    missing = [
        name for path, name in named if f"def {name}(" not in (root / path).read_text("utf-8")
    ]
    assert missing == []


@pytest.mark.skipif(not REQUIREMENTS.is_file(), reason="needs ../shared: the requirements")
def test_the_matrix_in_the_docs_has_every_row_that_binds_a_service() -> None:
    with REQUIREMENTS.open(newline="", encoding="utf-8") as file:
        binding = {
            row["id"]: row["conformance"]
            for row in csv.DictReader(file)
            if "Service" in row["actors"] and row["conformance"].startswith("SH")
        }
    text = (Path(__file__).parents[2] / "docs/cds-hooks.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (SH[A-Z ]+) \| \S.* \|$", text, re.MULTILINE))
    assert rows == binding
    said = re.search(r"SHOULD NOT: (\d+); (\d+) are tested", text)
    assert said is not None
    tested = len(re.findall(r"^\| \d+ \|.*`tests/", text, re.MULTILINE))
    assert (int(said[1]), int(said[2])) == (len(rows), tested)


@pytest.mark.parametrize(
    "more",
    [
        {"deceasedBoolean": True},
        {"deceasedDateTime": "2026-11-21"},
        {"birthDate": "1930-01-01"},
    ],
)
def test_what_a_client_sent_stands_beside_what_is_fetched(
    web: TestClient, made: Service, more: dict[str, Any]
) -> None:
    """The record server may not have heard of a death that the client's chart shows."""
    sent = prefetch(CANDIDATE, made)
    sent = {"patient": {**sent["patient"], **more}}
    assert web.post(HOOK, json=call(CANDIDATE, prefetch=sent)).json()["cards"] == []
    later = {"lastUpdated": "2000-01-01T00:00:00Z"}
    old = {"patient": {**sent["patient"], "meta": later}}
    assert len(web.post(HOOK, json=call(CANDIDATE, prefetch=old)).json()["cards"]) == 1


def test_the_mock_chart_hands_everything_over(
    web: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its card does not hang on how fast the record server is."""
    monkeypatch.setattr(hooking, "HOOK_DEADLINE", 0.0)
    shown = web.post("/try-out", data={"patient": CANDIDATE}).text
    assert f"May fit trial {STUDY}" in shown
