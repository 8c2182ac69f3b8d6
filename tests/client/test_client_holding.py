"""What the server asks of one request in a batch, or of one file, the others hear too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.client import Entry, FhirClient, Gate, Network
from fhir_adapter.client.bulk import ExportFile
from fhir_adapter.client.bulk_files import BulkFiles

PATIENT = b'{"resourceType": "Patient", "id": "1"}\n'
LIMITED = {"Retry-After": "7"}


class Waiting:
    """Sleeps for nothing; notes how long everybody else would have waited meanwhile."""

    def __init__(self, base: str) -> None:
        self.gate = Gate(concurrency=5)
        self.others: list[float] = []
        self.client = FhirClient(base, network=Network(gate=self.gate), sleep=self)

    def __call__(self, _: float) -> None:
        self.gate.stand(self.others.append)

    def afterwards(self) -> int:
        """How many more wait once it is over."""
        before = len(self.others)
        self.gate.stand(self.others.append)
        return len(self.others) - before


def refused_in_a_batch(server: Any, reply: Any, _: Path) -> Callable[[Waiting], object]:
    def answered(status: str) -> dict[str, Any]:
        entry = {"response": {"status": status}}
        return {"resourceType": "Bundle", "type": "batch-response", "entry": [entry]}

    server.say(reply(answered("429"), headers=LIMITED), reply(answered("200")))
    return lambda one: one.client.batch([Entry(method="GET", url="Patient/1")])


def refused_file(server: Any, reply: Any, folder: Path) -> Callable[[Waiting], object]:
    server.say(reply(b"", status=503, headers=LIMITED), reply(PATIENT))
    file = ExportFile(type="Patient", url=f"{server.url}/file", count=1)

    def fetch(one: Waiting) -> object:
        files = BulkFiles(one.client._transport, folder, needs_token=False, sleep=one)
        return files.fetch(file, "f")

    return fetch


@pytest.mark.parametrize("refused", [refused_in_a_batch, refused_file])
def test_a_retry_after_holds_the_others_as_long_as_it_is_waited_for(
    server: Any, reply: Any, tmp_path: Path, refused: Any
) -> None:
    ask = refused(server, reply, tmp_path)
    one = Waiting(server.url)
    ask(one)
    assert len(one.others) == 1
    assert 6 < one.others[0] <= 7
    assert one.afterwards() == 0


def test_without_a_time_nobody_is_held(server: Any, reply: Any, tmp_path: Path) -> None:
    server.say(reply(b"", status=503), reply(PATIENT))
    one = Waiting(server.url)
    file = ExportFile(type="Patient", url=f"{server.url}/file", count=1)
    BulkFiles(one.client._transport, tmp_path, needs_token=False, sleep=one).fetch(file, "f")
    assert one.others == []
