"""Client tokens: what is accepted, and the one 401 for everything else."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from fastapi.testclient import TestClient
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from web.web_for_tests import CANDIDATE, HOOK, call, client, service

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.web.clients import load_clients

PUBLIC, ISSUER = "https://trials.example", "https://ehr.example"
EC = ECKey.generate_key("P-384", {"kid": "ec", "alg": "ES384"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS384"})
OTHER = ECKey.generate_key("P-384", {"kid": "ec", "alg": "ES384"})
HEADER = {"alg": "ES384", "kid": "ec", "typ": "JWT"}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {
        "iss": ISSUER, "aud": f"{PUBLIC}{HOOK}", "iat": now, "exp": now + 300, "jti": str(uuid4()),
    }  # fmt: skip
    return {k: v for k, v in {**made, **more}.items() if v is not None}


def token(key: Any = EC, header: dict[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode(header or HEADER, claims(**more), key, algorithms=["ES384", "RS384", "ES256"])


def post(web: TestClient, sent: str, *, path: str = HOOK, kind: str = "Bearer") -> int:
    headers = {"Authorization": f"{kind} {sent}"} if sent else {}
    sent_patient = {"patient": {"resourceType": "Patient", "id": CANDIDATE}}
    body = call(CANDIDATE, prefetch=sent_patient)
    return web.post(path, json=body, headers=headers).status_code


def write_clients(folder: Path, **more: str) -> Path:
    keys = {"keys": [EC.as_dict(private=False), RSA.as_dict(private=False)]}
    (folder / "keys.json").write_text(json.dumps(keys))
    lines = {"name": "ehr", "issuer": ISSUER, "keys": "keys.json", **more}
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in lines.items())
    (folder / "clients.toml").write_text(f"format = 1\n[[client]]\n{text}\n")
    return folder / "clients.toml"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    path = write_clients(tmp_path, jku="https://ehr.example/keys")
    with service(tmp_path, clients=str(path), public_url=PUBLIC) as made:
        yield made


@pytest.fixture
def locked(guarded: Service) -> Iterator[TestClient]:
    with client(guarded, demo=False) as found:
        yield found


def test_a_signed_token_is_accepted_once(locked: TestClient) -> None:
    sent = token()
    assert post(locked, sent) == 200
    assert post(locked, sent) == 401, "a token is used once"


def test_a_replay_is_refused_by_another_worker_too(guarded: Service) -> None:
    sent = token()
    with client(guarded, demo=False) as one:
        assert post(one, sent) == 200
    with client(guarded, demo=False) as two:
        assert post(two, sent) == 401


def test_rsa_and_a_list_of_audiences_and_the_hospitals_habits(locked: TestClient) -> None:
    now = int(time.time())
    header = {"alg": "RS384", "kid": "rsa", "typ": "JWT", "jku": "https://ehr.example/keys"}
    sent = token(RSA, header, aud=["x", f"{PUBLIC}{HOOK}"], nbf=now - 300, sub="app", exp=now + 900)
    assert post(locked, sent) == 200


def test_discovery_needs_its_own_audience(locked: TestClient) -> None:
    def asked(aud: str) -> int:
        headers = {"Authorization": f"Bearer {token(aud=aud)}"}
        return locked.get("/cds-services", headers=headers).status_code

    assert asked(f"{PUBLIC}/cds-services") == 200
    assert asked("https://elsewhere.example/cds-services") == 401


def test_feedback_takes_the_services_address_or_its_own(locked: TestClient) -> None:
    body = {
        "feedback": [
            {"card": str(uuid4()), "outcome": "accepted", "acceptedSuggestions": [{"id": "s"}]}
        ]
    }
    for aud in (f"{PUBLIC}{HOOK}", f"{PUBLIC}{HOOK}/feedback"):
        headers = {"Authorization": f"Bearer {token(aud=aud)}"}
        answer = locked.post(f"{HOOK}/feedback", json=body, headers=headers)
        assert answer.status_code == 200


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def part(value: dict[str, Any]) -> str:
    return encoded(json.dumps(value))


def unsigned() -> str:
    return f"{part({**HEADER, 'alg': 'none'})}.{part(claims())}."


def symmetric() -> str:
    """Signed with the public key as a shared secret (the classic confusion)."""
    head = f"{part({**HEADER, 'alg': 'HS384'})}.{part(claims())}"
    made = hmac.HMAC(EC.as_pem(private=False), hashes.SHA384())
    made.update(head.encode())
    return f"{head}.{base64.urlsafe_b64encode(made.finalize()).decode().rstrip('=')}"


def refused() -> dict[str, str]:
    now = int(time.time())
    return {
        "none": unsigned(),
        "hmac with the public key": symmetric(),
        "another key": token(OTHER),
        "unknown kid": token(header={**HEADER, "kid": "nobody"}),
        "no kid": token(header={"alg": "ES384", "typ": "JWT"}),
        "odd typ": token(header={**HEADER, "typ": "at+jwt"}),
        "another jku": token(header={**HEADER, "jku": "https://evil.example/keys"}),
        "another issuer": token(iss="https://evil.example"),
        "another audience": token(aud="https://evil.example"),
        "no audience": token(aud=None),
        "expired": token(iat=now - 4000, exp=now - 3700),
        "no expiry": token(exp=None),
        "lives a day": token(exp=now + 86400),
        "from the future": token(iat=now + 3600, exp=now + 3700),
        "not before": token(nbf=now + 3600),
        "no iat": token(iat=None),
        "no jti": token(jti=None),
        "empty jti": token(jti=""),
        "words for times": token(exp="soon"),
        "a jti that is no text": jws.serialize_compact(
            HEADER, json.dumps(claims(jti="\ud800")).encode(), EC, algorithms=["ES384"]
        ),
        "a jti without end": token(jti="x" * 1000),
        "deep": f"{part(HEADER)}.{encoded('[' * 5000)}.x",
        "deep header": f"{encoded('[' * 5000)}.{part(claims())}.x",
        "oversized": token(more="x" * 20_000),
        "rubbish": "abc",
        "dots": "..",
        "": "",
    }


@pytest.mark.parametrize("name", sorted(refused()))
def test_everything_else_is_one_and_the_same_401(locked: TestClient, name: str) -> None:
    sent = refused()[name]
    headers = {"Authorization": f"Bearer {sent}"} if sent else {}
    answer = locked.post(HOOK, json=call(CANDIDATE), headers=headers)
    assert answer.status_code == 401
    assert answer.json() == locked.post(HOOK, json={}).json()


def test_a_client_whose_server_is_not_ours_gets_no_fetching(guarded: Service) -> None:
    with client(guarded, demo=False) as web:
        headers = {"Authorization": f"Bearer {token()}"}
        sent = call(CANDIDATE, fhirServer=guarded.record_base)
        assert web.post(HOOK, json=sent, headers=headers).status_code == 412


def test_the_registered_server_is_asked_whatever_token_the_call_carries(tmp_path: Path) -> None:
    with service(tmp_path) as first:
        base = first.record_base
        path = write_clients(tmp_path, **{"fhir-server": base})
        with service(tmp_path / "x", clients=str(path), public_url=PUBLIC) as made:
            made.record_base = base
            with client(made, demo=False) as web:
                headers = {"Authorization": f"Bearer {token()}"}
                sent = call(CANDIDATE, fhirServer=base)
                answer = web.post(HOOK, json=sent, headers=headers)
                assert answer.status_code == 200
                elsewhere = call(CANDIDATE, fhirServer="http://127.0.0.1:9/fhir")
                headers = {"Authorization": f"Bearer {token()}"}
                assert web.post(HOOK, json=elsewhere, headers=headers).status_code == 412


def test_no_address_that_a_call_or_its_token_names_is_ever_connected_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        trap = f"http://127.0.0.1:{listener.getsockname()[1]}"
        path = write_clients(tmp_path, jku=f"{trap}/keys", **{"fhir-server": f"{trap}/fhir"})
        with (
            service(tmp_path, clients=str(path), public_url=PUBLIC) as made,
            client(made, demo=False) as web,
        ):
            for jku in (f"{trap}/keys", f"{trap}/other"):
                headers = {"Authorization": f"Bearer {token(header={**HEADER, 'jku': jku})}"}
                asked = call(
                    CANDIDATE, fhirServer=f"{trap}/fhir", fhirAuthorization={"access_token": "t"}
                )
                answer = web.post(HOOK, json=asked, headers=headers)
                assert answer.status_code in (401, 412)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_cors_is_for_named_origins_only(tmp_path: Path) -> None:
    path = write_clients(tmp_path)
    text = path.read_text() + 'origins = ["https://ehr.example"]\n'
    path.write_text(text)
    asked = {"Access-Control-Request-Method": "POST"}
    with (
        service(tmp_path, clients=str(path), public_url=PUBLIC) as made,
        client(made, demo=False) as web,
    ):
        good = web.options(HOOK, headers={"Origin": "https://ehr.example", **asked})
        bad = web.options(HOOK, headers={"Origin": "https://evil.example", **asked})
    assert good.headers["access-control-allow-origin"] == "https://ehr.example"
    assert "access-control-allow-origin" not in bad.headers


@pytest.mark.parametrize(
    "text",
    ["format = 1\n[[client]]\nname = 'x'\n", "rubbish", "format = 1\nclients = 3\n"],
)
def test_a_client_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "clients.toml").write_text(text)
    with pytest.raises(SettingInvalid, match="clients of the hook"):
        load_clients(tmp_path / "clients.toml")


def test_symmetric_algorithms_cannot_be_configured(tmp_path: Path) -> None:
    path = write_clients(tmp_path)
    path.write_text(path.read_text() + 'algorithms = ["HS256"]\n')
    with pytest.raises(SettingInvalid):
        load_clients(path)
