"""`server sandbox` as a process: it serves, stops when told to, keeps what was written."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_adapter import artifacts
from fhir_adapter.bootstrap import sites
from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ArtifactsMissing

from cli.cli_for_tests import run


@pytest.mark.slow
def test_the_sandbox_serves_stops_and_keeps(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fhir_adapter", "server", "sandbox", "--keep", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+\S*", process.stdout.readline())
            assert address is not None
            client = FhirClient(address[0])
            client.update({"resourceType": "Patient", "id": "kept", "active": True})
            client.close()
            process.send_signal(signal.SIGTERM)  # a background job may ignore SIGINT
            assert process.wait(timeout=30) == 0
            assert "Stopped." in process.stdout.read()
        finally:
            process.kill()
    assert '"kept"' in (tmp_path / "Patient.ndjson").read_text()


def test_the_command_says_what_it_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.ndjson").write_text('{"resourceType": "Patient", "id": "a"}\nrubbish\n')

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sites.SandboxRun, "wait", stop)
    ran = run("server", "sandbox", str(tmp_path))
    assert ran.status == 0
    assert "1 resources" in ran.flat
    assert "file 1, line 2: not a FHIR resource" in ran.flat
    assert "Stopped." in ran.flat


def test_a_bundle_of_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text('{"resourceType": "Bundle", "entry": []}')
    (tmp_path / "b.json").write_text('{"resourceType": "Bundle", "entry": 7}')
    monkeypatch.setattr(sites.SandboxRun, "wait", lambda _: None)
    ran = run("server", "sandbox", str(tmp_path))
    assert ran.status == 0
    assert "(0 resources)" in ran.flat
    for number in (1, 2):
        assert f"file {number}, line 1: a Bundle without resources" in ran.flat


@pytest.mark.deep
def test_a_demo_that_was_killed_starts_again(tmp_path: Path) -> None:
    """kill -9 leaves the ledger of a server that is gone."""
    keep = tmp_path / "demo"
    run("demo", "--keep", str(keep))
    (keep / "unfinished").touch()
    for path in keep.glob("*.ndjson"):
        path.unlink()
    again = run("demo", "--keep", str(keep))
    assert "Written: 28 created" in again.flat
    assert "nothing; all stands already" in run("demo", "--keep", str(keep)).flat


def test_an_incomplete_installation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_PACKAGE", tmp_path / "package")
    with pytest.raises(ArtifactsMissing, match="Reinstall"):
        artifacts.profiles_dir()
