"""A batch: one answer for each request, and what was refused for want of time is sent again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fhir_adapter.client import Entry, FhirClient, RetryBudget
from fhir_adapter.errors import NotFhir, ServerRefused, ServerThrottled

Make = Callable[..., FhirClient]
ENTRIES = (
    Entry(method="GET", url="Patient/1"),
    Entry(method="POST", url="Basic", resource={"resourceType": "Basic"}, if_none_exist="a=b"),
    Entry(method="PUT", url="Basic/1", resource={"resourceType": "Basic", "id": "1"}, if_match="3"),
)


def answered(*statuses: str, **more: Any) -> dict[str, Any]:
    entries = [{"response": {"status": status}} for status in statuses]
    return {"resourceType": "Bundle", "type": "batch-response", "entry": entries, **more}


def asked(server: Any) -> list[list[str]]:
    """Addresses in each batch that was sent."""
    return [
        [entry["request"]["url"] for entry in json.loads(seen.body)["entry"]]
        for seen in server.seen
    ]


def test_each_request_has_its_answer(server: Any, reply: Any, client_of: Make) -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "conflict", "diagnostics": "canary"}],
    }
    body = answered("200 OK", "201 Created", "412")
    body["entry"][0]["resource"] = {"resourceType": "Patient", "id": "1"}
    body["entry"][1]["response"] |= {"etag": 'W/"1"', "location": "Basic/9/_history/1"}
    body["entry"][2]["response"]["outcome"] = outcome
    server.say(reply(body))
    read, created, refused = client_of(server).batch(ENTRIES)
    assert (read.status, read.good, read.resource) == (
        200,
        True,
        {"resourceType": "Patient", "id": "1"},
    )
    assert (created.status, created.etag, created.location) == (201, 'W/"1"', "Basic/9/_history/1")
    assert (refused.status, refused.good) == (412, False)
    assert [str(issue) for issue in refused.issues] == ["error/conflict"]
    assert "canary" not in repr((read, created, refused)) + repr(ENTRIES)
    sent = json.loads(server.seen[0].body)
    assert server.seen[0].path == "/fhir"
    assert sent["type"] == "batch"
    assert [entry["request"] for entry in sent["entry"]] == [
        {"method": "GET", "url": "Patient/1"},
        {"method": "POST", "url": "Basic", "ifNoneExist": "a=b"},
        {"method": "PUT", "url": "Basic/1", "ifMatch": 'W/"3"'},
    ]


def test_an_entry_that_was_refused_for_want_of_time_is_sent_again(
    server: Any, reply: Any, client_of: Make, naps: list[float]
) -> None:
    server.say(
        reply(answered("200", "429 Too Many Requests", "503"), headers={"Retry-After": "4"}),
        reply(answered("201", "429")),
        reply(answered("200")),
    )
    found = client_of(server).batch(ENTRIES)
    assert [one.status for one in found] == [200, 201, 200]
    assert asked(server) == [["Patient/1", "Basic", "Basic/1"], ["Basic", "Basic/1"], ["Basic/1"]]
    assert naps == [4.0, 1.0]


def test_an_entry_that_stays_refused_keeps_its_status(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(answered("200", "429", "201")), reply(answered("429")))
    found = client_of(server, budget=RetryBudget(tries=3)).batch(ENTRIES)
    assert [one.status for one in found] == [200, 429, 201]
    assert len(server.seen) == 3


def test_nothing_is_sent_for_nothing(server: Any, client_of: Make) -> None:
    assert client_of(server).batch(()) == ()
    assert server.seen == []


@pytest.mark.parametrize(
    "body", [answered("200"), {"resourceType": "Basic"}, b"<html>", answered(*["200"] * 4)]
)
def test_an_answer_to_something_else_is_not_read(
    server: Any, reply: Any, client_of: Make, body: Any
) -> None:
    server.say(reply(body))
    with pytest.raises(NotFhir, match="batch"):
        client_of(server).batch(ENTRIES)


def test_a_status_that_is_none_is_no_success(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(answered("OK", "", "200")))
    found = client_of(server).batch(ENTRIES)
    assert [one.good for one in found] == [False, False, True]


def test_a_batch_that_is_refused_as_a_whole_raises(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(status=403), reply(status=429))
    with pytest.raises(ServerRefused):
        client_of(server).batch(ENTRIES)
    with pytest.raises(ServerThrottled):
        client_of(server, budget=RetryBudget(tries=2)).batch(ENTRIES)
    assert len(server.seen) == 3
