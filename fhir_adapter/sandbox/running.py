"""The sandbox on 127.0.0.1, in a thread of this process, for as long as a with block lasts."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn

from fhir_adapter.errors import ServerUnreachable
from fhir_adapter.sandbox.app import create_app
from fhir_adapter.sandbox.interactions import Interactions

_LOOPBACK = "127.0.0.1"
_PATIENCE = 15.0
_STEP = 0.02


class RunningSandbox:
    """Starts within 15 seconds or raises; stops at the end of the block. No access log."""

    def __init__(self, server: Interactions, *, port: int = 0) -> None:
        self._interactions = server
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return self._interactions.base

    def __enter__(self) -> Self:
        # the protocol is named: asyncio turns Nagle's delay off only for sockets that say TCP
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((_LOOPBACK, self._port))
        except OSError:
            bound.close()
            raise ServerUnreachable(
                f"port {self._port} is taken", where="sandbox", remedy="Choose another --port."
            ) from None
        self._interactions.base = f"http://{_LOOPBACK}:{bound.getsockname()[1]}"
        config = uvicorn.Config(
            create_app(self._interactions), log_level="critical", access_log=False, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [bound]}, daemon=True
        )
        self._thread.start()
        self._wait()
        return self

    def _wait(self) -> None:
        assert self._server is not None
        for _ in range(int(_PATIENCE / _STEP)):
            if self._server.started:
                return
            time.sleep(_STEP)
        raise ServerUnreachable("the sandbox did not start", where="sandbox", remedy="Try again.")

    def join(self) -> None:
        """Wait until somebody stops it."""
        assert self._thread is not None
        while self._thread.is_alive():
            self._thread.join(0.5)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_PATIENCE)
