"""One service for the tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from web.web_for_tests import client, service

from fhir_adapter.bootstrap import hooking
from fhir_adapter.bootstrap.service import Service


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is no machine's speed; the deadline has a test of its own."""
    monkeypatch.setattr(hooking, "HOOK_DEADLINE", 20)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Service]:
    with service(tmp_path) as found:
        yield found


@pytest.fixture
def web(made: Service) -> Iterator[TestClient]:
    with client(made) as found:
        yield found
