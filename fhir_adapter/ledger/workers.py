"""Who holds a lease: a run, on a machine, in a process. One that is gone holds nothing.

A lease is there for a worker of another machine that has died unseen. Of this machine's own it can
be told at once, so that a run after a kill does not wait for it, and one beside a live one does.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Iterable
from contextlib import contextmanager

_HERE: set[str] = set()
"""Runs at work in this process."""


@contextmanager
def at_work(run: str) -> Generator[None]:
    """As long as it lasts, what this run's workers hold is theirs."""
    _HERE.add(run)
    try:
        yield
    finally:
        _HERE.discard(run)


def worker_of(run: str, part: str = "") -> str:
    """The name under which a run, or a part of it, takes what it works on."""
    name = f"{run}/{part}" if part else run
    return f"{name}@{os.getpid()}@{socket.gethostname()}"


def gone(workers: Iterable[str]) -> list[str]:
    """Those that certainly work no more; of another machine nothing is known."""
    return [worker for worker in workers if _is_gone(worker)]


def _is_gone(worker: str) -> bool:
    run, _, rest = worker.partition("@")
    number, _, host = rest.partition("@")
    if host != socket.gethostname() or not number.isdecimal():
        return False
    if int(number) == os.getpid():
        return run.partition("/")[0] not in _HERE
    return not _is_running(int(number))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or it cannot be told here
        return True
    return True
