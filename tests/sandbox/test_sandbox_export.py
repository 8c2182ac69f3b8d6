"""Exports of the sandbox, as a client sees them."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fhir_adapter.sandbox import Habits, Interactions
from fhir_adapter.sandbox.app import create_app

ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
BASE = "http://testserver"


def of(kind: str, number: str, patient: str = "p", **more: Any) -> dict[str, Any]:
    owner = {} if kind == "Patient" else {"subject": {"reference": f"Patient/{patient}"}}
    return {"resourceType": kind, "id": number, **owner, **more}


RESOURCES = [
    of("Patient", "p"), of("Patient", "q"), of("Observation", "o1"), of("Observation", "o2", "q"),
    {"resourceType": "Medication", "id": "m"},
    {"resourceType": "Group", "id": "g", "member": [{"entity": {"reference": "Patient/q"}}]},
]  # fmt: skip


def server(**habits: Any) -> tuple[TestClient, Interactions]:
    ticks = count()
    made = Interactions(
        now=lambda: f"2026-11-22T00:00:{next(ticks) % 60:02d}.000Z", habits=Habits(**habits)
    )
    made.base = BASE
    for one in RESOURCES:
        made.store.load(one)
    return TestClient(create_app(made), raise_server_exceptions=False), made


def begun(client: TestClient, path: str = "/$export") -> str:
    answer = client.get(path, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.headers["Content-Location"]


def manifest(client: TestClient, path: str = "/$export") -> Any:
    place = begun(client, path)
    while (answer := client.get(place)).status_code == 202:
        pass
    return answer.json()


def lines(client: TestClient, found: Any, role: str = "output") -> list[str]:
    listed: list[str] = []
    for file in found[role]:
        answer = client.get(file["url"])
        assert answer.headers["Content-Type"] == "application/fhir+ndjson"
        inside = [json.loads(line) for line in answer.text.splitlines()]
        assert len(inside) == file["count"]
        assert {one["resourceType"] for one in inside} == {file["type"]}
        listed += [f"{one['resourceType']}/{one.get('id', '')}" for one in inside]
    return listed


def test_an_export_is_asked_for_waited_for_and_fetched():
    client, _ = server(export_polls=2)
    place = begun(client, "/$export?_type=Patient")
    for step in ("1 of 3", "2 of 3"):
        answer = client.get(place)
        assert answer.status_code == 202
        assert (answer.headers["X-Progress"], answer.headers["Retry-After"]) == (step, "1")
    found = client.get(place).json()
    assert found["request"].endswith("/$export?_type=Patient")
    assert found["requiresAccessToken"] is False
    assert (found["deleted"], found["error"]) == ([], [])
    assert lines(client, found) == ["Patient/p", "Patient/q"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/$export", ["Group/g", "Medication/m", "Observation/o1", "Observation/o2",
                      "Patient/p", "Patient/q"]),
        ("/Patient/$export", ["Observation/o1", "Observation/o2", "Patient/p", "Patient/q"]),
        ("/Group/g/$export", ["Observation/o2", "Patient/q"]),
        ("/Patient/$export?_type=Medication,Patient", ["Patient/p", "Patient/q"]),
        ("/$export?_type=Observation&_type=Medication&_outputFormat=ndjson",
         ["Medication/m", "Observation/o1", "Observation/o2"]),
    ],
)  # fmt: skip
def test_levels_and_types(path, expected):
    client, _ = server()
    assert sorted(lines(client, manifest(client, path))) == expected


def test_what_is_written_after_the_kick_off_is_not_in_it():
    client, made = server()
    place = begun(client, "/$export?_type=Patient")
    made.store.put(of("Patient", "late"))
    made.store.delete("Patient", "p")
    client.get(place)
    assert lines(client, client.get(place).json()) == ["Patient/p", "Patient/q"]


def test_since_gives_what_changed_and_what_was_deleted():
    client, made = server()
    since = manifest(client)["transactionTime"]
    made.store.put(of("Observation", "o1", status="final"))
    made.store.put(of("Patient", "new"))
    made.store.delete("Observation", "o2")
    made.store.delete("Patient", "p")
    made.store.put(of("Patient", "p"))
    found = manifest(client, f"/$export?_type=Patient,Observation&_since={since}")
    assert sorted(lines(client, found)) == ["Observation/o1", "Patient/new", "Patient/p"]
    (file,) = found["deleted"]
    (line,) = client.get(file["url"]).text.splitlines()
    assert json.loads(line)["entry"] == [{"request": {"method": "DELETE", "url": "Observation/o2"}}]
    assert manifest(client, f"/$export?_type=Patient&_since={since}")["deleted"] == []
    assert manifest(client, f"/Group/g/$export?_since={since}")["deleted"] != []


def test_files_are_cut_where_they_grow_long():
    client, _ = server(export_lines=1)
    found = manifest(client, "/$export?_type=Patient")
    assert [file["count"] for file in found["output"]] == [1, 1]


def test_a_type_that_may_not_be_seen_is_told_in_an_error_file():
    client, _ = server(forbids_types=frozenset({"Observation"}))
    found = manifest(client, "/$export?_type=Patient,Observation")
    assert lines(client, found) == ["Patient/p", "Patient/q"]
    outcome = client.get(found["error"][0]["url"]).json()
    assert outcome["issue"][0]["code"] == "forbidden"
    assert "Observation" in outcome["issue"][0]["diagnostics"]


def test_an_export_that_was_taken_back_is_gone_with_its_files():
    client, _ = server()
    place = begun(client, "/$export?_type=Patient")
    client.get(place)
    url = client.get(place).json()["output"][0]["url"]
    assert client.delete(place).status_code == 202
    assert [client.get(place).status_code, client.get(url).status_code] == [404, 404]
    assert client.delete(place).status_code == 404


def test_the_oldest_export_is_forgotten():
    client, _ = server()
    places = [begun(client) for _ in range(21)]
    assert client.get(places[0]).status_code == 404
    assert client.get(places[1]).status_code == 202


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/$export", {}, 400),
        ("/$export", {**ASYNC, "Accept": "text/html"}, 406),
        ("/$export?_type=Nonsense", ASYNC, 400),
        ("/$export?_typeFilter=Patient%3Factive%3Dtrue", ASYNC, 400),
        ("/$export?_outputFormat=text/csv", ASYNC, 400),
        ("/$export?_since=yesterday", ASYNC, 400),
        ("/Group/none/$export", ASYNC, 404),
        ("/Observation/$export", ASYNC, 404),
        ("/$export-status/e1", ASYNC, 404),
        ("/$export-file/e1/0", ASYNC, 404),
    ],
)
def test_what_is_not_offered_is_refused_with_an_outcome(path, headers, status):
    client, _ = server()
    answer = client.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_file_that_never_was_is_not_found():
    client, _ = server()
    job = begun(client, "/$export?_type=Patient").rpartition("/")[2]
    assert client.get(f"/$export-file/{job}/7").status_code == 404


def test_the_statement_lists_the_three_operations():
    client, _ = server()
    found = client.get("/metadata").json()
    (rest,) = found["rest"]
    listed = [one["definition"] for one in rest["operation"]]
    listed += [op["definition"] for one in rest["resource"] for op in one.get("operation", ())]
    assert [one.rpartition("/")[2] for one in listed] == [
        "export",
        "group-export",
        "patient-export",
    ]
    assert found["instantiates"]
