"""Worker processes of a load: what they say, and what is left when one side is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from warehouse.test_one_answer import patient

from fhir_adapter.errors import InternalFault
from fhir_adapter.warehouse.lock import locked

from cohort_store import loaded, opened, pulled, stored, write_lines

ROOT = Path(__file__).parents[2]
VALUE = "Zanzibarius"
MANY = 4000
BULKY = {"text": {"status": "generated", "div": f"<div>{'x' * 6000}</div>"}}
"""So that the load has several buckets."""


def quoting(*_: Any) -> NoReturn:
    """A BucketReader whose library quotes what it could not read."""
    raise ValueError(f"invalid literal: {VALUE!r}")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_lines(tmp_path / "in" / "Patient.ndjson", [patient(str(n)) for n in range(20)])
    loaded(tmp_path / "in", tmp_path / "store", bucket_bytes=1000)
    return tmp_path / "store"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_could_not_read_is_quoted_nowhere(store, tmp_path, workers, caplog, capfd):
    """The text would travel with the exception: as its cause, or in the worker's traceback."""
    with pytest.raises(InternalFault, match="failed with ValueError") as caught:
        loaded(tmp_path / "in", store, reader=quoting, workers=workers)
    fault = caught.value
    shown = "".join(traceback.format_exception(fault))
    assert "in safely" in shown, "the worker's own traceback is there, without the text"
    told = capfd.readouterr()
    assert VALUE not in f"{fault} {fault!r} {fault.__cause__} {shown} {caplog.text} {told}"
    assert len(stored(store)) == 20


@pytest.fixture
def big(tmp_path: Path) -> Path:
    write_lines(
        tmp_path / "big" / "Patient.ndjson", [patient(f"b{n}") | BULKY for n in range(MANY)]
    )
    return tmp_path / "big"


@pytest.fixture
def running(big: Path, store: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "fhir_adapter", "cohort", "load", str(big)]
    process = subprocess.Popen(
        [*command, "--store", str(store), "--workers", "2"], cwd=ROOT, start_new_session=True
    )
    yield process
    if members(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def members(group: int) -> list[int]:
    """Living processes of a group, as the kernel tells it."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_for(there: Callable[[], Any], process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, "it never came"
        assert process is None or process.poll() is None, "the load was over before"
        time.sleep(0.001)


PHASES = {
    "split": "loading",
    "normalise": "loading/*/fact.arrow",
    "write": "bucket=*/load=0002/fact.parquet",
    "about to switch": "shared/load=0002/*",
}


@pytest.mark.deep
@pytest.mark.parametrize("phase", PHASES)
def test_a_load_killed_in_any_phase_leaves_the_tables_before(big, store, running, phase):
    """kill -9 to all of it, once the phase is seen on the disk."""
    wait_for(lambda: any(store.glob(PHASES[phase])), running)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    left = {20, MANY} if phase == "about to switch" else {20}
    assert len(stored(store)) in left
    loaded(big, store)
    assert stored(store) == pulled(big)[0]


@pytest.mark.deep
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are told by /proc here")
def test_workers_end_with_the_process_that_was_killed(store, running):
    """Else each kill for want of memory leaves processes that hold some of it for ever."""
    wait_for(lambda: any(store.glob(PHASES["normalise"])), running)
    assert len(members(running.pid)) >= 3, "the parent and two workers"
    running.kill()
    running.wait()
    wait_for(lambda: not members(running.pid))
    with locked(store):
        assert len(opened(store).buckets) > 1
