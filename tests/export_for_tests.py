"""Loads from a server, and a small server that fails in the ways that the sandbox does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fhir_adapter.bootstrap.bulk import EXPORTED, Exported, FromServer, load_from_server
from fhir_adapter.ports import LoadCounts
from fhir_adapter.pull.server_export import ExportStep
from fhir_adapter.settings import Settings

from cohort_store import write_lines

AT = "2026-11-22T06:00:00.000Z"


def from_server(
    url: str, store: Path, *, update: bool = False, token: str = "", **more: Any
) -> tuple[LoadCounts, Exported, list[ExportStep]]:
    told: list[ExportStep] = []
    steps = load_from_server(
        Settings(record_server=url, record_token=token),
        store,
        FromServer(**more),
        workers=1,
        update=update,
        told=told.append,
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            counts, exported = end.value
            return counts, exported, told


def touched(folder: Path) -> Path:
    """The folder, with an empty file of each type that an export is asked for and has not."""
    for name in EXPORTED:
        (folder / f"{name}.ndjson").touch()
    return folder


@dataclass
class File:
    """One file of the manifest."""

    type: str
    data: bytes
    role: str = "output"
    count: int | None = None
    url: str = ""
    """Another address than this server's."""
    cut: list[int] = field(default_factory=list[int])
    """Bytes after which each of the first answers breaks off."""
    stall: threading.Event | None = None
    """Waited for in the middle of the file."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunked: bool = False


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class FaultServer:
    """An exporting server; what it does is what its fields say."""

    files: list[File] = field(default_factory=list[File])
    url: str = ""
    seen: list[Asked] = field(default_factory=list[Asked])
    ranges: bool = True
    etags: list[str] = field(default_factory=lambda: ['"1"'])
    """Of each answer with a file; the last one stays."""
    needs_token: bool = False
    kick_off: tuple[int, dict[str, str], Any] = (202, {}, None)
    """Status, further headers, body."""
    status: list[tuple[int, dict[str, str], Any]] = field(
        default_factory=list[tuple[int, dict[str, str], Any]]
    )
    """Answers before the manifest; the last one stays where ``ready`` is not set."""
    ready: bool = True
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, kind: str, resources: list[Any], **more: Any) -> File:
        lines = (one if isinstance(one, str) else json.dumps(one) for one in resources)
        data = "".join(f"{line}\n" for line in lines).encode()
        made = File(type=kind, data=data, **more)
        self.files.append(made)
        return made

    def folder(self, path: Path) -> Path:
        """The same as a folder."""
        for number, file in enumerate(self.files):
            if file.role == "output":
                write_lines(path / f"{number}.{file.type}.ndjson", file.data.decode().splitlines())
        return touched(path)

    def paths(self, method: str, part: str) -> list[str]:
        return [one.path for one in self.seen if one.method == method and part in one.path]

    def of_file(self, number: int) -> list[Asked]:
        return [one for one in self.seen if one.path == f"/files/{number}"]

    def listed(self) -> dict[str, Any]:
        found: dict[str, Any] = {"output": [], "deleted": [], "error": []}
        for number, file in enumerate(self.files):
            entry: dict[str, Any] = {"type": file.type, "url": file.url or self._of(number)}
            if file.count is not None:
                entry["count"] = file.count
            found[file.role].append(entry)
        return {
            "transactionTime": AT,
            "request": f"{self.url}/$export",
            "requiresAccessToken": self.needs_token,
            **found,
            **self.manifest,
        }

    def _of(self, number: int) -> str:
        return f"{self.url.removesuffix('/fhir')}/files/{number}"


_METADATA = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": []}


class Handler(BaseHTTPRequestHandler):
    fault: FaultServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.fault.seen.append(Asked("GET", self.path, dict(self.headers)))
        if self.path.startswith("/files/"):
            self.file(self.fault.files[int(self.path.rpartition("/")[2])])
        elif self.path.endswith("/metadata"):
            self.say(200, {}, _METADATA)
        elif "/$export" in self.path:
            status, headers, body = self.fault.kick_off
            place = {"Content-Location": f"{self.fault.url}/status/1"} if status == 202 else {}
            self.say(status, {**place, **headers}, body)
        elif self.fault.status:
            last = not self.fault.ready and len(self.fault.status) == 1
            self.say(*(self.fault.status[0] if last else self.fault.status.pop(0)))
        else:
            self.say(200, {}, self.fault.listed())

    def do_DELETE(self) -> None:
        self.fault.seen.append(Asked("DELETE", self.path, dict(self.headers)))
        self.say(202, {}, None)

    def say(self, status: int, headers: dict[str, str], body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        own = {"Content-Length": str(len(data)), "Connection": "close"}
        for name, value in {**headers, **own}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def file(self, file: File) -> None:
        if file.status != 200:
            self.say(file.status, file.headers, None)
            return
        data, start = file.data, 0
        asked = self.headers.get("Range", "")
        if asked and self.fault.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.send_header("Content-Range", place)
        etags = self.fault.etags
        self.send_header("ETag", etags.pop(0) if len(etags) > 1 else etags[0])
        self.body(file, data[start:])

    def body(self, file: File, data: bytes) -> None:
        length = {} if file.chunked else {"Content-Length": str(len(data))}
        if file.chunked:
            length = {"Transfer-Encoding": "chunked"}
        for name, value in {"Connection": "close", **length, **file.headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        cut = file.cut.pop(0) if file.cut else None
        if file.stall is not None and cut is None:
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            file.stall.wait(30)
            data = data[half:]
        data = data[:cut]
        if file.chunked:
            data = f"{len(data):x}\r\n".encode() + data + b"\r\n"
            data += b"" if cut is not None else b"0\r\n\r\n"
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        del args


@contextmanager
def fault_server(**given: Any) -> Generator[FaultServer]:
    made = FaultServer(**given)
    running = ThreadingHTTPServer(("127.0.0.1", 0), type("Faulty", (Handler,), {"fault": made}))
    running.daemon_threads = True
    made.url = f"http://127.0.0.1:{running.server_port}/fhir"
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def until(there: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that happens in another process."""
    for _ in range(int(seconds / 0.05)):
        if there():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")
