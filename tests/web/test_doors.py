"""Roles, sessions, limits, health; and the pages and operations behind them."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from fastapi.testclient import TestClient
from web.web_for_tests import CANDIDATE, NEEDS, OUT, PATIENTS, STUDY, client, record, service

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.errors import ServerUnreachable
from fhir_adapter.fhir.resources import problems

LIST = f"/worklist/{STUDY}"


def tokens_file(folder: Path) -> Path:
    lines = ["format = 1"]
    for name, roles, studies in (
        ("coordinator", ["coordinator"], [STUDY]),
        ("elsewhere", ["coordinator"], ["OTHER"]),
        ("integrator", ["integrator"], []),
        ("monitor", ["monitor"], []),
    ):
        digest = hashlib.sha256(f"token-{name}".encode()).hexdigest()
        lines += ["[[token]]", f'name = "{name}"', f'sha256 = "{digest}"', f"roles = {roles}"]
        lines += [f"studies = {studies}"] if studies else []
    path = folder / "tokens.toml"
    path.write_text("\n".join(lines).replace("'", '"'))
    return path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with its list, which the tests only read."""
    folder = tmp_path_factory.mktemp("guarded")
    with service(folder, tokens=str(tokens_file(folder))) as made:
        made.refresh()
        yield made


@pytest.fixture
def closed(guarded: Service) -> Iterator[TestClient]:
    """Sessions are of an app: every test has its own."""
    with client(guarded, demo=False) as found:
        yield found


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer token-{name}"}


WANTED = {
    "/": {"coordinator": 200, "integrator": 403, "": 401, "wrong": 401},
    LIST: {"coordinator": 200, "elsewhere": 403, "integrator": 403, "": 401},
    f"{LIST}/worklist.csv": {"coordinator": 200, "elsewhere": 403, "": 401},
    f"{LIST}/abc": {"coordinator": 404, "elsewhere": 403, "": 401},
    "/worklist/NOPE": {"coordinator": 403, "": 401},
    "/metrics": {"integrator": 200, "monitor": 200, "coordinator": 403, "": 401},
    "/health": {"": 200},
    "/ready": {"": 200},
    "/login": {"": 200},
    "/nothing": {"": 404},
    "/try-out": {"": 404},
    "/cds-services": {"coordinator": 401, "": 401},
    "/openapi.json": {"": 200},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "name", "status"),
    [(path, name, status) for path, by in WANTED.items() for name, status in by.items()],
)
def test_every_route_denies_by_default(
    closed: TestClient, path: str, name: str, status: int
) -> None:
    answer = closed.get(path, headers=bearer(name) if name else {})
    assert answer.status_code == status
    if status >= 400:
        assert answer.json()["resourceType"] == "OperationOutcome"


OPEN = {"/health", "/ready", "/login", "/openapi.json"}
"""Routes that tell nobody anything about studies or patients."""


def every_route(app: Any) -> list[tuple[str, str]]:
    routers = [getattr(route, "original_router", None) for route in app.routes]
    included = [route for one in routers if one is not None for route in one.routes]
    return [
        (method, route.path.format(study=STUDY, handle="abc"))
        for route in (*app.routes, *included)
        for method in sorted(getattr(route, "methods", None) or ())
        if method != "HEAD"
    ]


@pytest.mark.parametrize("name", ["", "wrong", "monitor"])
def test_no_route_is_open_unless_it_is_named_here(closed: TestClient, name: str) -> None:
    found = every_route(closed.app)
    assert len(found) >= 17
    answers = {
        (method, path): closed.request(method, path, headers=bearer(name) if name else {})
        for method, path in found
        if path not in OPEN and path != "/logout"
    }
    expected = {401, 403} if name == "monitor" else {401}
    for route, answer in answers.items():
        if route != ("GET", "/metrics") or name != "monitor":
            assert answer.status_code in expected, route
            assert answer.json()["resourceType"] == "OperationOutcome"


HTML = {"Accept": "text/html,application/xhtml+xml"}


def test_a_browser_without_a_session_is_sent_to_sign_in_and_on_to_its_page(
    closed: TestClient,
) -> None:
    answer = closed.get(LIST, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={LIST}")
    form = closed.get(answer.headers["location"]).text
    assert f'name="next" value="{LIST}"' in form
    sent = {"token": "token-coordinator", "next": LIST}
    again = closed.post("/login", data={**sent, "token": "nonsense"})
    assert (again.status_code, f'value="{LIST}"' in again.text) == (401, True)
    assert closed.post("/login", data=sent).headers["location"] == LIST


@pytest.mark.parametrize("there", ["//evil.example", "/worklist/../x", "https://evil.example", "/"])
def test_signing_in_leads_to_our_own_pages_only(closed: TestClient, there: str) -> None:
    sent = {"token": "token-coordinator", "next": there}
    assert closed.post("/login", data=sent).headers["location"] == "/"
    assert "evil" not in closed.get("/login", params={"next": there}).text


@pytest.mark.parametrize("path", ["/fhir/Patient/$match-trials", "/cds-services", "/metrics"])
def test_a_route_of_programs_is_401_with_an_outcome_whatever_is_accepted(
    closed: TestClient, path: str
) -> None:
    method = "POST" if path.startswith("/fhir") else "GET"
    answer = closed.request(method, path, headers=HTML)
    assert answer.status_code == 401
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_an_address_from_before_a_restart_is_a_page_with_a_remedy(closed: TestClient) -> None:
    answer = closed.get(f"{LIST}/{'0' * 24}", headers={**HTML, **bearer("coordinator")})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "open the worklist and choose the patient there" in answer.text
    assert '<a href="/">' in answer.text


def test_a_form_without_a_session_and_a_page_that_does_not_exist_are_pages(
    closed: TestClient,
) -> None:
    assert closed.post(f"{LIST}/refresh", headers=HTML).headers["location"] == "/login"
    assert "<h1>Not Found</h1>" in closed.get("/nothing", headers=HTML).text
    refused = closed.get("/worklist/NOPE", headers={**HTML, **bearer("coordinator")})
    assert (refused.status_code, "<h1>Forbidden</h1>" in refused.text) == (403, True)


def test_a_record_server_that_is_down_is_a_page_too(closed: TestClient) -> None:
    closed.post("/login", data={"token": "token-coordinator"})
    (address, *_) = re.findall(rf'href="({LIST}/[0-9a-f]{{24}})"', closed.get(LIST).text)
    down = ServerUnreachable("no answer", where="x", remedy="Check the server.")
    with patch.object(Service, "screen_with_record", side_effect=down):
        answer = closed.get(address, headers=HTML)
    assert answer.status_code == down.http_status
    assert "Check the server." in answer.text


@pytest.mark.parametrize(("address", "secure"), [("https://trials.example", True),
                                                 ("http://localhost:8080", False)])  # fmt: skip
def test_the_cookie_is_for_https_only_where_the_address_is(
    tmp_path: Path, address: str, *, secure: bool
) -> None:
    tokens = str(tokens_file(tmp_path))
    with (
        service(tmp_path, tokens=tokens, public_url=address) as made,
        client(made, demo=False) as web,
    ):
        answer = web.post("/login", data={"token": "token-coordinator"})
    assert ("secure" in answer.headers["set-cookie"].lower().split("; ")) is secure


def test_every_answer_carries_the_headers_of_a_careful_server(closed: TestClient) -> None:
    for path in ("/login", "/health", "/nothing"):
        headers = closed.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-request-id"]


def test_signing_in_gives_a_session_and_signing_out_ends_it(closed: TestClient) -> None:
    assert closed.post("/login", data={"token": "nonsense"}).status_code == 401
    answer = closed.post("/login", data={"token": "token-coordinator"})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert closed.get(LIST).status_code == 200
    assert closed.post("/logout").status_code == 303
    assert closed.get(LIST).status_code == 401


def test_a_form_of_another_site_is_refused(closed: TestClient) -> None:
    closed.post("/login", data={"token": "token-coordinator"})
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for path in (f"{LIST}/reveal", f"{LIST}/refresh", "/login", "/logout"):
        assert closed.post(path, headers=foreign).status_code == 403


# ------------------------------------------------------------------------------- the pages


@pytest.fixture
def pages(made: Service, web: TestClient) -> TestClient:
    made.refresh()
    return web


def test_the_worklist_hides_who_it_is(pages: TestClient) -> None:
    text = pages.get(LIST).text
    assert "Candidate: 4 questions left for people" in text
    assert [name for name in PATIENTS if name in text] == []


def test_counts_of_the_tabs_add_up_to_everyone(pages: TestClient, made: Service) -> None:
    listed = made.listed(STUDY)
    assert listed is not None
    total = 0
    for outcome, count in listed.worklist.counts:
        text = pages.get(f"{LIST}?tab={outcome.value}").text
        assert f"<caption>{count} shown</caption>" in text
        total += count
    assert total + len(listed.failed) == listed.worklist.total == len(PATIENTS)


def test_filtering_gives_the_rows_alone_to_htmx_and_the_page_to_others(pages: TestClient) -> None:
    words = {"q": "check before", "tab": "list"}
    whole = pages.post(LIST, data=words)
    rows = pages.post(LIST, data=words, headers={"HX-Request": "true"})
    assert "<html" in whole.text
    assert "<html" not in rows.text
    assert "<caption>1 shown</caption>" in rows.text
    nobody = pages.post(LIST, data={"q": "zzz"}).text
    assert "Nobody here with these words" in nobody


def test_revealing_shows_names_for_a_purpose_and_writes_an_audit_row(
    pages: TestClient, tmp_path: Path
) -> None:
    assert pages.post(f"{LIST}/reveal", data={"purpose": "curiosity"}).status_code == 400
    assert pages.get(f"{LIST}/worklist.csv?identifiers=1").status_code == 403
    answer = pages.post(f"{LIST}/reveal", data={"purpose": "check the record"})
    assert answer.status_code == 303
    assert CANDIDATE in pages.get(LIST).text
    assert CANDIDATE in pages.get(f"{LIST}/worklist.csv?identifiers=1").text
    ledger = sqlite3.connect(tmp_path / "ledger.sqlite")
    rows = ledger.execute("SELECT who, what, purpose FROM audit")
    assert ("demo", "reveal", f"{STUDY}: check the record") in rows.fetchall()


def test_the_words_of_a_filter_are_not_taken_from_an_address(pages: TestClient) -> None:
    """They may be a name: addresses are logged by others."""
    assert pages.get(f"{LIST}?q=zzz").text == pages.get(LIST).text
    assert 'method="get"' not in pages.get(LIST).text


def test_a_reveal_on_a_patients_page_comes_back_to_it(pages: TestClient, made: Service) -> None:
    handle = made.handle(NEEDS)
    for given, address in ((handle, f"{LIST}/{handle}"), ("//evil.example", LIST)):
        sent = {"purpose": "check the record", "handle": given}
        assert pages.post(f"{LIST}/reveal", data=sent).headers["location"] == address


def test_the_csv_has_no_identifiers_by_default(pages: TestClient) -> None:
    answer = pages.get(f"{LIST}/worklist.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert [name for name in PATIENTS if name in answer.text] == []
    assert answer.text.count("\r\n") > 2


def page_of(pages: TestClient, made: Service, patient: str) -> str:
    answer = pages.get(f"{LIST}/{made.handle(patient)}")
    assert answer.status_code == 200
    return answer.text


def test_a_patients_page_shows_effect_evidence_and_what_to_ask(
    pages: TestClient, made: Service
) -> None:
    text = page_of(pages, made, NEEDS)
    for word in (
        "Hepatic encephalopathy grade II",
        "a person must judge",
        "240 umol/L",
        "Ascites, the grade of encephalopathy",
        "5 mg/dL (I2c)",
        "line: onset by ",
    ):
        assert word in text
    assert text.count("<tr>") == 33, "a head and 32 criteria"


def test_a_patients_page_hides_ids_and_birth_date_until_revealed(
    pages: TestClient, made: Service
) -> None:
    text = page_of(pages, made, NEEDS)
    assert NEEDS not in text
    assert "1978-07-30" not in text
    pages.post(f"{LIST}/reveal", data={"purpose": "check the record"})
    shown = page_of(pages, made, NEEDS)
    assert NEEDS in shown
    assert "1978-07-30" in shown


def test_a_stopped_patient_has_a_page_without_criteria(pages: TestClient, made: Service) -> None:
    text = page_of(pages, made, "12-expired")
    assert "No criterion was looked at" in text
    assert "stopped: deceased" in text


def test_before_the_first_list_the_page_waits(web: TestClient) -> None:
    assert "The first list is being made" in web.get(LIST).text
    assert web.get("/ready").status_code == 503
    assert web.get(f"{LIST}/worklist.csv").status_code == 503
    assert web.get("/").status_code == 200


def test_a_record_server_that_is_down_is_said(web: TestClient, made: Service) -> None:
    def broken() -> Any:
        raise ServerUnreachable("no answer", where="x", remedy="Check it.")

    handle = made.handle(CANDIDATE)
    made.records = broken
    made.refresh()
    assert "server-unreachable" in web.get(LIST).text
    answer = web.get(f"{LIST}/{handle}")
    assert answer.status_code == 504
    assert "server-unreachable" in answer.text


def test_refreshing_is_asked_for_and_happens_once_at_a_time(
    pages: TestClient, made: Service
) -> None:
    assert pages.post(f"{LIST}/refresh").status_code == 303
    made.progress.running = True
    made.refresh_soon()
    assert "Screening:" in pages.get(LIST).text


# -------------------------------------------------------------------------- the operations


def parameters(**values: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for name, value in values.items():
        kind = "resource" if isinstance(value, dict) and "resourceType" in value else ""
        if kind:
            found.append({"name": name, "resource": value})
        elif name == "patient":
            found.append({"name": name, "valueReference": {"reference": f"Patient/{value}"}})
        else:
            found.append({"name": name, "valueString": value})
    return {"resourceType": "Parameters", "parameter": found}


def named(answer: dict[str, Any], name: str) -> Any:
    return next(one for one in answer["parameter"] if one["name"] == name)


def asked(web: TestClient, operation: str, **values: Any) -> dict[str, Any]:
    answer = web.post(f"/fhir/{operation}", json=parameters(**values))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert problems(answer.json()) == ()
    return answer.json()


def test_prescreen_gives_the_outcome_and_the_opinion(web: TestClient) -> None:
    found = asked(web, "ResearchStudy/$prescreen", study=STUDY, patient=CANDIDATE)
    assert named(found, "outcome")["valueCoding"]["code"] == "candidate"
    assert named(found, "proposal")["valueCode"] == "propose"
    opinion = named(found, "opinion")["resource"]
    assert opinion["resourceType"] == "GuidanceResponse"
    assert "div" in opinion["text"]


def test_prescreen_judges_a_record_that_is_handed_over(made: Service, web: TestClient) -> None:
    made.records = None  # type: ignore[assignment] # nobody is asked
    entries = [{"resource": one} for one in record(NEEDS)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    found = asked(web, "ResearchStudy/$prescreen", study=f"ResearchStudy/{STUDY}", patient=NEEDS,
                  record=bundle, asOf="2026-11-22T07:40")  # fmt: skip
    assert named(found, "outcome")["valueCoding"]["code"] == "needs-data"


def test_match_trials_lists_every_study(web: TestClient) -> None:
    found = asked(web, "Patient/$match-trials", patient=OUT)
    (match,) = found["parameter"]
    inner = {one["name"]: one for one in match["part"]}
    assert inner["study"]["valueReference"]["reference"] == f"ResearchStudy/{STUDY}"
    assert inner["outcome"]["valueCoding"]["code"] == "not-proposed"


def test_explain_gives_one_part_per_criterion(web: TestClient) -> None:
    plan = f"https://fhir-adapter.example/fhir/PlanDefinition/{STUDY}"
    found = asked(web, "PlanDefinition/$explain-eligibility", planDefinition=plan, patient=NEEDS)
    criteria = [one for one in found["parameter"] if one["name"] == "criterion"]
    assert len(criteria) == 32


def test_a_stopped_patient_has_no_opinion(web: TestClient) -> None:
    found = asked(web, "ResearchStudy/$prescreen", study=STUDY, patient="12-expired")
    assert [one["name"] for one in found["parameter"]].count("opinion") == 0
    assert asked(web, "Patient/$match-trials", patient="12-expired")["parameter"]


WRONG: dict[str, tuple[dict[str, Any], int]] = {
    "no patient": (parameters(study=STUDY), 400),
    "no study": (parameters(patient=CANDIDATE), 400),
    "unknown study": (parameters(study="NCT0", patient=CANDIDATE), 404),
    "unknown patient": (parameters(study=STUDY, patient="nobody"), 404),
    "odd moment": (parameters(study=STUDY, patient=CANDIDATE, asOf="soon"), 400),
    "the end of time": (parameters(study=STUDY, patient=CANDIDATE, asOf="9999-12-31"), 400),
    "the first day": (parameters(study=STUDY, patient=CANDIDATE, asOf="0001-01-01T00:00"), 400),
    "not parameters": ({"resourceType": "Patient"}, 400),
    "empty": ({}, 400),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_question_gets_an_outcome(web: TestClient, name: str) -> None:
    body, status = WRONG[name]
    answer = web.post("/fhir/ResearchStudy/$prescreen", json=body)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert "nobody" not in answer.text
