"""The loop of watching: one thread looks, a fixed number of others work, until somebody says stop.

A worker that dies of an error of ours takes the whole loop with it: half a service that goes on as
if nothing had happened is worse than none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from fhir_adapter.bootstrap.watching import Watching
from fhir_adapter.watching import LookedAt, Tally, Watch, Worked, look

AT_ONCE = 5
"""Patients that one worker takes at a time: few, so that a killed one leaves few to their lease."""
_IDLE = 0.5
"""Seconds until an idle worker asks the queue again."""


@dataclass(slots=True, kw_only=True)
class Loop:
    """Runs a Watching; ``told`` hears of every look and of every patient's work, never of whom."""

    watching: Watching
    told: Callable[[LookedAt | Worked], None] = lambda _what: None
    stopped: threading.Event = field(default_factory=threading.Event)
    tally: Tally = field(default_factory=Tally)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """Every thread ends after the patient it is at."""
        self.stopped.set()
        self.watching.notices.wake.set()

    def once(self) -> LookedAt:
        """One look, then work until nobody's turn is left; who waits for a date waits on."""
        self.watching.queue.at_once = True
        seen = self._look()
        worker = self.watching.worker(0)
        while not self.stopped.is_set() and self._step(worker):
            pass
        return replace(seen, remedies=(*seen.remedies, *self.watching.tidy()))

    def forever(self) -> None:
        """Until ``stop``; raises what a thread died of."""
        with ThreadPoolExecutor(self.watching.workers + 1) as pool:
            threads = [pool.submit(self._looking)]
            threads += [pool.submit(self._working, n) for n in range(self.watching.workers)]
            try:
                done, _ = wait(threads, return_when=FIRST_EXCEPTION)
            finally:
                self.stop()
        for one in done:
            one.result()

    def _looking(self) -> None:
        wake = self.watching.notices.wake
        while not self.stopped.is_set():
            wake.clear()
            self._look()
            wake.wait(self.watching.poll_seconds)

    def _working(self, number: int) -> None:
        worker = self.watching.worker(number)
        while not self.stopped.is_set():
            if not self._step(worker):
                self.stopped.wait(_IDLE)

    def _look(self) -> LookedAt:
        looked = look(self.watching.feeds, self.watching.queue, self.watching.queue)
        seen = replace(looked, remedies=(*looked.remedies, *self.watching.tidy()))
        self.told(seen)
        return seen

    def _step(self, worker: Watch) -> bool:
        """Whether there was anything to do."""
        done = False
        for one in worker.step(AT_ONCE):
            done = True
            with self._lock:
                self.tally.add(one)
            self.told(one)
            if self.stopped.is_set():
                break
        return done
