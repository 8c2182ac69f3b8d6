"""SMART Backend Services: our client, oidc-provider, and a FHIR server that wants its tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from guarded import guarded, scopes_of
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_adapter.client import FhirClient, SmartAuth, SmartClient, smart_auth
from fhir_adapter.client.keys import signing_key
from fhir_adapter.errors import ServerRefused

import real_servers
from cli.cli_for_tests import AS_OF, ONE, Ran, run, sandbox
from key_files import private_file

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
LIFE = 60
RENEWED_AFTER = 50
"""Seconds: a token of ours is renewed at four fifths of its life."""


def made(algorithm: str, kid: str) -> RSAKey | ECKey:
    said = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm == "RS384":
        return RSAKey.generate_key(2048, said)
    return ECKey.generate_key("P-384", said)


KEYS = {"RS384": made("RS384", "rsa"), "ES384": made("ES384", "ec")}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """Both public keys are registered, as while one is being replaced by the other."""
    jwks = KeySet(list(KEYS.values())).as_dict(private=False)
    with real_servers.oidc(jwks, life=LIFE) as address:
        yield address


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    with sandbox(patients=(ONE,)) as running:
        yield running.base_url


@pytest.fixture(scope="module")
def fhir(plain: str, issuer: str) -> Iterator[str]:
    """The sandbox behind its authorization server."""
    with guarded(plain, issuer) as proxy:
        yield proxy.url


@dataclass
class Caller:
    """Our client with a clock that can be set; how many assertions it made."""

    base: str
    key: RSAKey | ECKey = field(default_factory=lambda: KEYS["ES384"])
    name: str = "fhir-adapter"
    scope: str = ""
    offset: float = 0.0
    assertions: int = 0
    hold: threading.Event | None = None
    """What the next assertion waits for."""
    asked: threading.Event = field(default_factory=threading.Event)

    def auth(self) -> SmartAuth:
        key = signing_key(self.key.as_pem(private=True).decode(), key_id=str(self.key.kid))
        client = SmartClient(client_id=self.name, key=key, scope=self.scope)
        return smart_auth(self.base, client, now=self._now, new_id=self._id)

    def _now(self) -> float:
        return time.time() + self.offset

    def _id(self) -> str:
        self.assertions += 1
        self.asked.set()
        if self.hold is not None:
            assert self.hold.wait(60)
        return f"{time.time_ns()}-{self.assertions}"


def good(issuer: str, header: str) -> frozenset[str] | None:
    with requests.Session() as session:
        return scopes_of(session, issuer, header)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_server_that_demands_a_token_is_read_with_one(fhir: str, algorithm: str) -> None:
    caller = Caller(fhir, KEYS[algorithm])
    with pytest.raises(ServerRefused, match="401"):
        FhirClient(fhir).read("Patient", ONE)
    client = FhirClient(fhir, auth=caller.auth())
    assert [(client.read("Patient", ONE) or {}).get("id") for _ in range(3)] == [ONE] * 3
    assert caller.assertions == 1


def test_hapi_behind_its_authorization_server_is_read_with_one(
    hapi_all_on: str, issuer: str
) -> None:
    with guarded(hapi_all_on, issuer) as proxy:
        with pytest.raises(ServerRefused, match="401"):
            FhirClient(proxy.url).capability()
        client = FhirClient(proxy.url, auth=Caller(proxy.url).auth())
        assert client.capability().of("Patient") is not None


def test_one_renewal_is_in_flight_while_others_go_on_with_a_token_that_is_good(
    fhir: str, issuer: str
) -> None:
    caller = Caller(fhir, offset=-RENEWED_AFTER)
    auth = caller.auth()
    first = auth.header()
    caller.offset, caller.hold = 0.0, threading.Event()
    caller.asked.clear()
    renewing, renewed = _at_once(1, auth.header)
    assert caller.asked.wait(60)
    others, old = _at_once(8, auth.header)
    _joined(others)
    assert (old, good(issuer, first)) == ([first] * 8, frozenset({"system/*.rs"}))
    caller.hold.set()
    _joined(renewing)
    assert renewed != [first]
    assert good(issuer, renewed[0]) == frozenset({"system/*.rs"})
    assert (auth.header(), caller.assertions) == (renewed[0], 2)


def _at_once(count: int, work: Callable[[], str]) -> tuple[list[threading.Thread], list[str]]:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def _joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_token_that_the_server_refuses_is_renewed_once(fhir: str, issuer: str) -> None:
    caller = Caller(fhir)
    auth = caller.auth()
    client = FhirClient(fhir, auth=auth)
    client.read("Patient", ONE)
    renewed = auth.renewed(auth.header())
    assert client.read("Patient", ONE) is not None
    assert (caller.assertions, good(issuer, renewed)) == (2, frozenset({"system/*.rs"}))


WRONG: dict[str, tuple[dict[str, object], str, str]] = {
    "a key that is not registered": (
        {"key": made("ES384", "ec")}, "invalid_client", "register the public key"),
    "a key that was taken out": (
        {"key": made("RS384", "last-year")}, "invalid_client", "the key has expired"),
    "another client": ({"name": "somebody"}, "invalid_client", "smart_client"),
    "a clock that is behind": (
        {"offset": -900.0}, r"clock is \d+ seconds behind", "Set this machine's clock"),
    "a scope that was not granted": (
        {"scope": "system/Device.cruds"}, "invalid_scope", "set smart_scope"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_what_to_do(fhir: str, name: str) -> None:
    given, said, remedy = WRONG[name]
    with pytest.raises(ServerRefused, match=said) as caught:
        Caller(fhir, **given).auth().header()  # type: ignore[arg-type] # what each row gives
    assert remedy in caught.value.remedy


def test_a_scope_that_the_server_drops_without_a_word_is_met_as_forbidden(
    fhir: str, tmp_path: Path
) -> None:
    """oidc-provider gives a token without any scope for one that it does not know."""
    unknown = {"FHIR_ADAPTER_RECORD_SMART_SCOPE": "system/Nothing.rs"}
    found = screened(fhir, tmp_path, **unknown)
    assert (found.status, "answered 403" in found.flat) == (3, True)
    assert "ask for the scopes that the doctor lists" in found.flat


def screened(base: str, folder: Path, **more: str) -> Ran:
    key = private_file(folder / "key.pem", KEYS["ES384"].as_pem(private=True).decode())
    smart = {
        "FHIR_ADAPTER_RECORD_SMART_CLIENT": "fhir-adapter",
        "FHIR_ADAPTER_RECORD_SMART_KEY": f"@{key}",
        "FHIR_ADAPTER_RECORD_SMART_KEY_ID": "ec",
    }
    return run("screen", "--server", base, "--as-of", AS_OF, "--json", **smart, **more)


def test_screening_through_the_token_decides_as_without(
    fhir: str, plain: str, tmp_path: Path
) -> None:
    without = run("screen", "--server", plain, "--as-of", AS_OF, "--json")
    assert run("screen", "--server", fhir, "--as-of", AS_OF, "--json").status == 3
    found = screened(fhir, tmp_path)
    assert (found.status, found.json["decisions"]) == (0, without.json["decisions"])


def test_a_scope_that_is_too_narrow_leaves_criteria_open(
    fhir: str, plain: str, tmp_path: Path
) -> None:
    """What may not be read is not retrieved: nobody fits or is ruled out by it."""
    narrow = {"FHIR_ADAPTER_RECORD_SMART_SCOPE": "system/Patient.rs"}
    (found,) = screened(fhir, tmp_path, **narrow).json["decisions"]
    (whole,) = run("screen", "--server", plain, "--as-of", AS_OF, "--json").json["decisions"]
    pairs = list(zip(whole["criteria"], found["criteria"], strict=True))
    changed = [now for before, now in pairs if before["effect"] != now["effect"]]
    assert changed
    assert {(one["effect"], one["reason"]) for one in changed} == {
        ("open", "the data were not retrieved whole")
    }
