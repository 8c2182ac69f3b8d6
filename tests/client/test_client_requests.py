"""Single requests: statuses, retries, redirects, credentials, writes."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from fhir_adapter.client import (
    BasicAuth,
    BearerAuth,
    FhirClient,
    Network,
    RetryBudget,
    Timeouts,
    status_of,
    why_not_of,
)
from fhir_adapter.errors import (
    AdapterError,
    InternalFault,
    NotFhir,
    ServerBroken,
    ServerRefused,
    ServerThrottled,
    ServerUnreachable,
    WriteConflict,
)

Make = Callable[..., FhirClient]
PATIENT = {"resourceType": "Patient", "id": "canary-id"}
OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "invalid", "diagnostics": "canary-text"}],
}


def test_a_read_says_what_it_accepts_and_who_asks(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(PATIENT))

    found = client_of(server, user_agent="me/1").read("Patient", "canary-id")

    assert found == PATIENT
    asked = server.seen[0]
    assert asked.path == "/fhir/Patient/canary-id"
    assert asked.headers["Accept"] == "application/fhir+json"
    assert asked.headers["Cache-Control"] == "no-cache"
    assert asked.headers["User-Agent"] == "me/1"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_none(server: Any, reply: Any, client_of: Make, status: int) -> None:
    server.say(reply(OUTCOME, status=status))
    client = client_of(server)
    assert client.read("Patient", "1") is None
    assert client.vread("Patient", "1", "2") is None
    assert client.delete("Patient", "1") is False
    assert server.seen[1].path == "/fhir/Patient/1/_history/2"


def test_an_impossible_id_is_not_asked_for(server: Any, client_of: Make) -> None:
    client = client_of(server)
    assert client.read("Patient", "..") is None
    assert client.delete("Patient", "") is False
    with pytest.raises(InternalFault):
        client.update({"resourceType": "Patient"})
    assert client.requests == 0


@pytest.mark.parametrize(
    ("status", "headers", "fault", "why_not"),
    [
        (401, {}, ServerRefused, "unauthorized"),
        (403, {}, ServerRefused, "forbidden"),
        (400, {}, ServerBroken, "not-supported"),
        (409, {}, ServerBroken, "server-broken"),
        (500, {}, ServerBroken, "server-broken"),
        (503, {}, ServerBroken, "server-broken"),
        (429, {}, ServerThrottled, "throttled"),
        (503, {"Retry-After": "1"}, ServerThrottled, "throttled"),
    ],
)
def test_a_status_has_a_fault_and_no_word_of_the_server(
    server: Any,
    reply: Any,
    client_of: Make,
    status: int,
    headers: dict[str, str],
    fault: type[AdapterError],
    why_not: str,
) -> None:
    server.say(reply(OUTCOME, status=status, headers=headers))

    with pytest.raises(fault) as caught:
        client_of(server).read("Patient", "canary-id")

    shown = f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"
    assert "canary" not in shown
    assert "error/invalid" in str(caught.value)
    assert caught.value.where == f"{server.url}/Patient"
    assert (status_of(caught.value), why_not_of(caught.value)) == (status, why_not)


def test_401_and_403_have_different_remedies(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=401), reply(status=403))
    remedies = set()
    for _ in range(2):
        with pytest.raises(ServerRefused) as caught:
            client_of(server).read("Patient", "1")
        remedies.add(caught.value.remedy)
    assert len(remedies) == 2


@pytest.mark.parametrize(
    "answer", [b"<html>login</html>", b"", b"[]", b'{"resourceType":"Observation"}', b'{"resour']
)
def test_an_answer_that_is_not_the_resource_is_not_fhir(
    server: Any, reply: Any, client_of: Make, answer: bytes
) -> None:
    server.say(reply(answer))
    with pytest.raises(NotFhir):
        client_of(server).read("Patient", "1")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(
    server: Any, reply: Any, client_of: Make, naps: list[float], status: int
) -> None:
    server.say(reply(status=status), reply(status=status), reply(PATIENT))
    assert client_of(server).read("Patient", "1") == PATIENT
    assert naps == [0.5, 1.0]


def test_retry_after_is_honoured_in_both_forms(
    server: Any, reply: Any, client_of: Make, naps: list[float]
) -> None:
    date = {"Retry-After": "Mon, 23 Nov 2026 10:00:09 GMT", "Date": "Mon, 23 Nov 2026 10:00:00 GMT"}
    server.say(
        reply(status=429, headers={"Retry-After": "7"}),
        reply(status=503, headers=date),
        reply(PATIENT),
    )
    client_of(server).read("Patient", "1")
    assert naps == [7.0, 9.0]


def test_a_wait_over_the_budget_is_not_begun(
    server: Any, reply: Any, client_of: Make, naps: list[float]
) -> None:
    server.say(reply(status=429, headers={"Retry-After": "40"}))
    with pytest.raises(ServerThrottled):
        client_of(server, budget=RetryBudget(seconds=60)).read("Patient", "1")
    assert naps == [40.0]


def test_the_number_of_tries_has_an_end(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=429, headers={"Retry-After": "0"}))
    client = client_of(server, budget=RetryBudget(tries=3))
    with pytest.raises(ServerThrottled):
        client.read("Patient", "1")
    assert client.requests == len(server.seen) == 3


def test_a_cut_body_is_asked_for_again_and_then_not_fhir(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(PATIENT, cut=50))
    with pytest.raises(NotFhir, match="cut off"):
        client_of(server, budget=RetryBudget(tries=2)).read("Patient", "1")
    assert len(server.seen) == 2


def test_broken_compression_is_not_fhir(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(b"rubbish", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(NotFhir, match="compression"):
        client_of(server).read("Patient", "1")


def test_a_closed_port_is_unreachable_and_nothing_private_is_said(
    naps: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/fhir"
    client = FhirClient(url, sleep=naps.append)
    with caplog.at_level(logging.INFO), pytest.raises(ServerUnreachable) as caught:
        client.search("Patient", {"name": "canary-name"})
    fault = caught.value
    assert "canary" not in str(fault) + caplog.text
    assert fault.__cause__ is None
    assert fault.__context__ is None
    assert len(naps) == 3


def test_a_silent_server_is_unreachable(naps: list[float]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = FhirClient(
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            sleep=naps.append,
            timeouts=Timeouts(read=0.05),
            budget=RetryBudget(tries=2),
        )
        with pytest.raises(ServerUnreachable, match="in time"):
            client.read("Patient", "1")
    assert len(naps) == 1


def test_plain_http_behind_https_breaks_the_handshake_off(server: Any, reply: Any) -> None:
    server.say(reply())
    client = FhirClient(server.url.replace("http:", "https:"), sleep=lambda _: None)
    with pytest.raises(ServerUnreachable, match="handshake"):
        client.read("Patient", "1")


def test_a_missing_authority_file_is_a_fault_of_the_connection(server: Any, reply: Any) -> None:
    client = FhirClient(
        server.url.replace("http:", "https:"),
        network=Network(ca_file="/nowhere.pem"),
        sleep=lambda _: None,
    )
    with pytest.raises(ServerUnreachable, match="certificate"):
        client.read("Patient", "1")


def test_a_token_with_a_line_break_is_not_shown(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply())
    with pytest.raises(ServerUnreachable) as caught:
        client_of(server, auth=BearerAuth(lambda: "canary\nx")).read("Patient", "1")
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_credentials_are_sent(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(PATIENT))
    client_of(server, auth=BasicAuth("u", "p")).read("Patient", "1")
    client_of(server, auth=BearerAuth(lambda: "t")).read("Patient", "1")
    sent = [seen.headers["Authorization"] for seen in server.seen]
    assert sent == ["Basic dTpw", "Bearer t"]


def test_a_netrc_file_is_not_read(
    server: Any, reply: Any, client_of: Make, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.say(reply(PATIENT))
    client_of(server).read("Patient", "1")
    assert "Authorization" not in server.seen[0].headers


def test_a_refused_token_is_renewed_once(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=401), reply(PATIENT))
    auth = BearerAuth(lambda: "old", renew=lambda: "new")
    assert client_of(server, auth=auth).read("Patient", "1") == PATIENT
    assert [s.headers["Authorization"] for s in server.seen] == ["Bearer old", "Bearer new"]


def test_the_same_token_is_not_tried_twice(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=401))
    with pytest.raises(ServerRefused):
        client_of(server, auth=BearerAuth(lambda: "t")).read("Patient", "1")
    assert len(server.seen) == 1


def test_a_redirect_within_the_origin_is_followed(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=302, headers={"Location": "/fhir/Patient/2"}), reply(PATIENT))
    assert client_of(server).read("Patient", "1") == PATIENT
    assert server.seen[1].path == "/fhir/Patient/2"


def test_a_redirect_to_another_origin_gets_nothing(
    server: Any, other_server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(status=307, headers={"Location": f"{other_server.url}/Patient/1"}))
    with pytest.raises(ServerBroken, match="another origin"):
        client_of(server, auth=BearerAuth(lambda: "t")).read("Patient", "1")
    assert other_server.seen == []


def test_redirects_that_do_not_end_are_given_up(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=302, headers={"Location": "/fhir/Patient/1"}))
    with pytest.raises(ServerBroken, match="do not end"):
        client_of(server).read("Patient", "1")


def test_a_write_is_not_turned_into_a_read_by_a_redirect(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(status=302, headers={"Location": "/fhir/x"}))
    with pytest.raises(ServerBroken):
        client_of(server).create({"resourceType": "Basic"})
    assert len(server.seen) == 1


def test_a_create_says_what_was_made(server: Any, reply: Any, client_of: Make) -> None:
    body = {"resourceType": "Basic", "id": "9", "meta": {"versionId": "3"}}
    server.say(reply(body, status=201))
    saved = client_of(server).create({"resourceType": "Basic", "x": Decimal("1.50")})
    assert (saved.id, saved.version, saved.created, saved.resource) == ("9", "3", True, body)
    assert server.seen[0].body == b'{"resourceType":"Basic","x":1.50}'
    assert "If-None-Exist" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://h/fhir/Basic/9/_history/3", ("9", "3")),
        ("Basic/9", ("9", "")),
        ("/Basic", ("", "")),
        ("", ("", "")),
    ],
)
def test_an_empty_answer_is_read_from_location(
    server: Any, reply: Any, client_of: Make, location: str, expected: tuple[str, str]
) -> None:
    server.say(reply(b"", status=201, headers={"Location": location}))
    saved = client_of(server).create({"resourceType": "Basic"})
    assert (saved.id, saved.version) == expected
    assert saved.resource is None


def test_a_conditional_create_carries_its_search(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(status=200))
    saved = client_of(server).create({"resourceType": "Basic"}, if_none_exist={"identifier": "s|v"})
    assert server.seen[0].headers["If-None-Exist"] == "identifier=s|v"
    assert saved.created is False


@pytest.mark.parametrize(
    ("condition", "status", "sent"),
    [(None, 503, 1), (None, 429, 1), ({"identifier": "v"}, 503, 2), ({"identifier": "v"}, 504, 1)],
)
def test_a_create_is_repeated_only_when_nothing_can_have_been_done(
    server: Any, reply: Any, client_of: Make, condition: Any, status: int, sent: int
) -> None:
    server.say(reply(status=status), reply(status=201))
    with suppress(AdapterError):
        client_of(server).create({"resourceType": "Basic"}, if_none_exist=condition)
    assert len(server.seen) == sent


def test_a_lost_answer_to_a_create_is_not_repeated(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply(status=201, cut=9))
    with pytest.raises(NotFhir):
        client_of(server).create({"resourceType": "Basic"}, if_none_exist={"identifier": "v"})
    assert len(server.seen) == 1


def test_an_update_names_the_version_it_read(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(b"", headers={"ETag": 'W/"5"'}))
    saved = client_of(server).update({"resourceType": "Basic", "id": "1"}, if_match="4")
    assert server.seen[0].headers["If-Match"] == 'W/"4"'
    assert (saved.id, saved.version) == ("1", "5")


def test_a_conditional_update_searches_in_the_address(
    server: Any, reply: Any, client_of: Make
) -> None:
    server.say(reply())
    client_of(server).update_where({"resourceType": "Basic"}, {"identifier": "s|v"})
    assert (server.seen[0].method, server.seen[0].path) == ("PUT", "/fhir/Basic?identifier=s%7Cv")


@pytest.mark.parametrize("status", [409, 412])
def test_somebody_else_was_faster(server: Any, reply: Any, client_of: Make, status: int) -> None:
    server.say(reply(status=status))
    with pytest.raises(WriteConflict):
        client_of(server).update({"resourceType": "Basic", "id": "1"}, if_match="1")
    with pytest.raises(WriteConflict):
        client_of(server).delete("Basic", "1", if_match="1")


def test_a_delete_needs_no_body(server: Any, reply: Any, client_of: Make) -> None:
    server.say(reply(b"", status=204))
    assert client_of(server).delete("Basic", "1") is True


@pytest.mark.parametrize("version", ["4.0.1", "4.3.0", None])
def test_r4_is_spoken(server: Any, reply: Any, client_of: Make, version: str | None) -> None:
    resource = {
        "type": "MedicationRequest",
        "interaction": [{"code": "read"}, 7],
        "searchParam": [{"name": "patient"}],
        "searchInclude": ["MedicationRequest:medication"],
        "versioning": "versioned-update",
        "updateCreate": True,
    }
    body = {
        "resourceType": "CapabilityStatement",
        "rest": [
            {"mode": "client"},
            {"mode": "server", "resource": [resource], "interaction": [{"code": "batch"}]},
        ],
    } | ({"fhirVersion": version} if version else {})
    server.say(reply(body))
    found = client_of(server).capability()
    offered = found.of("MedicationRequest")
    assert offered is not None
    assert offered.offers_include("medication")
    assert not offered.offers_include("requester")
    assert found.interactions == {"batch"}
    assert found.of("Basic") is None


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Conformance", "fhirVersion": "1.0.2"},
        {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"},
        {"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"},
        {"resourceType": "CapabilityStatement", "fhirVersion": "canary"},
    ],
)
def test_another_version_is_not_fhir_r4(
    server: Any, reply: Any, client_of: Make, body: Any
) -> None:
    server.say(reply(body))
    with pytest.raises(NotFhir) as caught:
        client_of(server).capability()
    assert "canary" not in str(caught.value)
