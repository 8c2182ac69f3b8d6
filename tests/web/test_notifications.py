"""The rest-hook: who may call it, and that every kind of message marks or wakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fhir_adapter.bootstrap.notices import NoticeDesk
from fhir_adapter.errors import ServerFault
from fhir_adapter.fhir.notification import Notification
from fhir_adapter.ports import Claimed, Look
from fhir_adapter.web import notifications
from fhir_adapter.web.outcomes import say_errors

SECRET = "a shared secret"
HEADERS = {"Authorization": f"Bearer {SECRET}"}


class Queue:
    def __init__(self) -> None:
        self.marked: list[tuple[str, str]] = []

    def mark(self, patients: Any, reason: str) -> None:
        self.marked += [(patient, reason) for patient in patients]

    def claim(self, limit: int) -> Sequence[Claimed]:
        raise AssertionError(limit)

    def done(self, claimed: Claimed, *, next_at: int | None = None) -> bool:
        raise AssertionError(claimed, next_at)

    def failed(self, claimed: Claimed, code: str) -> None:
        raise AssertionError(claimed, code)


def read(told: Notification) -> Look:
    if any(one.get("id") == "broken" for one in told.resources):
        raise ServerFault("no")
    patients = tuple(str(one["id"]) for one in told.resources)
    return Look(patients=patients, why_not="" if patients else "nobody-named")


@pytest.fixture
def desk() -> NoticeDesk:
    return NoticeDesk(read=read, queue=Queue())


@pytest.fixture
def web(desk: NoticeDesk) -> Iterator[TestClient]:
    app = FastAPI()
    say_errors(app, lambda *_: None)
    app.include_router(notifications.router(desk, SECRET))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer no"}, {"Authorization": SECRET}])
def test_a_stranger_is_refused_and_marks_nobody(
    web: TestClient, desk: NoticeDesk, headers: dict[str, str]
) -> None:
    body = {"resourceType": "Patient", "id": "p"}
    assert web.post("/notifications", json=body, headers=headers).status_code == 401
    assert (desk.taken, desk.wake.is_set()) == (0, False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/notifications"),
        ("POST", "/notifications/Patient"),
        ("PUT", "/notifications/Patient/p"),
    ],
)
def test_a_payload_marks_its_patient(
    web: TestClient, desk: NoticeDesk, method: str, path: str
) -> None:
    body = {"resourceType": "Patient", "id": "p"}
    assert web.request(method, path, json=body, headers=HEADERS).status_code == 200
    assert desk.queue.marked == [("p", "notification")]  # type: ignore[attr-defined] # of the one that stands for it
    assert desk.wake.is_set()


def test_an_empty_message_wakes_the_poll(web: TestClient, desk: NoticeDesk) -> None:
    assert web.post("/notifications", headers=HEADERS).status_code == 200
    assert desk.queue.marked == []  # type: ignore[attr-defined] # of the one that stands for it
    assert desk.wake.is_set()


def test_what_cannot_be_looked_up_wakes_the_poll_too(web: TestClient, desk: NoticeDesk) -> None:
    body = {"resourceType": "Patient", "id": "broken"}
    assert web.post("/notifications", json=body, headers=HEADERS).status_code == 200
    assert desk.wake.is_set()


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 400), (b"x" * 5_000_000, 413)])
def test_rubbish_is_refused(web: TestClient, body: bytes, status: int) -> None:
    headers = {**HEADERS, "Content-Type": "application/fhir+json"}
    assert web.post("/notifications", content=body, headers=headers).status_code == status
