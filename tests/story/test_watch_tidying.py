"""Beside the patients: a List that is due is written at once, and then once a minute at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from fhir_adapter.bootstrap.watching import _Tidying
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.settings import Settings


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def wait(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass
class Study:
    """Its List is due whenever it is said to be; when it was written."""

    clock: Clock
    due: bool = False
    written: list[datetime] = field(default_factory=list)

    def is_list_due(self) -> bool:
        return self.due

    def list_proposals(self) -> str:
        self.written.append(self.clock.at)
        return "said"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    made = open_ledger(tmp_path / "ledger.sqlite", clock)
    yield made
    made.close()


def test_lists_are_written_once_a_minute_at_most(clock: Clock, ledger: Ledger) -> None:
    studies = [Study(clock), Study(clock)]
    tidy = _Tidying(
        settings=Settings(), ledger=ledger, clock=clock, studies=cast("list[Any]", studies)
    )
    assert tidy() == ()
    clock.wait(seconds=10)
    studies[0].due = True
    assert tidy() == ("said",), "where none was written lately it waits for nothing"
    studies[1].due = True
    for _ in range(5):
        clock.wait(seconds=10)
        assert tidy() == ()
    clock.wait(seconds=10)
    assert tidy() == ("said", "said")
    first = clock.at - timedelta(minutes=1)
    assert [one.written for one in studies] == [[first, clock.at], [clock.at]]
