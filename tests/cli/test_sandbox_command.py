"""`server sandbox` as a process: it serves, stops on Ctrl-C, keeps what was written."""

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
            process.send_signal(signal.SIGINT)
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


def test_an_incomplete_installation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_PACKAGE", tmp_path / "package")
    with pytest.raises(ArtifactsMissing, match="Reinstall"):
        artifacts.profiles_dir()
