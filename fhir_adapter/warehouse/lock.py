"""One load at a time: a lock that the operating system takes away from a process that died."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from fhir_adapter.errors import StoreBusy


@contextmanager
def locked(store: Path) -> Generator[None]:
    """Hold the store's lock; StoreBusy at once where somebody else does.

    SQLite's file lock is used because it is the same on every platform.
    """
    with closing(sqlite3.connect(store / "lock", timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise StoreBusy(
                "another load is writing to this store",
                where="store",
                remedy="Wait until it has ended; what was there before can be read meanwhile.",
            ) from None
        yield
