"""Batch and transaction of the sandbox: a status for each entry, or all or nothing."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fhir_adapter.sandbox import Habits, Interactions
from fhir_adapter.sandbox.app import create_app

Resource = dict[str, Any]
URN = "urn:uuid:5a1f6a4e-0000-4000-8000-000000000001"
KEY = {"system": "urn:x", "value": "k"}
KNOWN = "identifier=urn:x|k"
PATIENT = {"resourceType": "Patient", "id": "p"}


def observation(subject: str = "Patient/p", **more: Any) -> Resource:
    made = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    return {**made, "subject": {"reference": subject}, **more}


def server(*resources: Resource, **habits: Any) -> TestClient:
    ticks = count()
    made = Interactions(
        now=lambda: f"2026-11-22T00:00:{next(ticks) % 60:02d}.000Z", habits=Habits(**habits)
    )
    made.base = "http://testserver"
    for resource in (PATIENT, *resources):
        made.store.load(resource)
    return TestClient(create_app(made), raise_server_exceptions=False)


def entry(method: str, url: str, resource: Resource | None = None, **more: str) -> Resource:
    full = {"fullUrl": more.pop("full")} if "full" in more else {}
    made: Resource = {**full, "request": {"method": method, "url": url, **more}}
    return made if resource is None else {**made, "resource": resource}


def post(client: TestClient, kind: str, *entries: Resource, **headers: str) -> Any:
    bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return client.post("/", json=bundle, headers=headers)


def statuses(answer: Any) -> list[str]:
    return [one["response"]["status"] for one in answer.json()["entry"]]


def total(client: TestClient, search: str) -> int:
    return int(client.get(f"/{search}", headers={"Cache-Control": "no-cache"}).json()["total"])


# ------------------------------------------------------------------------------------ batch


def test_each_entry_of_a_batch_has_its_own_answer() -> None:
    client = server(observation(id="o"))
    answer = post(
        client, "batch",
        entry("GET", "Observation?patient=p&_count=5"),
        entry("GET", "Patient/nobody"),
        entry("GET", "http://testserver/Patient/p"),
        entry("POST", "Observation", observation()),
        entry("GET", "Observation?nonsense=1"),
        entry("PUT", "Patient/q", {"resourceType": "Patient", "id": "q"}),
        entry("DELETE", "Observation/o"),
        entry("GET", "Patient/p/_history"),
        entry("GET", "Patient/p/_history/1"),
        entry("GET", "metadata"),
    )  # fmt: skip
    assert answer.json()["type"] == "batch-response"
    assert [one[:3] for one in statuses(answer)] == [
        "200", "404", "200", "201", "400", "201", "204", "200", "200", "200",
    ]  # fmt: skip
    found, missing, patient, made, refused, *_ = answer.json()["entry"]
    assert (found["resource"]["type"], found["resource"]["total"]) == ("searchset", 1)
    assert "patient=p" in found["resource"]["link"][0]["url"]
    assert missing["response"]["outcome"]["issue"][0]["code"] == "not-found"
    assert (patient["resource"]["id"], patient["response"]["etag"]) == ("p", 'W/"1"')
    assert made["response"]["location"].startswith("http://testserver/Observation/")
    assert "resource" not in made
    assert refused["response"]["outcome"]["issue"][0]["code"] == "not-supported"


def test_conditions_hold_in_a_batch() -> None:
    client = server()
    once = entry("POST", "Observation", observation(identifier=[KEY]), ifNoneExist=KNOWN)
    stale = entry("PUT", "Patient/p", PATIENT, ifMatch='W/"7"')
    again = entry("PUT", "Observation?identifier=urn:x|k", observation(identifier=[KEY]))
    gone = entry("DELETE", "Observation?identifier=urn:x|k")
    assert [one[:3] for one in statuses(post(client, "batch", once, once, stale, again, gone))] == [
        "201", "200", "412", "200", "204",
    ]  # fmt: skip
    assert total(client, "Observation") == 0


@pytest.mark.parametrize(
    "one",
    [
        {},
        {"request": {"method": "PATCH", "url": "Patient/p"}},
        {"request": {"method": "GET"}},
        entry("GET", "Patient/p/_history/1/x"),
        entry("POST", "Patient/p", PATIENT),
        entry("POST", "Patient"),
        entry("PUT", "Patient", PATIENT),
        entry("DELETE", "Patient"),
    ],
)
def test_an_entry_that_is_none_is_refused_and_the_others_run(one: Resource) -> None:
    answer = post(server(), "batch", one, entry("GET", "Patient/p"))
    assert [status[:1] for status in statuses(answer)] == ["4", "2"]


def test_a_batch_looks_into_the_cache_unless_told_not_to() -> None:
    client = server(caches_searches=True)
    search = entry("GET", "Observation?patient=p")

    def seen(**headers: str) -> int:
        found = post(client, "batch", search, **headers).json()["entry"][0]["resource"]
        return int(found["total"])

    assert seen() == 0
    client.post("/Observation", json=observation())
    assert (seen(), seen(**{"Cache-Control": "no-cache"})) == (0, 1)


def test_an_empty_batch_has_an_empty_answer() -> None:
    assert post(server(), "batch").json()["entry"] == []


# ------------------------------------------------------------------------------ transaction


def test_references_between_the_entries_of_a_transaction_are_resolved() -> None:
    client = server()
    answer = post(
        client, "transaction",
        entry("GET", "Observation?status=final"),
        entry("POST", "Observation", observation(URN, performer=[{"reference": URN}])),
        entry("POST", "Patient", {"resourceType": "Patient"}, full=URN),
    )  # fmt: skip
    assert answer.json()["type"] == "transaction-response"
    assert [one[:3] for one in statuses(answer)] == ["200", "201", "201"]
    (found,) = answer.json()["entry"][0]["resource"]["entry"]
    made = found["resource"]["subject"]["reference"]
    assert client.get(f"/{made}").status_code == 200
    assert found["resource"]["performer"] == [{"reference": made}]


def test_a_transaction_refers_to_what_its_condition_finds() -> None:
    client = server({"resourceType": "Patient", "id": "known", "identifier": [KEY]})
    post(
        client, "transaction",
        entry("POST", "Patient", {"resourceType": "Patient"}, full=URN, ifNoneExist=KNOWN),
        entry("POST", "Observation", observation(URN)),
    )  # fmt: skip
    assert total(client, "Observation?patient=known") == 1
    assert total(client, "Patient") == 2


def test_a_conditional_update_of_a_transaction_can_be_referred_to() -> None:
    client = server()
    new = {"resourceType": "Patient", "identifier": [KEY]}
    answer = post(
        client, "transaction",
        entry("PUT", "Patient?identifier=urn:x|k", new, full=URN),
        entry("POST", "Observation", observation(URN)),
        entry("DELETE", "Task?identifier=urn:x|k"),
    )  # fmt: skip
    assert [one[:3] for one in statuses(answer)] == ["201", "201", "204"]
    (made,) = client.get("/Patient?identifier=urn:x|k").json()["entry"]
    assert total(client, f"Observation?patient={made['resource']['id']}") == 1


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (entry("PUT", "Patient/p", PATIENT, ifMatch='W/"7"'), 412),
        (entry("POST", "Observation", {"resourceType": "Observation"}), 422),
        (entry("GET", "Patient/nobody"), 404),
        (entry("PATCH", "Patient/p"), 400),
        (entry("PUT", "Observation/o", observation(id="o", status="amended")), 400),
    ],
    ids=["a stale version", "a bad body", "a read of nobody", "no method", "written twice"],
)
def test_a_transaction_with_one_bad_entry_leaves_nothing(last: Resource, status: int) -> None:
    client = server(observation(id="o"), observation(id="o2"))
    answer = post(
        client, "transaction",
        entry("POST", "Observation", observation()),
        entry("DELETE", "Observation/o2"),
        entry("PUT", "Observation/o", observation(id="o", status="preliminary")),
        last,
    )  # fmt: skip
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert total(client, "Observation") == 2
    assert client.get("/Observation/o").json()["status"] == "final"
    assert client.get("/Observation/o2").status_code == 200


def test_two_entries_that_make_the_same_once_are_refused() -> None:
    client = server()
    once = entry("POST", "Observation", observation(identifier=[KEY]), ifNoneExist=KNOWN)
    assert post(client, "transaction", once, once).status_code == 412
    assert total(client, "Observation") == 0


def test_a_condition_that_this_server_does_not_look_at_makes_a_second_one() -> None:
    client = server(no_conditional_create=True)
    once = entry("POST", "Observation", observation(identifier=[KEY]), ifNoneExist=KNOWN)
    for _ in range(2):
        assert post(client, "transaction", once).status_code == 200
    assert total(client, "Observation") == 2


# ---------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "structure"),
        (b'{"resourceType": "Patient"}', "structure"),
        (b'{"resourceType": "Bundle", "type": "collection"}', "invalid"),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes, code: str) -> None:
    answer = server().post("/", content=body)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["code"] == code


def test_bundles_can_be_turned_off_and_the_statement_says_which_it_is() -> None:
    def said(client: TestClient) -> set[str]:
        rest = client.get("/metadata").json()["rest"][0]
        return {one["code"] for one in rest.get("interaction", ())}

    without = server(no_bundles=True)
    assert said(server()) == {"batch", "transaction"}
    assert said(without) == set()
    assert post(without, "batch").status_code == 404
