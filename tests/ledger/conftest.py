"""A ledger in a fresh file, under a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fhir_adapter.ledger import Ledger, open_ledger

BERLIN = ZoneInfo("Europe/Berlin")


class StandingClock:
    """Says the same moment until told otherwise."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 3, 0, 30, tzinfo=BERLIN)

    def now(self) -> datetime:
        """The moment it stands at."""
        return self.moment

    def wait(self, **time: float) -> None:
        """Move on."""
        self.moment += timedelta(**time)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path, clock: StandingClock) -> Iterator[Ledger]:
    found = open_ledger(path, clock)
    yield found
    found.close()
