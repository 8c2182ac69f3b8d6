"""A fresh ledger under a clock that stands still until it is moved; on SQLite, or PostgreSQL too.

A test that takes ``place`` or ``ledger`` runs on both (PostgreSQL with the marker ``servers``);
one that takes ``path`` is about the SQLite file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_adapter.ledger import Ledger, open_ledger
from tests.servers.postgres_for_tests import PASSWORD, Postgres, binaries, postgres

BERLIN = ZoneInfo("Europe/Berlin")
KEY = "the key of a site"


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


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a ledger is, and a way to its tables that is not ours."""

    address: str
    password: str = ""
    server: Postgres | None = None
    database: str = ""

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """One statement, committed."""
        if self.server is not None:
            return self.server.execute(self.database, statement)
        database = sqlite3.connect(self.address)
        try:
            found = database.execute(statement).fetchall()
            database.commit()
        finally:
            database.close()
        return found

    def open(self, clock: StandingClock, *, site_key: str = KEY) -> Ledger:
        """The ledger."""
        return open_ledger(self.address, clock, password=self.password, site_key=site_key)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    if binaries() is None:
        pytest.skip("no PostgreSQL is installed (Debian: postgresql)")
    with postgres() as running:
        yield running


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.servers, pytest.mark.untraced])]
)
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    if request.param == "sqlite":
        return Place(address=str(path))
    server = request.getfixturevalue("server")
    name = server.new_database()
    return Place(address=server.address(name), password=PASSWORD, server=server, database=name)


@pytest.fixture
def ledger(place: Place, clock: StandingClock) -> Iterator[Ledger]:
    found = place.open(clock)
    yield found
    found.close()
