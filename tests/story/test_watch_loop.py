"""The loop: one looks, others work, all end when told, and nothing dies in silence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fhir_adapter.bootstrap.notices import NoticeDesk
from fhir_adapter.bootstrap.watch_loop import Loop
from fhir_adapter.bootstrap.watching import Watching
from fhir_adapter.ports import Look
from fhir_adapter.pull.changes import Pollable
from fhir_adapter.watching import LookedAt, Worked


@dataclass
class Queue:
    """Marks only; the worker here takes them itself."""

    marked: list[str] = field(default_factory=list)
    at_once: bool = False
    cursors: dict[str, str] = field(default_factory=dict)

    def mark(self, patients: Any, reason: str) -> None:
        assert reason
        self.marked.extend(patients)

    def cursor(self, name: str) -> str:
        return self.cursors.get(name, "")

    def keep_cursor(self, name: str, value: str) -> None:
        self.cursors[name] = value


@dataclass
class Worker:
    queue: Queue
    broken: bool = False

    def step(self, limit: int) -> Iterator[Worked]:
        if self.broken:
            raise RuntimeError("a mistake of ours")
        while self.queue.marked and limit:
            limit -= 1
            self.queue.marked.pop()
            yield Worked(reason="poll", judged=1)


class Feed:
    name = "poll:Observation"

    def look(self, cursor: str) -> Look:
        return Look(patients=() if cursor else ("a", "b", "c"), cursor="1")


def watching(queue: Queue, *, broken: bool = False) -> Watching:
    return Watching(
        feeds=(Feed(),),
        pollable=Pollable(types=("Observation",), why_not={}),
        queue=queue,  # type: ignore[arg-type] # stands for the real one
        worker=lambda _number: Worker(queue, broken=broken),  # type: ignore[arg-type,return-value]
        notices=NoticeDesk(read=lambda _told: Look(), queue=queue),  # type: ignore[arg-type] # stands for the real one
        workers=2,
        poll_seconds=0.05,
        waiting=lambda: len(queue.marked),
    )


def test_once_looks_and_works_until_nobody_s_turn_is_left() -> None:
    queue, told = Queue(), list[Any]()
    loop = Loop(watching=watching(queue), told=told.append)
    assert loop.once() == LookedAt(marked=3)
    assert queue.at_once
    assert loop.tally.worked == {"poll": 3}
    assert len(told) == 4


def test_it_goes_on_until_it_is_stopped() -> None:
    queue = Queue()
    worked = threading.Event()
    seen: list[Any] = []

    def told(what: Any) -> None:
        seen.append(what)
        if sum(isinstance(one, Worked) for one in seen) == 3:
            worked.set()

    loop = Loop(watching=watching(queue), told=told)
    thread = threading.Thread(target=loop.forever)
    thread.start()
    assert worked.wait(20)
    loop.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert loop.tally.worked == {"poll": 3}


def test_a_worker_that_dies_takes_the_loop_with_it() -> None:
    loop = Loop(watching=watching(Queue(), broken=True))
    with pytest.raises(RuntimeError, match="mistake"):
        loop.forever()
    assert loop.stopped.is_set()
