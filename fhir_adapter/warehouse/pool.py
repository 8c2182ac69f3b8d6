"""Worker processes for the buckets of one load; with one worker all happens in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Protocol, TypeVar

from fhir_adapter.errors import InternalFault
from fhir_adapter.warehouse.work import Shared, begin

J = TypeVar("J")
R = TypeVar("R")


class Pool(Protocol):
    """Runs one function over many jobs."""

    def run(self, work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        """Results as they come."""
        ...


@contextmanager
def pool(workers: int, shared: Shared) -> Generator[Pool]:
    """Spawned processes that all know what the load shares."""
    if workers == 1:
        begin(shared)
        yield _Here()
        return
    executor = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(shared,)
    )
    try:
        yield _There(executor)
    finally:
        executor.shutdown(cancel_futures=True)


def _begin(shared: Shared) -> None:
    Thread(target=_end_with_parent, name="end with the load", daemon=True).start()
    begin(shared)


def _end_with_parent() -> None:
    """A worker waits for jobs for ever; a load that was killed cannot tell it to stop."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class _Here:
    def run(self, work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        yield from map(work, jobs)


class _There:
    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def run(self, work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
        try:
            for done in as_completed([self._executor.submit(work, job) for job in jobs]):
                yield done.result()
        except BrokenProcessPool:
            raise InternalFault(
                "a worker process died",
                where="cohort load",
                remedy="If memory ran out, take fewer --workers; the tables before stay readable.",
            ) from None
