"""What operate.md gives an operator to copy: Subscriptions that are taken, keys that sign."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fhir.resources.R4B.subscription import Subscription
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from fhir_adapter.bootstrap.notices import NoticeDesk
from fhir_adapter.client.keys import signing_key
from fhir_adapter.ports import Look
from fhir_adapter.settings import Settings
from fhir_adapter.web.notifications import PATH, router
from fhir_adapter.web.outcomes import say_errors

if TYPE_CHECKING:
    from fhir_adapter.ports import ChangedPatients

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
SECRET = "of this test only"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"


def blocks(language: str, *, under: str) -> list[str]:
    """Fenced blocks of a language under one heading."""
    text = PAGE.read_text("utf-8")
    section = re.split(r"^#+ ", text.split(f"### {under}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", section[0], re.DOTALL | re.MULTILINE)


SUBSCRIPTIONS: list[dict[str, Any]] = [
    json.loads(block) for block in blocks("json", under="Subscriptions")
]


def test_there_is_one_of_r4_and_one_of_a_topic() -> None:
    plain, topic = SUBSCRIPTIONS
    assert plain["criteria"] == "Observation?"
    assert topic["meta"]["profile"] == [f"{BACKPORT}subscription"]
    assert topic["criteria"].startswith("https://")


@pytest.mark.parametrize("found", SUBSCRIPTIONS, ids=["plain", "topic"])
def test_a_subscription_is_valid_and_what_the_service_takes(found: dict[str, Any]) -> None:
    Subscription.model_validate(found)
    channel = found["channel"]
    assert (found["status"], channel["type"]) == ("requested", "rest-hook")
    address = urlsplit(channel["endpoint"])
    assert (address.scheme, address.path) == ("https", PATH)
    (header,) = channel["header"]
    name, _, value = header.partition(": ")
    assert value.endswith(" NOTIFY_TOKEN")
    assert "notify_token" in Settings.__slots__
    desk = NoticeDesk(read=lambda _: Look(), queue=cast("ChangedPatients", None))
    service = service_of(desk)
    assert service.post(address.path, json={}).status_code == 401
    known = {name: value.replace("NOTIFY_TOKEN", SECRET)}
    assert service.post(address.path, headers=known).status_code == 200
    assert service.put(f"{address.path}/Observation/1", headers=known).status_code == 200
    assert desk.taken == 2


def service_of(desk: NoticeDesk) -> TestClient:
    app = FastAPI()
    say_errors(app, lambda *_: None)
    app.include_router(router(desk, SECRET))
    return TestClient(app)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_commands_make_a_key_that_signs_and_the_set_that_proves_it(tmp_path: Path) -> None:
    (commands,) = blocks("shell", under="SMART Backend Services")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-ec", commands], cwd=tmp_path, env=env, check=True, timeout=60)
    made = json.loads((tmp_path / "jwks.json").read_text("utf-8"))
    (public,) = made["keys"]
    assert set(public) == {"kty", "crv", "x", "y", "kid", "alg", "use"}, "and no private part"
    assert (tmp_path / "smart.pem").stat().st_mode & 0o077 == 0
    key = signing_key((tmp_path / "smart.pem").read_text("utf-8"))
    assert (key.key_id, key.algorithm) == (public["kid"], public["alg"])
    token = key.signed({"iss": "us"})
    assert (
        jwt.decode(token, KeySet.import_key_set(made), algorithms=["ES384"]).claims["iss"] == "us"
    )
    pem = ECKey.import_key((tmp_path / "smart-public.pem").read_text("utf-8"))
    assert pem.thumbprint() == public["kid"]
