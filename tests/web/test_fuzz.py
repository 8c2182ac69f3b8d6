"""Whatever is sent to whatever route: no 500, nothing unparsable (make test-deep)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web.invariants_for_tests import CheckedClient
from web.web_for_tests import CANDIDATE, HOOK, call, service

from fhir_adapter.web import create_app
from fhir_adapter.web.limits import RateLimit

pytestmark = pytest.mark.deep
ROUTES = ("/", "/login", "/metrics", "/worklist/{x}", "/worklist/{x}/{y}", "/static/{x}", "/{x}")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["resourceType", "parameter", "name", "valueString", "entry",
                                       "resource", "link", "total", "id", "subject", "code",
                                       "reference", "status", "birthDate"]) | st.text(max_size=8),
                      inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with service(tmp_path_factory.mktemp("fuzz")) as made:
        yield create_app(made, demo=True, refresh=False, rate=RateLimit(1e9, 10**9))


@pytest.fixture(scope="module")
def web(app: Any) -> Iterator[TestClient]:
    with CheckedClient(app, raise_server_exceptions=False, follow_redirects=False) as found:
        yield found


def fine(answer: Any) -> None:
    assert answer.status_code not in (500, 501), answer.text
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 400 and "html" not in kind:
        assert json.loads(answer.text)["resourceType"] == "OperationOutcome"


many = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(body=st.binary(max_size=200), path=st.sampled_from([HOOK, f"{HOOK}/feedback"]))
def test_any_bytes_to_the_hook(web: TestClient, body: bytes, path: str) -> None:
    fine(web.post(path, content=body))


@many
@given(
    prefetch=st.dictionaries(st.sampled_from(["patient", "observation", "condition"]), json_values)
)
def test_any_prefetch(web: TestClient, prefetch: Any) -> None:
    fine(web.post(HOOK, json=call(CANDIDATE, prefetch=prefetch)))


@many
@given(body=json_values)
def test_any_json_to_the_operations(web: TestClient, body: Any) -> None:
    for name in ("ResearchStudy/$prescreen", "Patient/$match-trials"):
        fine(web.post(f"/fhir/{name}", json=body))


@many
@given(record=json_values)
def test_any_record_handed_over(web: TestClient, record: Any) -> None:
    parameters = [
        {"name": "study", "valueString": "NCT05985863"},
        {"name": "patient", "valueString": "p"},
        {"name": "record", "resource": record},
    ]
    sent = {"resourceType": "Parameters", "parameter": parameters}
    fine(web.post("/fhir/ResearchStudy/$prescreen", json=sent))


@many
@given(x=st.text(max_size=20), y=st.text(max_size=20), route=st.sampled_from(ROUTES),
       q=st.text(max_size=20))  # fmt: skip
def test_any_address(web: TestClient, x: str, y: str, route: str, q: str) -> None:
    path = route.format(x=quote(x, safe=""), y=quote(y, safe=""))
    for accept in ("*/*", "text/html"):
        asked = {"q": q, "tab": q, "next": q}
        fine(web.get(path, params=asked, headers={"Accept": accept}))


def test_every_operation_of_the_openapi_document(app: Any) -> None:
    import schemathesis  # noqa: PLC0415 - three seconds that only this test needs

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    seen = 0
    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def run(case: Any) -> None:
            for accept in ("*/*", "text/html"):
                answer = case.call(headers={"Accept": accept})
                assert answer.status_code not in (500, 501)

        run()
        seen += 1
    assert seen >= 9
