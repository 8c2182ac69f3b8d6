"""How many requests one host gets at a time, and how many a second, over all threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock


class Gate:
    """Shared by every client of one host; 0 = no limit.

    >>> with Gate(concurrency=5, per_second=10).passed():
    ...     pass
    """

    def __init__(
        self,
        *,
        concurrency: int = 0,
        per_second: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.concurrency = concurrency
        self._slots = BoundedSemaphore(concurrency) if concurrency else None
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = Lock()
        self._sleep = sleep
        self._clock = clock

    @contextmanager
    def passed(self) -> Generator[None]:
        """Wait for a slot, then for the turn; the slot is free again after the block."""
        if self._slots is None:
            self._wait()
            yield
            return
        with self._slots:
            self._wait()
            yield

    def _wait(self) -> None:
        """Turns are handed out in order, one every 1/per_second seconds."""
        if not self._gap:
            return
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._gap
        if turn > now:
            self._sleep(turn - now)
