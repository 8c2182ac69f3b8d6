"""A lease of a run that is gone holds nobody up; one of a run that lives does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from fhir_adapter.ledger import Mark, at_work, worker_of
from fhir_adapter.ledger.workers import gone


@pytest.fixture
def ended() -> int:
    """Number of a process that has run and is no more."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_run_of_this_process_is_gone_once_it_has_ended() -> None:
    with at_work("a"):
        assert gone([worker_of("a"), worker_of("a", "3")]) == []
    assert gone([worker_of("a"), worker_of("a", "3")]) == [worker_of("a"), worker_of("a", "3")]


def test_another_process_of_this_machine_is_looked_for(ended: int) -> None:
    host = socket.gethostname()
    alive, dead = f"b@{os.getppid()}@{host}", f"b@{ended}@{host}"
    assert gone([alive, dead]) == [dead]


HOST = socket.gethostname()


@pytest.mark.parametrize("worker", ["", "b", "b@1@elsewhere.example", f"b@x@{HOST}"])
def test_of_others_nothing_is_known(worker: str) -> None:
    assert gone([worker]) == []


def test_what_the_gone_held_is_free_and_what_others_hold_is_not(ledger: Any, ended: int) -> None:
    now = 1_000_000
    marks = [Mark(patient=one, reason="poll", seen_at=0, not_before=now) for one in ("p", "q")]
    ledger.changed.mark_all(marks)
    dead, other = f"b@{ended}@{socket.gethostname()}", f"b@{ended}@elsewhere.example"
    assert len(ledger.changed.claim(dead, now, 1)) == len(ledger.changed.claim(other, now, 1)) == 1
    ledger.changed.free(now)
    assert [one.patient for one in ledger.changed.claim("c", now, 5)] == ["p"]
