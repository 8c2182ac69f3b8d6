"""The protocol of an export: kick-off, waiting with every kind of pause, manifest, cancelling."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter.client import BasicAuth, BulkClient, ExportAsked
from fhir_adapter.client.bulk import manifest_of
from fhir_adapter.client.urls import is_followed
from fhir_adapter.errors import (
    AdapterError,
    ExportLost,
    NotFhir,
    ServerBroken,
    ServerRefused,
    ServerThrottled,
    ServerUnreachable,
    SettingInvalid,
)
from fhir_adapter.fhir.outcome import types_named

ASKED = ExportAsked(types=("Consent", "Observation", "Patient"))
MANIFEST: dict[str, Any] = {
    "transactionTime": "2026-11-22T06:00:00Z",
    "requiresAccessToken": False,
    "output": [{"type": "Patient", "url": "http://files.example/1", "count": 3}],
    "error": [{"type": "OperationOutcome", "url": "/errors/1"}],
}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self, naps: list[float]) -> None:
        self.naps = naps

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)

    def now(self) -> float:
        return sum(self.naps)


@pytest.fixture
def bulk(server, client_of, naps):
    def make(patience: float = 3600.0, **options: Any) -> BulkClient:
        time = Time(naps)
        transport = client_of(server, **options)._transport
        return BulkClient(transport, patience=patience, sleep=time.sleep, clock=time.now)

    return make


def outcome(code: str, text: str = "", severity: str = "error") -> dict[str, Any]:
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (ASKED, "/fhir/$export?"),
        (ExportAsked(types=("Patient",), patients=True), "/fhir/Patient/$export?"),
        (ExportAsked(types=("Patient",), group="a/b"), "/fhir/Group/a%2Fb/$export?"),
    ],
)
def test_a_kick_off_says_what_it_wants(server, bulk, reply, asked, path):
    server.say(reply(status=202, body=b"", headers={"Content-Location": f"{server.url}/s/1"}))
    assert bulk().kick_off(asked) == f"{server.url}/s/1"
    (seen,) = server.seen
    assert seen.path.startswith(path)
    assert f"_type={','.join(asked.types)}" in seen.path
    assert "_outputFormat=application/fhir%2Bndjson" in seen.path
    assert "_since" not in seen.path
    assert seen.headers["Prefer"] == "respond-async"
    assert seen.headers["Accept"] == "application/fhir+json"


def test_an_increment_says_since_when(server, bulk, reply):
    server.say(reply(status=202, body=b"", headers={"Content-Location": "s/1"}))
    asked = ExportAsked(types=("Patient",), since="2026-11-22T06:00:00+08:00")
    assert bulk().kick_off(asked) == f"{server.url}/s/1"
    assert "_since=2026-11-22T06:00:00%2B08:00" in server.seen[0].path


def test_a_group_without_an_id_is_refused(server, bulk):
    with pytest.raises(SettingInvalid):
        bulk().kick_off(ExportAsked(types=("Patient",), group=".."))


@pytest.mark.parametrize("place", ["", "https://elsewhere.example/status"])
def test_a_status_address_must_be_there_and_on_this_server(server, bulk, reply, place):
    server.say(reply(status=202, body=b"", headers={"Content-Location": place}))
    with pytest.raises(ServerBroken, match="no address on this server"):
        bulk().kick_off(ASKED)


KICK_OFFS: dict[str, tuple[int, Any, type[AdapterError], str]] = {
    "a 200 is no export": (200, {"resourceType": "Bundle"}, ServerBroken, "not 202"),
    "not known": (404, outcome("not-supported"), ServerBroken, "--patients"),
    "no FHIR at all": (404, b"<html>", ServerBroken, "--patients"),
    "no right to a type": (403, outcome("forbidden", "no Consent"), ServerRefused,
                           "--without Consent"),
    "a type unknown": (400, outcome("not-supported", "Observation?"), ServerBroken,
                       "--without Observation"),
    "no right at all": (403, outcome("forbidden", "Jane Doe"), ServerRefused, "scopes"),
    "no login": (401, outcome("login"), ServerRefused, "credentials"),
}  # fmt: skip


@pytest.mark.parametrize("name", KICK_OFFS)
def test_a_refused_kick_off_says_what_may_help(server, bulk, reply, name):
    status, body, error, said = KICK_OFFS[name]
    server.say(reply(status=status, body=body))
    with pytest.raises(error) as caught:
        bulk().kick_off(ASKED)
    assert said in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert len(server.seen) == 1


def test_a_kick_off_is_sent_again_only_where_the_server_took_none(server, bulk, reply, naps):
    server.say(
        reply(status=429, headers={"Retry-After": "7"}, body=b""),
        reply(status=202, body=b"", headers={"Content-Location": "s/1"}),
    )
    bulk().kick_off(ASKED)
    assert naps == [7.0]
    server.replies[:] = [reply(status=504, body=b"")]
    with pytest.raises(ServerBroken):
        bulk().kick_off(ASKED)
    assert len(server.seen) == 3


def waiting(reply, **headers: str):
    return reply(status=202, body=b"", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_waiting_keeps_the_pauses_that_the_server_asks_for(server, bulk, reply, naps):
    server.say(
        waiting(reply, Retry_After="120", X_Progress="10 %"),
        waiting(
            reply,
            Retry_After="Sun, 22 Nov 2026 06:01:30 GMT",
            Date="Sun, 22 Nov 2026 06:00:00 GMT",
            X_Progress="\x1b[31mhalf\x07 " + "x" * 200,
        ),
        waiting(reply, Retry_After="soon"),
        waiting(reply, Retry_After="0"),
        reply(body=MANIFEST),
    )
    told: list[str] = []
    found = bulk().wait(f"{server.url}/s/1", told.append)
    assert naps == [120.0, 90.0, 4.0, 0.2]
    assert told[0] == "10 %"
    assert told[1].startswith("[31mhalf x")
    assert len(told[1]) == 60
    assert found.transaction_time == "2026-11-22T06:00:00Z"
    assert (found.output[0].type, found.output[0].count) == ("Patient", 3)
    assert found.error[0].url == server.url.replace("/fhir", "/errors/1")


def test_an_export_that_is_never_ready_is_given_up_in_time(server, bulk, reply, naps):
    server.say(waiting(reply))
    with pytest.raises(ServerThrottled, match=r"not ready after 0\.5 hours") as caught:
        bulk(patience=1800.0).wait(f"{server.url}/s/1", lambda said: None)
    assert 1700 < sum(naps) <= 1800
    assert max(naps) == 60.0
    assert "goes on waiting" in caught.value.remedy


def test_a_pause_longer_than_our_patience_is_not_begun(server, bulk, reply, naps):
    server.say(waiting(reply, Retry_After="7200"))
    with pytest.raises(ServerThrottled):
        bulk().wait(f"{server.url}/s/1", lambda said: None)
    assert naps == []


def test_a_busy_server_and_a_passing_error_are_waited_out(server, bulk, reply, naps):
    server.say(
        reply(status=429, headers={"Retry-After": "300"}, body=b""),
        reply(status=500, body=outcome("transient")),
        reply(body=MANIFEST),
    )
    bulk().wait(f"{server.url}/s/1", lambda said: None)
    assert naps == [300.0, 2.0]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"", "no longer there"),
        (410, b"", "no longer there"),
        (500, outcome("exception", "Jane"), "given up by the server .500, error/exception"),
    ],
)
def test_an_export_that_is_gone_is_lost(server, bulk, reply, status, body, said):
    server.say(reply(status=status, body=body))
    with pytest.raises(ExportLost, match=said) as caught:
        bulk().wait(f"{server.url}/s/1", lambda text: None)
    assert "Jane" not in str(caught.value)


def test_credentials_that_run_out_while_waiting_lose_nothing(server, bulk, reply):
    server.say(reply(status=401, body=b""))
    with pytest.raises(ServerRefused):
        bulk().wait(f"{server.url}/s/1", lambda said: None)


def test_a_server_that_has_gone_away_is_asked_a_few_times(client_of, server, naps):
    class Nowhere:
        url = "http://127.0.0.1:9/fhir"

    time = Time(naps)
    bulk = BulkClient(client_of(Nowhere)._transport, sleep=time.sleep, clock=time.now)
    with pytest.raises(ServerUnreachable):
        bulk.wait("http://127.0.0.1:9/fhir/s", lambda said: None)


def test_cancelling_deletes_the_status_and_never_fails(server, other_server, bulk, reply):
    server.say(reply(status=500, body=b""))
    bulk(auth=BasicAuth("u", "p")).cancel(f"{server.url}/s/1")
    assert [(one.method, one.path) for one in server.seen] == [("DELETE", "/fhir/s/1")]
    bulk(auth=BasicAuth("u", "p")).cancel(f"{other_server.url}/s/1")
    assert other_server.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"output": 3}',
        b'{"output": [{"type": "Patient"}]}',
        b'{"output": [], "error": [{"type": "OperationOutcome", "url": ""}]}',
        b'{"output": [], "link": [{"relation": "next", "url": "http://x.example"}]}',
    ],
)
def test_a_manifest_that_does_not_say_all_is_none(body):
    with pytest.raises(NotFhir, match="manifest"):
        manifest_of(body, where="http://s.example/$export")


def test_a_manifest_may_hold_odd_types_and_counts():
    body = b'{"output": [{"type": "../x", "url": "http://a.example/1", "count": true}]}'
    found = manifest_of(body, where="http://s.example/$export")
    assert (found.output[0].type, found.output[0].count) == ("", None)
    assert found.needs_token


def test_types_are_named_as_whole_words_only():
    asked = ("Medication", "MedicationRequest", "Patient")
    issue = {"diagnostics": "MedicationRequest/12: failed", "location": ["Patient.name"]}
    assert types_named({"issue": [issue]}, asked) == ("MedicationRequest", "Patient")
    assert types_named(None, asked) == ()


@pytest.mark.parametrize(
    ("url", "base", "good"),
    [
        ("https://f.example/1", "https://e.example/fhir", True),
        ("http://f.example/1", "https://e.example/fhir", False),
        ("http://f.example/1", "http://e.example/fhir", True),
        ("file:///etc/passwd", "http://e.example/fhir", False),
    ],
)
def test_files_are_fetched_over_the_web_and_not_less_privately(url, base, good):
    assert is_followed(url, base) is good
