"""A base URL that is none: a 404 of a wrong path is no patient that is not there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fault_proxy as f
from cli.cli_for_tests import AS_OF, run, sandbox
from plain_server import plain_server

WHO = "42-all-answered"
REMEDY = "Check the base URL, its path included"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_small_study: None) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def a_wrong_path() -> Generator[str]:
    """A FHIR server says of it that it knows no such type."""
    with sandbox(patients=(WHO,)) as server:
        yield f"{server.base_url}/wrong"


@contextmanager
def html() -> Generator[str]:
    with plain_server(404, b"<html>Not Found</html>", Content_Type="text/html") as server:
        yield server.base_url


@contextmanager
def json_of_another_kind() -> Generator[str]:
    body = b'{"detail": "Not Found"}'
    with plain_server(404, body, Content_Type="application/json") as server:
        yield server.base_url


@contextmanager
def below_a_type() -> Generator[str]:
    """HAPI's answer to whatever is asked of /fhir/Patient/..."""
    body = b'{"resourceType": "OperationOutcome", "issue": [{"code": "not-supported"}]}'
    with plain_server(400, body, Content_Type="application/fhir+json") as server:
        yield server.base_url


WRONG = pytest.mark.parametrize(
    "address",
    [
        a_wrong_path,
        pytest.param(html, marks=pytest.mark.slow),
        pytest.param(json_of_another_kind, marks=pytest.mark.slow),
        pytest.param(below_a_type, marks=pytest.mark.slow),
    ],
)


@WRONG
@pytest.mark.parametrize(
    "command",
    [
        ("screen",),
        ("screen", "--patient", WHO),
        ("screen", "--patient", WHO, "--write"),
        ("explain", WHO),
        ("worklist",),
    ],
    ids=" ".join,
)
def test_a_wrong_address_is_named_as_the_cause(command: tuple[str, ...], address: Any) -> None:
    with address() as url:
        ran = run(*command, "--server", url, "--as-of", AS_OF, FHIR_ADAPTER_SITE_KEY="x")
    assert ran.status == 3
    assert f"{url}: no FHIR server answers there. {REMEDY}" in ran.flat
    assert "does not know this patient" not in ran.flat
    assert "the server's own log" not in ran.flat


@pytest.mark.parametrize("census", ["auto", pytest.param("group:g", marks=pytest.mark.slow)])
@WRONG
def test_a_watch_of_a_wrong_address_names_it_and_promises_nothing(
    address: Any, census: str
) -> None:
    with address() as url:
        asked = ("watch", "--server", url, "--once", "--as-of", AS_OF)
        people = run(*asked, FHIR_ADAPTER_CENSUS=census)
        told = run(*asked, "--json", FHIR_ADAPTER_CENSUS=census).json
    assert people.status == 3
    assert REMEDY in people.flat
    assert "Their changes are found by" not in people.flat
    assert "the server's own log" not in people.flat
    assert (set(told["not-reached"].values()), told["not-polled"]) == ({"not-fhir"}, {})
    assert set(told["not-whole"].values()) == {"not-fhir"}
    assert len(told["remedies"]) == 1


@pytest.mark.parametrize("habits", [{}, {"no_metadata": True}], ids=["tidy", "without metadata"])
@pytest.mark.parametrize("command", ["screen", "explain"])
def test_a_patient_who_is_not_there_is_no_wrong_address(
    command: str, habits: dict[str, Any]
) -> None:
    words = ("screen", "--patient", "nobody") if command == "screen" else ("explain", "nobody")
    with sandbox(patients=(WHO,), **habits) as server:
        ran = run(*words, "--server", server.base_url, "--as-of", AS_OF)
    assert ran.status == 3
    assert "the record server does not know this patient" in ran.flat
    assert REMEDY not in ran.flat


@pytest.mark.slow
def test_a_server_that_wants_a_patient_and_hides_its_metadata_is_no_wrong_address() -> None:
    with sandbox(patients=(WHO,)) as server, f.FaultProxy(server.base_url) as proxy:
        proxy.arm(f.no_metadata(), on=f.is_metadata)
        proxy.arm(f.status(400), on=f.of_type("Patient", f.is_search))
        ran = run("explain", "nobody", "--server", proxy.url, "--as-of", AS_OF)
    assert "the record server does not know this patient" in ran.flat


def test_a_watched_patient_is_not_given_up_where_a_gateway_lost_the_server() -> None:
    """Changes that were marked before it stood in between wait for it to come back."""
    with sandbox(patients=(WHO,)) as server:
        env = {"FHIR_ADAPTER_SITE_KEY": "x", "FHIR_ADAPTER_CENSUS": "file:ids"}
        Path("ids").write_text(f"{WHO}\n")
        url = server.base_url
        first = run("watch", "--server", f"{url}/wrong", "--once", "--write", "--json", **env).json
    assert first["errors"] == {"not-fhir": 1}
    assert first["waiting"] == 1
