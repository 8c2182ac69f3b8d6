"""A PostgreSQL of Debian's on a free port of 127.0.0.1, for as long as a block lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pg8000.dbapi

USER, PASSWORD = "adapter", "a/secret@of:tests"
_NUMBERS = count(1)


def binaries() -> Path | None:
    """The folder of the newest installed version; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A server; ``new_database`` makes an empty database on it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def new_database(self) -> str:
        """Its name; its owner is USER."""
        name = f"ledger_{os.getpid()}_{next(_NUMBERS)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return name

    def address(self, database: str) -> str:
        """As the setting has it, without a password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def execute(self, database: str, statement: str) -> list[tuple[object, ...]]:
        """One statement, committed by itself; what it answers."""
        link = self._link(database)
        try:
            link.autocommit = True
            cursor = link.cursor()
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            link.close()

    @contextmanager
    def held(self, database: str, statement: str) -> Iterator[list[tuple[object, ...]]]:
        """What one statement answers; its transaction, and so its locks, last as the block does."""
        link = self._link(database)
        try:
            cursor = link.cursor()
            cursor.execute(statement)
            yield [tuple(row) for row in cursor.fetchall()]
        finally:
            link.rollback()
            link.close()

    def _link(self, database: str) -> pg8000.dbapi.Connection:
        return pg8000.dbapi.connect(
            USER, host="127.0.0.1", port=self.port, database=database, password=PASSWORD,
            ssl_context=False,
        )  # fmt: skip


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Started now, gone with its folder at the end; root runs it as ``postgres``."""
    where = binaries()
    assert where is not None, "no PostgreSQL is installed"
    account = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if account:
            entry = pwd.getpwnam(account)
            for path in (folder, folder / "password"):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        made = [
            where / "initdb", "-D", folder / "data", "-U", USER, "-E", "UTF8", "--no-sync",
            "--auth=scram-sha-256", f"--pwfile={folder / 'password'}",
        ]  # fmt: skip
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        control = [where / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
        _run(made, account)
        _run([*control, "-o", options, "start"], account)
        try:
            yield Postgres(port)
        finally:
            _run([*control, "-m", "immediate", "stop"], account)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[object], account: str | None) -> None:
    words = [str(word) for word in command]
    # pg_ctl's server keeps what it inherits: a pipe would never end
    done = subprocess.run(
        words, user=account, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, words[0]
