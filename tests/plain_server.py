"""A web server that gives one answer to whatever it is asked, and remembers what that was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Plain:
    """The answer may be changed while it runs."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    base_url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def plain_server(status: int, body: bytes = b"", **headers: str) -> Iterator[Plain]:
    """Running on this machine; a header's underscores are read as hyphens."""
    plain = Plain(status, body, {name.replace("_", "-"): one for name, one in headers.items()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            plain.asked.append(f"{self.command} {self.path}")
            self.send_response(plain.status)
            for name, value in {**plain.headers, "Content-Length": str(len(plain.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(plain.body)

        do_POST = do_GET  # noqa: N815 - the library's names
        do_PUT = do_GET  # noqa: N815 - likewise

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    plain.base_url = f"http://127.0.0.1:{server.server_port}/fhir"
    try:
        yield plain
    finally:
        server.shutdown()
        server.server_close()
