"""Files of an export fetched in threads while those that are there are being read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Event, Thread

from fhir_adapter.client.bulk_files import Fetched

_THREADS = 2
_PATIENCE = 2.0
"""Seconds to wait for a thread at the end; one that hangs on a dead connection is left behind."""


class Fetching:
    """Begins at once, in the order given; memory is one chunk per thread, the rest is on disk."""

    def __init__(
        self, fetch: Callable[[str], Fetched], names: Sequence[str], *, stop: Event
    ) -> None:
        self._fetch = fetch
        self._stop = stop
        self._found: dict[str, Future[Fetched]] = {name: Future() for name in names}
        self._waiting: SimpleQueue[str] = SimpleQueue()
        for name in names:
            self._waiting.put(name)
        # daemons: a process that is told to end does not wait for a network
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def result(self, name: str) -> Fetched:
        """Wait for one; raises what fetching it raised."""
        return self._found[name].result()

    def ready(self) -> list[Fetched]:
        """Those that are there already."""
        done = (one for one in self._found.values() if one.done())
        return [one.result() for one in done if one.exception() is None]

    def close(self) -> None:
        """Stop after the present chunks."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                name = self._waiting.get_nowait()
            except Empty:
                return
            try:
                found = self._fetch(name)
            except BaseException as fault:  # noqa: BLE001 - raised again where the file is wanted
                self._found[name].set_exception(fault)
            else:
                self._found[name].set_result(found)
