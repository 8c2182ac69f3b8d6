"""How many requests one host gets at a time and a second, and when none, over all threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
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
        self._until = 0.0
        self._lock = Lock()
        self._sleep = sleep
        self._clock = clock

    @contextmanager
    def passed(self) -> Generator[None]:
        """Wait for a slot, then for the turn; the slot is free afterwards."""
        with self._slots or nullcontext():
            self._wait()
            yield

    def stand(self, sleep: Callable[[float], None]) -> None:
        """Wait for the end of a hold, before a slot is asked for.

        Once: who is told again meanwhile holds those who come later, not those who stand here, or
        one question could wait for ever.
        """
        left = self._until - self._clock()
        if left > 0:
            sleep(left)

    def hold(self, seconds: float) -> float:
        """Nobody passes for so long: the host said Retry-After to one of us. Until when."""
        with self._lock:
            until = self._clock() + seconds
            self._until = max(self._until, until)
            return until

    @contextmanager
    def held(self, seconds: float) -> Generator[None]:
        """Hold as long as the block lasts, in which the one who was told waits so long."""
        mine = self.hold(seconds)
        try:
            yield
        finally:
            with self._lock:
                if self._until == mine:  # nobody has been told anything later
                    self._until = 0.0

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
