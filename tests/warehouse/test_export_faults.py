"""Exports that break off, expire, lie or refuse make no smaller cohort; runs go on."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from warehouse.test_one_answer import lab, patient

from fhir_adapter.errors import (
    ExportLost,
    NotFhir,
    ServerBroken,
    ServerRefused,
    ServerThrottled,
    StoreMissing,
    StoreUnwritable,
)
from fhir_adapter.pull.server_export import ServerExport

from cohort_store import loaded, opened, stored
from export_for_tests import FaultServer, fault_server, from_server, until

ROOT = Path(__file__).parents[2]
TEN = [str(number) for number in range(10)]
DONE = [(202, {"Retry-After": "0"}, None)]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as made:
        made.add("Observation", [lab(one, f"o{one}") for one in TEN])
        made.add("Patient", [patient(one) for one in TEN])
        yield made


class Naps(list[float]):
    """How long the downloads would have slept between two tries."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], object] = int

    def event(self) -> threading.Event:
        naps = self

        class Impatient(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                naps.append(timeout or 0.0)
                naps.then()
                return self.is_set()

        return Impatient()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> Naps:
    made = Naps()
    monkeypatch.setattr("fhir_adapter.client.bulk_files.Event", made.event)
    return made


def same(server: FaultServer, tmp_path: Path) -> None:
    loaded(server.folder(tmp_path / "same"), tmp_path / "f")
    assert stored(tmp_path / "s") == stored(tmp_path / "f")


def nothing(store: Path) -> None:
    with pytest.raises(StoreMissing):
        opened(store)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_is_cut_off_goes_on_or_begins_again(server, tmp_path, ranges, chunked):
    server.ranges = ranges
    server.files[0].cut = [700]
    server.files[0].chunked = chunked
    from_server(server.url, tmp_path / "s")
    same(server, tmp_path)
    asked = [one.headers.get("Range") for one in server.of_file(0)]
    assert asked == [None, "bytes=700-"]


@pytest.mark.slow
def test_bytes_of_another_version_are_not_appended(server, tmp_path):
    server.files[0].cut = [700]
    server.etags = ['"1"'] * 2 + ['"2"'] * 9
    from_server(server.url, tmp_path / "s")
    same(server, tmp_path)
    asked = [one.headers.get("Range") for one in server.of_file(0)]
    assert asked == [None, "bytes=700-", None]


@pytest.mark.slow
def test_a_weak_tag_proves_nothing_but_the_same_length_does(server, tmp_path):
    server.files[0].cut = [700]
    server.etags = ['W/"1"']
    from_server(server.url, tmp_path / "s")
    same(server, tmp_path)
    assert len(server.of_file(0)) == 2
    server.files[0].cut = [700]
    server.files[0].chunked = True  # no length in the first answer: nothing to compare with
    from_server(server.url, tmp_path / "s", fresh=True)
    same(server, tmp_path)
    assert [one.headers.get("Range") for one in server.of_file(0)[2:]] == [None, "bytes=700-", None]


def test_a_web_page_is_no_file(server, tmp_path):
    server.files[0].headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(NotFhir, match="a web page"):
        from_server(server.url, tmp_path / "s")
    nothing(tmp_path / "s")


def test_a_file_that_is_cut_off_for_good_switches_nothing(server, tmp_path, naps):
    server.ranges = False
    server.files[0].cut = [700] * 50
    with pytest.raises(ServerBroken, match="cut off") as caught:
        from_server(server.url, tmp_path / "s")
    assert "goes on with what is missing" in caught.value.remedy
    nothing(tmp_path / "s")
    server.files[0].cut = []
    server.ranges = True
    _, exported, _ = from_server(server.url, tmp_path / "s")
    assert exported.resumed
    assert len(server.paths("GET", "$export")) == 1
    assert len(server.of_file(1)) == 1
    same(server, tmp_path)


def test_no_room_for_a_download_is_said_and_switches_nothing(server, tmp_path, naps, monkeypatch):
    loaded(server.folder(tmp_path / "before"), tmp_path / "s")
    before = stored(tmp_path / "s")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/Jane_Doe")

    monkeypatch.setattr("fhir_adapter.client.bulk_files.BulkFiles._pour", full)
    with pytest.raises(StoreUnwritable, match="disk is full") as caught:
        from_server(server.url, tmp_path / "s")
    assert "Jane" not in str(caught.value)
    monkeypatch.undo()
    assert stored(tmp_path / "s") == before
    from_server(server.url, tmp_path / "s")
    assert stored(tmp_path / "s") == before


def test_a_file_without_any_length_is_believed_only_with_a_count(server, tmp_path):
    server.files[0].headers = {"Content-Length": "", "Connection": "close"}
    with pytest.raises(ServerBroken, match="without length"):
        from_server(server.url, tmp_path / "s")
    nothing(tmp_path / "s")
    server.files[0].count = 10
    from_server(server.url, tmp_path / "s", fresh=True)
    same(server, tmp_path)


@pytest.mark.parametrize("count", [9, 11])
def test_another_number_of_resources_than_the_manifest_counts_is_an_error(
    server, tmp_path, naps, count
):
    server.files[0].count = count
    with pytest.raises(ServerBroken, match=f"holds 10 resources where the manifest counts {count}"):
        from_server(server.url, tmp_path / "s")
    nothing(tmp_path / "s")
    server.files[0].count = 10
    from_server(server.url, tmp_path / "s", fresh=True)
    same(server, tmp_path)


@pytest.mark.slow
def test_a_compressed_answer_is_kept_compressed_and_goes_on_where_it_was(server, tmp_path):
    plain = server.files[0].data
    server.files[0].data = gzip.compress(plain)
    server.files[0].headers = {"Content-Encoding": "gzip"}
    server.files[0].cut = [60]
    from_server(server.url, tmp_path / "s")
    assert "0002.Observation.ndjson.gz" in opened(tmp_path / "s").manifest.files
    assert [one.headers.get("Range") for one in server.of_file(0)] == [None, "bytes=60-"]
    server.files[0].data = plain
    same(server, tmp_path)


def test_a_compression_that_nobody_asked_for_is_an_error(server, tmp_path):
    server.files[0].headers = {"Content-Encoding": "br"}
    with pytest.raises(NotFhir, match="compressed as nobody asked"):
        from_server(server.url, tmp_path / "s")
    nothing(tmp_path / "s")


def test_a_busy_file_is_waited_for(server, tmp_path, naps):
    server.files[1].status = 503
    server.files[1].headers = {"Retry-After": "17"}
    naps.then = lambda: setattr(server.files[1], "status", 200)
    from_server(server.url, tmp_path / "s")
    assert naps == [17.0]
    same(server, tmp_path)


@pytest.mark.parametrize("status", [404, 410])
def test_an_expired_file_ends_the_run_and_the_next_one_starts_anew(server, tmp_path, status):
    server.files[0].status = status
    with pytest.raises(ExportLost, match="no longer there") as caught:
        from_server(server.url, tmp_path / "s")
    assert caught.value.exit_status == 3
    nothing(tmp_path / "s")
    assert server.paths("DELETE", "status") == ["/fhir/status/1"]
    server.files[0].status = 200
    _, exported, _ = from_server(server.url, tmp_path / "s")
    assert not exported.resumed
    assert len(server.paths("GET", "$export")) == 2
    same(server, tmp_path)


def test_an_export_that_expired_between_two_runs_is_begun_anew_at_once(server, tmp_path):
    server.status = [(202, {"Retry-After": "90000"}, None)]
    with pytest.raises(ServerThrottled):
        from_server(server.url, tmp_path / "s")
    assert server.paths("DELETE", "status") == []
    server.status = [(404, {}, None)]
    _, exported, _ = from_server(server.url, tmp_path / "s")
    assert not exported.resumed
    assert len(server.paths("GET", "$export")) == 2
    same(server, tmp_path)


def test_waiting_goes_on_for_the_same_export(server, tmp_path):
    server.status = [(202, {"Retry-After": "90000"}, None)]
    with pytest.raises(ServerThrottled):
        from_server(server.url, tmp_path / "s")
    _, exported, _ = from_server(server.url, tmp_path / "s")
    assert exported.resumed
    assert len(server.paths("GET", "$export")) == 1
    same(server, tmp_path)


def test_another_question_or_a_fresh_start_takes_the_old_export_back(server, tmp_path):
    for number, more in enumerate([{}, {"without": ("Consent",)}, {"fresh": True}]):
        server.status = [(202, {"Retry-After": "90000"}, None)]
        with pytest.raises(ServerThrottled):
            from_server(server.url, tmp_path / "s", **more)
        assert len(server.paths("DELETE", "status")) == number


def test_a_run_that_died_after_the_switch_is_done_with_and_the_next_asks_anew(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(ServerExport, "finish", ServerExport.close)
    from_server(server.url, tmp_path / "s")
    monkeypatch.undo()
    assert (tmp_path / "s" / "download" / "export.json").exists()
    server.manifest = {"transactionTime": "2026-11-23T06:00:00.000Z"}
    _, exported, _ = from_server(server.url, tmp_path / "s")
    assert not exported.resumed
    assert exported.transaction_time.startswith("2026-11-23")
    assert len(server.paths("GET", "$export")) == 2


def test_a_finished_file_that_something_happened_to_is_fetched_again(server, tmp_path, naps):
    server.files[0].cut = [0] * 50
    with pytest.raises(ServerBroken):
        from_server(server.url, tmp_path / "s")
    kept = tmp_path / "s" / "download" / "0001.Patient.ndjson"
    kept.write_bytes(kept.read_bytes()[:100])
    server.files[0].cut = []
    from_server(server.url, tmp_path / "s")
    assert len(server.of_file(1)) == 2
    same(server, tmp_path)


def test_parts_without_a_state_are_of_nothing(server, tmp_path, naps):
    server.files[0].cut = [700] * 50
    server.ranges = False
    with pytest.raises(ServerBroken):
        from_server(server.url, tmp_path / "s")
    folder = tmp_path / "s" / "download"
    assert (folder / "0002.Observation.part").exists()
    (folder / "export.json").write_bytes(b"{")
    server.files[0].cut = []
    server.ranges = True
    asked = len(server.of_file(0))
    from_server(server.url, tmp_path / "s")
    assert [one.headers.get("Range") for one in server.of_file(0)[asked:]] == [None]
    same(server, tmp_path)


def test_what_is_downloaded_is_its_owners_alone(server, tmp_path, naps):
    server.files[0].cut = [0] * 50
    with pytest.raises(ServerBroken):
        from_server(server.url, tmp_path / "s")
    folder = tmp_path / "s" / "download"
    assert (folder.stat().st_mode & 0o077, (folder / "export.json").stat().st_mode & 0o077) == (
        0,
        0,
    )


def test_ctrl_c_before_the_export_is_ready_takes_it_back(server, tmp_path, monkeypatch):
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fhir_adapter.client.bulk.BulkClient.wait", lambda *_: interrupted(1))
    with pytest.raises(KeyboardInterrupt):
        from_server(server.url, tmp_path / "s")
    assert server.paths("DELETE", "status") == ["/fhir/status/1"]
    assert not (tmp_path / "s" / "download" / "export.json").exists()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_file_is_named_and_switches_nothing(server, tmp_path, status):
    server.files[0].status = status
    with pytest.raises(ServerRefused, match=f"refused .{status}. without credentials"):
        from_server(server.url, tmp_path / "s", token="secret")
    nothing(tmp_path / "s")
    server.needs_token = True
    with pytest.raises(ServerRefused, match=f"answered {status}"):
        from_server(server.url, tmp_path / "s", token="secret", fresh=True)


def test_credentials_go_to_files_only_where_they_are_asked_for_and_never_elsewhere(
    server, tmp_path
):
    with fault_server() as elsewhere:
        elsewhere.add("Observation", [lab(one, f"o{one}") for one in TEN])
        server.files[0].url = f"{elsewhere.url.removesuffix('/fhir')}/files/0"
        for needs in (True, False):
            server.needs_token = needs
            server.seen.clear()
            from_server(server.url, tmp_path / f"s{needs}", token="secret")
            sent = [one.headers.get("Authorization") for one in server.of_file(1)]
            assert sent == (["Bearer secret"] if needs else [None])
            statuses = [one for one in server.seen if "status" in one.path]
            assert all(one.headers["Authorization"] == "Bearer secret" for one in statuses)
        assert len(elsewhere.of_file(0)) == 2
        assert all("Authorization" not in one.headers for one in elsewhere.seen)


def test_a_redirect_of_a_file_to_another_origin_takes_no_credentials_along(server, tmp_path):
    with fault_server() as elsewhere:
        elsewhere.add("Observation", [lab(one, f"o{one}") for one in TEN])
        server.needs_token = True
        server.files[0].status = 302
        place = f"{elsewhere.url.removesuffix('/fhir')}/files/0"
        server.files[0].headers = {"Location": place}
        from_server(server.url, tmp_path / "s", token="secret")
        assert server.of_file(0)[0].headers["Authorization"] == "Bearer secret"
        assert [one.headers.get("Authorization") for one in elsewhere.seen] == [None]
        same(server, tmp_path)


def outcome(severity: str, code: str, text: str) -> dict[str, Any]:
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


ERRORS: dict[str, tuple[Any, dict[str, str], dict[str, int]]] = {
    "a type": (
        outcome("error", "processing", "Observation failed for Jane Doe"),
        {"Observation": "export-error"},
        {"export-processing": 1},
    ),
    "a type forbidden": (
        outcome("fatal", "forbidden", "no access to Consent"),
        {"Consent": "forbidden"},
        {"export-forbidden": 1},
    ),
    "a warning about a type": (
        outcome("warning", "processing", "Procedure: 3 left out"),
        {"Procedure": "export-error"},
        {"export-processing": 1},
    ),
    "no type": (
        outcome("error", "exception", "something went wrong"),
        {"*": "export-error"},
        {"export-exception": 1},
    ),
    "nothing of weight": (
        outcome("information", "informational", "Patient done"),
        {},
        {"export-informational": 1},
    ),
    "no outcome at all": ("{nonsense", {"*": "export-error"}, {"export-unreadable": 1}),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("role", ["error", "output"])
@pytest.mark.slow
def test_what_an_error_file_speaks_of_is_not_retrieved(server, tmp_path, name, role):
    line, broken, issues = ERRORS[name]
    server.add("OperationOutcome", [line], role=role)
    counts, _, _ = from_server(server.url, tmp_path / "s")
    assert counts.not_retrieved == broken
    assert counts.issues == issues
    whole = {
        row.kind.value: row.complete for one in stored(tmp_path / "s").values()
        for row in one.retrieved
    }  # fmt: skip
    for kind, complete in whole.items():
        expected = {"Observation": "observation", "Consent": "consent", "Procedure": "procedure"}
        names = {expected.get(key, key) for key in broken}
        assert complete is not (kind in names or "*" in names), kind


def test_an_error_file_that_cannot_be_read_switches_nothing(server, tmp_path):
    server.add("OperationOutcome", [], role="error", status=410)
    with pytest.raises(ExportLost):
        from_server(server.url, tmp_path / "s")
    nothing(tmp_path / "s")


def test_a_type_without_a_file_is_empty_and_whole(server, tmp_path):
    from_server(server.url, tmp_path / "s")
    rows = {row.kind.value: row for row in stored(tmp_path / "s")["1"].retrieved}
    assert rows["condition"].complete


def test_nothing_of_a_patient_stands_in_a_log_or_an_error(server, tmp_path, caplog, naps):
    caplog.set_level(logging.DEBUG)
    text = "Patient/canary-4711 Zanzibarius"
    server.add("OperationOutcome", [outcome("error", "exception", text)], role="error")
    server.status = [(202, {"Retry-After": "0", "X-Progress": text}, None)]
    server.add("Procedure", ["{Zanzibarius"], count=4)
    with pytest.raises(ServerBroken) as caught:
        from_server(server.url, tmp_path / "s")
    names = [str(path) for path in tmp_path.rglob("*")]
    said = "\n".join([str(caught.value), repr(caught.value.__cause__), caplog.text, *names])
    assert "Zanzibarius" not in said
    assert "canary" not in said
    assert "files/" not in caplog.text


def command(server: FaultServer, store: Path) -> list[str]:
    return [
        sys.executable, "-m", "fhir_adapter", "cohort", "load", "--server", server.url,
        "--store", str(store), "--workers", "1", "--json",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_file_is_gone_on_with(server, tmp_path):
    """kill -9, then the same command: one kick-off, the rest of one file, the same tables."""
    store = tmp_path / "s"
    labs = [lab(str(number % 10), f"o{number}") for number in range(3000)]
    server.files[0].data = b"".join(f"{json.dumps(one)}\n".encode() for one in labs)
    server.files[0].stall = threading.Event()
    running = subprocess.Popen(command(server, store), cwd=ROOT, start_new_session=True)
    part = store / "download" / "0002.Observation.part"
    try:
        until(lambda: part.exists() and bool(part.stat().st_size))
        until((store / "download" / "0001.Patient.ndjson").exists)
        until(lambda: "0001.Patient" in (store / "download" / "export.json").read_text())
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        server.files[0].stall.set()
    server.files[0].stall = None
    half = part.stat().st_size
    assert 0 < half < len(server.files[0].data)
    nothing(store)
    ran = subprocess.run(command(server, store), cwd=ROOT, capture_output=True, check=True)
    found = json.loads(ran.stdout)
    assert found["export"]["resumed"]
    assert found["patients"] == 10
    assert found["export"]["bytes"] == len(server.files[0].data) - half
    assert len(server.paths("GET", "$export")) == 1
    assert len(server.of_file(1)) == 1
    assert server.of_file(0)[-1].headers["Range"] == f"bytes={half}-"
    same(server, tmp_path)


def interrupted(server: FaultServer, store: Path, path: str) -> str:
    """What a run says that gets Ctrl-C once something has been asked for."""
    running = subprocess.Popen(
        command(server, store),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # a suite that runs in the background ignores Ctrl-C, and would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no thread has begun in the child
    )
    until(lambda: bool(server.paths("GET", path)))
    if server.files[0].stall is not None:  # it is being read by now
        until(lambda: "0001.Patient" in (store / "download" / "export.json").read_text())
        time.sleep(0.5)
    os.kill(running.pid, signal.SIGINT)
    try:
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode != 0
    return " ".join(said.decode().split())


@pytest.mark.slow
def test_ctrl_c_at_the_terminal_says_what_becomes_of_the_export(server, tmp_path):
    server.status = [(202, {"Retry-After": "60"}, None)]
    assert "not needed any more" in interrupted(server, tmp_path / "s", "status")
    assert server.paths("DELETE", "status") == ["/fhir/status/1"]
    gate = server.files[0].stall = threading.Event()
    try:
        assert "goes on with this export" in interrupted(server, tmp_path / "s", "/files/0")
    finally:
        gate.set()
    assert len(server.paths("DELETE", "status")) == 1


@pytest.mark.slow
def test_reading_begins_before_everything_is_there(server, tmp_path):
    """The Patients are split into buckets while the last file is still on its way."""
    store = tmp_path / "s"
    gate = server.files[0].stall = threading.Event()
    patients = server.files[1]
    patients.data = b"".join(
        f"{json.dumps(patient(str(number)))}\n".encode() for number in range(12_000)
    )
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(from_server(server.url, store)))
    thread.start()
    try:
        until(lambda: any((store / "loading").glob("bucket=*/pieces")))
        assert not done
    finally:
        gate.set()
        thread.join(60)
    assert done[0][0].patients == 12_000
