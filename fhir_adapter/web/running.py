"""Running the service until somebody stops it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from fhir_adapter.errors import ServerUnreachable

_GRACE = 10
"""Seconds that running requests are given at the end."""
_LEAVE = 5
"""Seconds that the process then waits for threads that wait for a server."""


def run_until_stopped(app: FastAPI, *, host: str, port: int, said: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, finish what runs, then return. No access log.

    ``said`` is given the address once the port is ours; ServerUnreachable where it is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)  # callers wait from now on until the application is up
    except OSError:
        bound.close()
        raise ServerUnreachable(
            f"port {port} cannot be used", where="serve", remedy="Choose another --port or --host."
        ) from None
    with bound:
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        server = uvicorn.Server(config)
        with _signals_end(server):
            said(f"http://{host}:{bound.getsockname()[1]}")
            server.run(sockets=[bound])


def leave_in_time(seconds: float = _LEAVE) -> None:
    """End the process with status 0 at last, although a thread still waits for a server.

    Call it when all is closed. A thread that waits for an answer cannot be stopped, and Python
    waits for it; nothing is lost, for whatever must last is in the ledger.
    """
    last = threading.Timer(seconds, os._exit, (0,))
    last.daemon = True
    last.start()


@contextmanager
def _signals_end(server: uvicorn.Server) -> Generator[None]:
    """A signal ends the server, also one that comes before the server listens to signals.

    uvicorn raises the signal that stopped it once more; it has done its work by then.
    """

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    kept = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in kept.items():
            signal.signal(one, handler)
