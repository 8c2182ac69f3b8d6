"""What one request may cost and be: size, depth, kind, method, rate; and the token file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from web.web_for_tests import HOOK, STUDY, client

from fhir_adapter.bootstrap.service import Service
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.web.access import load_tokens
from fhir_adapter.web.limits import DEEPEST, LARGEST, RateLimit, json_object
from fhir_adapter.web.outcomes import Refusal

LIST = f"/worklist/{STUDY}"


def test_a_body_that_is_too_large_is_413(web: TestClient) -> None:
    answer = web.post("/fhir/Patient/$match-trials", content=b" " * (LARGEST + 1))
    assert answer.status_code == 413


JSON_ROUTES = (HOOK, f"{HOOK}/feedback", "/fhir/Patient/$match-trials")
FORM_ROUTES = (f"{LIST}/reveal", "/login")


@pytest.mark.parametrize("path", [*JSON_ROUTES, *FORM_ROUTES])
@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"},
     {"Content-Type": "application/xml"}, {"Content-Encoding": "gzip"}],
    ids=["text", "multipart", "xml", "gzip"],
)  # fmt: skip
def test_a_body_of_another_kind_is_415(web: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = web.post(path, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(("method", "path"), [("GET", HOOK), ("DELETE", LIST), ("POST", "/health"),
                                              ("PUT", "/fhir/Patient/$match-trials")])  # fmt: skip
def test_a_method_that_does_not_exist_is_405(web: TestClient, method: str, path: str) -> None:
    answer = web.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert answer.headers["allow"]


@pytest.mark.parametrize("depth", [65, 5000, 200_000])
def test_a_body_that_is_too_deep_is_400(web: TestClient, depth: int) -> None:
    body = b'{"a":' * depth + b"1" + b"}" * depth
    assert web.post("/fhir/Patient/$match-trials", content=body).status_code == 400


def nested(depth: int, inside: bytes = b"1") -> bytes:
    return b'{"a":' * depth + inside + b"}" * depth


DEEP = {
    "as deep as may be": (nested(DEEPEST), True),
    "a level deeper": (nested(DEEPEST + 1), False),
    "lists count too": (nested(DEEPEST - 1, b"[[1], [2]]"), False),
    "side by side is not deep": (b'{"a": [' + b"[[]]," * 500 + b"{}]}", True),
    "brackets in a text": (b'{"a": "' + b"[{" * 500 + b'"}', True),
    "brackets after a quote in a text": (b'{"a": "\\"' + b"[{" * 500 + b'"}', True),
    "a text that ends in a backslash": (b'{"b": "\\\\", "a": ' + nested(DEEPEST) + b"}", False),
    "never closed": (b"[" * 500, False),
    "closed by the other kind": (b'{"a": [1}}', False),
}


@pytest.mark.parametrize("name", DEEP)
def test_nesting_is_counted_outside_texts(name: str) -> None:
    body, fine = DEEP[name]
    with nullcontext() if fine else pytest.raises(Refusal) as refused:
        json_object(body)
    assert fine or refused.value.status == 400


def test_too_many_requests_are_429_with_a_wait(made: Service) -> None:
    with client(made, rate=RateLimit(per_second=0.5, burst=3)) as web:
        found = [web.get("/health") for _ in range(5)]
    assert [one.status_code for one in found] == [200, 200, 200, 429, 429]
    assert int(found[-1].headers["retry-after"]) >= 1


def test_the_rate_limit_remembers_only_so_many_callers() -> None:
    limit = RateLimit(per_second=1, burst=1)
    for number in range(10_050):
        limit.take(str(number))
    limit.take("0")  # forgotten, so it has a fresh bucket


def test_a_token_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    with pytest.raises(SettingInvalid, match="does not exist"):
        load_tokens(path)
    for text in ("rubbish", "format = 1\n[[token]]\nname = 'a'\n"):
        path.write_text(text)
        with pytest.raises(SettingInvalid, match="not a token file"):
            load_tokens(path)
    path.write_text('format = 1\n[[token]]\nname="a"\nsha256="b"\nroles=["king"]\n')
    with pytest.raises(SettingInvalid, match="unknown role"):
        load_tokens(path)
