"""SMART Backend Services against an endpoint that verifies every assertion."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.client import FhirClient, SmartAuth, SmartClient, smart_auth
from fhir_adapter.client.keys import signing_key
from fhir_adapter.client.scopes import scope_for
from fhir_adapter.errors import (
    AdapterError,
    ServerRefused,
    ServerThrottled,
    ServerUnreachable,
    SettingInvalid,
)
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.settings import load
from tests.client.token_server import TokenServer, token_server, until

from fault_proxy import FaultProxy, cut_after_commit
from key_files import EC, EC_PEM, RSA, RSA_JWK, RSA_PEM, private_file

START = 1_800_000_000.0


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with token_server(EC) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auth_for(clock: Clock, naps: list[float]) -> Callable[..., SmartAuth]:
    numbers = itertools.count(1)

    def make(server: TokenServer, key: str = EC_PEM, **given: Any) -> SmartAuth:
        client = SmartClient(client_id="me", key=signing_key(key), **given)
        return smart_auth(
            server.url,
            client,
            now=clock,
            new_id=lambda: f"jti-{next(numbers)}",
            sleep=naps.append,
        )

    return make


def test_a_token_is_had_by_discovery_and_sent_with_every_request(server, auth_for) -> None:
    client = FhirClient(server.url, auth=auth_for(server))
    for _ in range(3):
        assert client.read("Patient", "1") == {"resourceType": "Patient", "id": "1"}
    assert [sent for sent in server.sent if "Patient" in sent[0]] == [
        ("GET /fhir/Patient/1", "Bearer t1")
    ] * 3
    assert [form["scope"] for form in server.forms] == ["system/*.rs"]
    discovery, asked = server.sent[:2]
    assert discovery == ("GET /fhir/.well-known/smart-configuration", "")
    assert asked == ("POST /auth/token", "")


SIGNING: dict[str, tuple[str, Any, str, str]] = {
    "EC PEM": (EC_PEM, EC, "ES384", EC.thumbprint()),
    "RSA PEM": (RSA_PEM, RSA, "RS384", RSA.thumbprint()),
    "RSA JWK": (RSA_JWK, RSA, "RS384", "own-kid"),
    "JWK Set": (
        json.dumps({"keys": [RSA.as_dict(private=False), json.loads(RSA_JWK)]}),
        RSA,
        "RS384",
        "own-kid",
    ),
}


@pytest.mark.parametrize("name", SIGNING)
def test_an_assertion_is_what_smart_demands(auth_for, name: str) -> None:
    key, public, algorithm, kid = SIGNING[name]
    with token_server(public) as server:
        assert auth_for(server, key).header() == "Bearer t1"
        (claims,), (header,) = server.claims, server.headers
        assert header == {"alg": algorithm, "kid": kid, "typ": "JWT"}
        assert claims["aud"] == server.token_url
        assert claims["exp"] - START <= 300
        assert claims["iat"] == START


def test_every_assertion_has_an_id_of_its_own(server, auth_for, clock, naps) -> None:
    server.refusals[:] = [(429, {}, {"Retry-After": "3"}), (503, {}, {})]
    auth = auth_for(server)
    assert auth.header() == "Bearer t1"
    assert naps == [3.0, 1.0]
    clock.now = server.clock = START + 300
    assert auth.header() == "Bearer t2"
    assert len({form["client_assertion"] for form in server.forms}) == 4
    assert [claims["jti"] for claims in server.claims] == ["jti-3", "jti-4"]


def test_a_token_is_renewed_at_four_fifths_of_its_life(server, auth_for, clock) -> None:
    auth = auth_for(server)
    seen = []
    for after in (0, 239, 240, 479, 480):
        clock.now = server.clock = START + after
        seen.append(auth.header())
    assert seen == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]


@pytest.mark.parametrize("life", [None, "60", -1, 0])
def test_a_token_of_unknown_life_lives_as_long_as_smart_allows(
    server, auth_for, clock, life
) -> None:
    server.life = life
    auth = auth_for(server)
    auth.header()
    clock.now = START + 239
    assert auth.header() == "Bearer t1"
    clock.now = server.clock = START + 241
    assert auth.header() == "Bearer t2"


def run_all(count: int, work: Callable[[], str]) -> tuple[list[threading.Thread], list[str]]:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def test_one_renewal_is_in_flight_while_the_others_go_on(server, auth_for, clock) -> None:
    auth = auth_for(server)
    auth.header()
    clock.now = server.clock = START + 250
    server.wait = threading.Event()
    renewing, first = run_all(1, auth.header)
    until(lambda: len(server.forms) == 2)
    others, found = run_all(8, auth.header)
    for thread in others:
        thread.join(10)
    assert found == ["Bearer t1"] * 8
    server.wait.set()
    renewing[0].join(10)
    assert (first, len(server.forms)) == (["Bearer t2"], 2)


def test_without_a_token_all_wait_for_the_one_request(server, auth_for) -> None:
    auth = auth_for(server)
    server.wait = threading.Event()
    threads, found = run_all(8, auth.header)
    until(lambda: len(server.forms) == 1)
    server.wait.set()
    for thread in threads:
        thread.join(10)
    assert (found, len(server.forms)) == (["Bearer t1"] * 8, 1)


def test_a_renewal_that_fails_leaves_the_token_that_lives(server, auth_for, clock) -> None:
    auth = auth_for(server)
    auth.header()
    server.refusals[:] = [(400, {}, {})] * 2
    clock.now = server.clock = START + 250
    assert [auth.header(), auth.header()] == ["Bearer t1", "Bearer t1"]
    assert len(server.forms) == 2  # not tried again at once
    clock.now = server.clock = START + 270
    assert auth.header() == "Bearer t1"
    clock.now = server.clock = START + 290
    assert auth.header() == "Bearer t2"


def test_a_renewal_that_fails_after_the_end_is_said(server, auth_for, clock) -> None:
    auth = auth_for(server)
    auth.header()
    server.refusals[:] = [(400, {}, {})]
    clock.now = server.clock = START + 300
    with pytest.raises(ServerRefused):
        auth.header()


def test_a_refused_token_is_renewed_once_for_all_who_had_it(server, auth_for) -> None:
    auth = auth_for(server)
    client = FhirClient(server.url, auth=auth)
    client.read("Patient", "1")
    server.dead = {"t1"}
    assert client.read("Patient", "1") is not None
    assert auth.renewed("Bearer t1") == "Bearer t2"  # another thread that met the same 401
    assert len(server.forms) == 2
    server.dead = {"t1", "t2", "t3"}
    with pytest.raises(ServerRefused, match="401"):
        client.read("Patient", "1")
    assert len(server.forms) == 3


@pytest.mark.parametrize(("ahead", "said"), [(400, "ahead of"), (-400, "behind")])
@pytest.mark.parametrize("code", ["invalid_client", "invalid_grant"])
def test_a_clock_that_is_wrong_is_named(
    server, auth_for, clock, ahead: int, said: str, code: str
) -> None:
    clock.now = START + ahead
    server.refusals[:] = [(400, {"error": code}, {})]
    with pytest.raises(ServerRefused, match=f"clock is 400 seconds {said} the server's") as caught:
        auth_for(server).header()
    assert "NTP" in caught.value.remedy


REFUSALS: dict[str, tuple[int, Any, type[AdapterError], str]] = {
    "key": (401, {"error": "invalid_client"}, ServerRefused, "smart_key_id"),
    "request": (400, {"error": "invalid_request"}, ServerRefused, "jti or kid"),
    "scope": (400, {"error": "invalid_scope"}, ServerRefused, "smart_scope"),
    "client": (400, {"error": "unauthorized_client"}, ServerRefused, "client_credentials"),
    "grant": (400, {"error": "unsupported_grant_type"}, ServerRefused, "token_url"),
    "no word": (400, {"error": ["canary"]}, ServerRefused, "smart_key_id"),
    "any word": (400, {"error": "canary"}, ServerRefused, "smart_key_id"),
    "a bare 401": (401, b"", ServerRefused, "smart_client, smart_key, smart_key_id"),
    "a gateway's 403": (403, b"<html>canary</html>", ServerRefused, "smart_client"),
    "broken": (500, {"error": "canary"}, ServerRefused, "its operator's log"),
    "broken by a key": (500, {"error": "server_error"}, ServerRefused, "failed by itself"),
    "a page": (404, b"<html>canary</html>", ServerRefused, "token_url"),
    "a redirect": (302, b"", ServerRefused, "token_url"),
    "busy": (503, {"error": "canary"}, ServerThrottled, "Run later"),
    "no token": (200, {"token_type": "bearer"}, ServerRefused, "token_url"),
    "another kind": (200, {"access_token": "canary", "token_type": "mac"}, ServerRefused, "token"),
    "a line break": (200, {"access_token": "canary\nx"}, ServerRefused, "no bearer token"),
    "no object": (200, b"[]", ServerRefused, "no bearer token"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_its_remedy_and_nothing_private(
    server, auth_for, caplog, name: str
) -> None:
    status, body, fault, said = REFUSALS[name]
    server.refusals[:] = [(status, body, {})] * 9
    with caplog.at_level(logging.DEBUG), pytest.raises(fault) as caught:
        auth_for(server, key=RSA_PEM if name == "key" else EC_PEM).header()
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__context__} {caplog.text}"
    assert said in str(caught.value)
    assert "canary" not in shown
    assert "client_assertion" not in shown
    assert caught.value.where == server.token_url


@pytest.mark.parametrize("status", [401, 500])
def test_where_the_endpoint_is_right_its_address_is_not_what_to_set(
    server, auth_for, status: int
) -> None:
    server.refusals[:] = [(status, b"", {})] * 9
    with pytest.raises(ServerRefused) as caught:
        auth_for(server).header()
    assert "Name the server's token endpoint" not in caught.value.remedy


def test_a_lost_answer_of_the_token_endpoint_is_asked_for_again(server, auth_for) -> None:
    with FaultProxy(server.url.removesuffix("/fhir")) as proxy:
        proxy.arm(cut_after_commit(), on=lambda one: one.path == "/auth/token", times=1)
        auth = auth_for(server, token_url=f"{proxy.url}/auth/token", scope="system/*.read")
        with pytest.raises(ServerRefused):  # the audience is the proxy's address, not the server's
            auth.header()
    assert len({form["client_assertion"] for form in server.forms}) == 2


def test_a_pull_ends_where_no_token_is_had(server, auth_for) -> None:
    server.refusals[:] = [(400, {"error": "invalid_client"}, {})] * 9
    records = ServerRecords(FhirClient(server.url, auth=auth_for(server)))
    with pytest.raises(ServerRefused, match="invalid_client"):
        records.pull("1", ())
    with pytest.raises(ServerRefused, match="invalid_client"):
        list(records.patients())


def test_a_key_that_is_not_registered_is_refused_by_name(server, auth_for) -> None:
    with pytest.raises(ServerRefused, match="invalid_client") as caught:
        auth_for(server, key=RSA_PEM).header()
    assert "expired" in caught.value.remedy


def test_the_token_endpoint_may_be_named_and_then_nothing_is_discovered(server, auth_for) -> None:
    server.discovery = 404
    scope = "system/Patient.read"
    auth = auth_for(server, token_url=server.token_url, scope=scope)
    assert auth.header() == "Bearer t1"
    assert [sent for sent, _ in server.sent] == ["POST /auth/token"]


def test_the_token_endpoint_may_be_named_where_discovery_is_not_there(server, auth_for) -> None:
    server.discovery = 404
    assert auth_for(server, token_url=server.token_url).header() == "Bearer t1"
    with pytest.raises(ServerRefused, match="names no token endpoint") as caught:
        auth_for(server).header()
    assert "token_url" in caught.value.remedy


def test_a_configuration_that_is_busy_or_names_nothing_says_so(server, auth_for) -> None:
    server.discovery = 503
    with pytest.raises(ServerThrottled, match="SMART configuration"):
        auth_for(server).header()
    server.discovery, server.smart = 200, {"token_endpoint": 7}
    with pytest.raises(ServerRefused, match="no token endpoint"):
        auth_for(server).header()


def test_the_settings_make_a_client_that_logs_in(tmp_path: Path) -> None:
    with token_server(EC, clock=time.time()) as server:
        file = tmp_path / "fhir-adapter.toml"
        key = private_file(tmp_path / "key.pem", EC_PEM)
        file.write_text(
            f'[server.record]\nurl = "{server.url}"\nsmart_client = "me"\n'
            f'smart_key = "@{key}"\nsmart_scope = "system/Patient.rs"\n'
        )
        settings = load(command_line={}, environment={}, file=file).settings
        assert record_client(settings).read("Patient", "1") is not None
        assert server.forms[0]["scope"] == "system/Patient.rs"
        assert len(server.claims[0]["jti"]) == 36


def test_a_server_that_is_not_there_says_so(auth_for) -> None:
    class Nowhere:
        url = "http://127.0.0.1:9/fhir"

    with pytest.raises(ServerUnreachable):
        auth_for(Nowhere()).header()


def test_an_assertion_does_not_go_out_in_clear(clock) -> None:
    client = SmartClient(
        client_id="me",
        key=signing_key(EC_PEM),
        token_url="http://auth.example/token",
        scope="system/*.read",
    )
    auth = smart_auth("https://ehr.example/fhir", client, now=clock, new_id=lambda: "1")
    with pytest.raises(SettingInvalid, match="https"):
        auth.header()


V1 = {"capabilities": ["permission-v1", "launch-standalone"]}
BOTH = {"capabilities": ["permission-v1", "permission-v2"]}


@pytest.mark.parametrize(
    ("scope", "said", "asked"),
    [
        ("", {}, "system/*.rs"),
        ("", V1, "system/*.read"),
        ("", BOTH, "system/*.rs"),
        ("system/Patient.rs system/Device.cruds", V1,
         "system/Patient.read system/Device.read system/Device.write"),
        ("system/Patient.rs openid", V1, "system/Patient.read openid"),
        ("system/Patient.read", BOTH, "system/Patient.read"),
        ("system/Patient.c", V1, "system/Patient.write"),
        ("", {"scopes_supported": ["openid", "system/*.read"]}, "system/*.read"),
        ("", {"scopes_supported": ["patient/*.read", "patient/*.rs"]}, "system/*.rs"),
        ("", {"scopes_supported": ["openid"]}, "system/*.rs"),
        ("", {"scopes_supported": "system/*.read", "capabilities": 7}, "system/*.rs"),
    ],
)  # fmt: skip
def test_scopes_are_of_version_1_only_where_version_2_is_absent(
    server, auth_for, scope: str, said: dict[str, Any], asked: str
) -> None:
    assert scope_for(scope, said) == asked
    server.smart = said
    auth_for(server, scope=scope).header()
    assert server.forms[0]["scope"] == asked


def pem(key: Any, private: bool) -> str:
    return key.as_pem(private=private).decode()


KEYS = {
    "a public key": pem(EC, False),
    "another curve": pem(ECKey.generate_key("P-256", private=True), True),
    "no key": "canary",
    "half a key": EC_PEM[:-60],
    "a secret": json.dumps({"kty": "oct", "k": "canary"}),
    "a public JWK": json.dumps(RSA.as_dict(private=False)),
    "no JWK": json.dumps({"kty": "canary"}),
    "an empty object": "{}",
    "a set of none": json.dumps({"keys": []}),
    "a set of two": json.dumps({"keys": [json.loads(RSA_JWK)] * 2}),
    "locked": EC.as_pem(private=True, password="canary").decode(),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_cannot_sign_is_refused_and_not_shown(name: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        signing_key(KEYS[name])
    shown = f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"
    assert "canary" not in shown
    assert "P-384" in caught.value.remedy


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.warns(Warning, match="2048"):
        short = RSAKey.generate_key(1024, private=True)
    with pytest.raises(SettingInvalid, match="too short"):
        signing_key(pem(short, True))


def test_nothing_of_a_key_shows() -> None:
    key = signing_key(RSA_JWK)
    secret = json.loads(RSA_JWK)["d"]
    client = SmartClient(client_id="me", key=key)
    assert secret not in repr(key) + repr(client)
    assert repr(key) == "SigningKey(key_id='own-kid', algorithm='RS384')"
    assert signing_key(RSA_JWK, key_id="other").key_id == "other"
