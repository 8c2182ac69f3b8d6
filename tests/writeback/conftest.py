"""A server in memory and a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fhir_adapter.ledger import Ledger, open_ledger
from tests.writeback.memory_server import MemoryServer


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = open_ledger(tmp_path / "ledger.sqlite", _Clock())
    yield found
    found.close()
