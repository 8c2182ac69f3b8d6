"""A listener on 127.0.0.1 that a server can tell of a change; it keeps nothing but that it rang."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Self


class Listener:
    """Answers every request with 200 while a ``with`` block lasts."""

    def __init__(self) -> None:
        rung = self._rung = Event()

        class Ringing(BaseHTTPRequestHandler):
            def _ring(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                rung.set()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:  # noqa: N802 - named by the library
                """Answer."""
                self._ring()

            do_POST = do_PUT = do_GET  # noqa: N815 - likewise

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Ringing)
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/heard"

    def was_called(self) -> bool:
        """Whether anybody rang."""
        return self._rung.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
