"""How much an export holds, which says how many buckets a load takes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from fhir_adapter.pull.export import FolderExport


def lines(count: int) -> bytes:
    one = {"resourceType": "Observation", "subject": {"reference": "Patient/1"}}
    return b"".join(json.dumps({**one, "id": f"o{at}"}).encode() + b"\n" for at in range(count))


@pytest.mark.parametrize("count", [1, 100, 50_000, 500_000])
def test_a_packed_file_is_as_large_as_what_it_holds(tmp_path: Path, count: int) -> None:
    plain = lines(count)
    (tmp_path / "Observation.ndjson.gz").write_bytes(gzip.compress(plain))
    size = FolderExport(tmp_path).size
    assert len(plain) / 2 < size < len(plain) * 2


def test_a_plain_file_is_as_large_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Observation.ndjson").write_bytes(lines(3))
    assert FolderExport(tmp_path).size == len(lines(3))


def test_a_file_that_only_says_that_it_is_packed_has_a_size_still(tmp_path: Path) -> None:
    (tmp_path / "Observation.ndjson.gz").write_bytes(lines(3))
    assert FolderExport(tmp_path).size == len(lines(3))
