"""The file behind the ledger: its mode, its schema, other processes, and what it refuses."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.model.vocabulary import YES, question_code
from tests.ledger.conftest import Place, StandingClock


@pytest.fixture
def place(path: Path) -> Place:
    """A file, in all of these."""
    return Place(address=str(path))


def test_a_new_file_is_readable_by_its_owner_only(ledger: Ledger, path: Path) -> None:
    ledger.audit(who="a", what="read", patient="h1", purpose="CLINTRCH")
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}


def test_the_write_ahead_log_is_on(ledger: Ledger, path: Path) -> None:
    assert ledger.status().decisions == 0
    database = sqlite3.connect(path)
    mode = database.execute("PRAGMA journal_mode").fetchone()
    database.close()
    assert mode == ("wal",)


def test_opening_again_keeps_everything(path: Path, clock: StandingClock) -> None:
    first = open_ledger(path, clock)
    first.decline(patients=["p1"], study="s", who="n", role="coordinator")
    first.close()
    second = open_ledger(path, clock)
    assert second.declined("s", ["p1"]) == {"p1"}
    second.close()


def _foreign(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE shopping (item TEXT)")
    database.commit()
    database.close()


def _garbage(path: Path) -> None:
    path.write_text("this is no database " * 100)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(_foreign, "ledger-foreign", id="another program's database"),
        pytest.param(_garbage, "ledger-fault", id="no database at all"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(
    path: Path, clock: StandingClock, make: Callable[[Path], None], code: str
) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(SettingInvalid, match=code):
        open_ledger(path, clock)
    assert len(path.read_bytes()) == len(before)


def test_a_missing_folder_is_named_as_the_trouble(tmp_path: Path, clock: StandingClock) -> None:
    with pytest.raises(SettingInvalid, match="Create its folder"):
        open_ledger(tmp_path / "nowhere" / "ledger.sqlite", clock)


def test_a_database_error_quotes_no_patient_data(
    ledger: Ledger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = sqlite3.connect(path)
    database.execute("DROP TABLE declines")
    database.commit()
    database.close()
    with caplog.at_level(logging.DEBUG), pytest.raises(SettingInvalid) as caught:
        ledger.decline(patients=["canary-id"], study="s", who="Canary Name", role="r")
    said = f"{caught.value!r} {caught.value} {caught.value.__context__} {caplog.text}"
    assert "anary" not in said


_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from fhir_adapter.ledger import open_ledger

class Now:
    def now(self):
        return datetime.now(UTC)

ledger = open_ledger(Path(sys.argv[1]), Now())
for number in range(int(sys.argv[3])):
    ledger.audit(who=sys.argv[2], what="read", patient=f"h{number}", purpose="TREAT")
    print(number, flush=True)
"""


def _writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


@pytest.mark.slow
def test_two_processes_make_and_fill_one_ledger(path: Path, clock: StandingClock) -> None:
    writers = [_writer(path, name, 40) for name in ("a", "b", "c")]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    ledger = open_ledger(path, clock)
    assert ledger.status().audit == 120
    ledger.close()


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(path: Path, clock: StandingClock) -> None:
    writer = _writer(path, "a", 100_000)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(20)][-1] + 1
    writer.kill()
    rest = writer.stdout.read()  # communicate() would lose what is buffered already
    writer.stdout.close()
    writer.wait(timeout=60)
    ledger = open_ledger(path, clock)
    kept = ledger.status().audit
    ledger.add_answer(
        patient="p", study="s", question=question_code("s", "q"), value=YES, who="w", role="r"
    )
    ledger.close()
    assert acknowledged + len(rest.split()) <= kept <= acknowledged + len(rest.split()) + 1
