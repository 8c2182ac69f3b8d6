"""Rubbish in memory: a record that is handed over is anything that JSON can say."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter.errors import PatientNotFound
from fhir_adapter.pull.folder import BundleRecord


@pytest.mark.parametrize(
    "bundle",
    [{}, {"resourceType": 3}, {"resourceType": {}}, {"resourceType": "Bundle", "type": [[]]},
     {"resourceType": "Bundle", "entry": [1, None, {"resource": {"resourceType": []}}]}],
    ids=["nothing", "a number", "an object", "odd type", "odd entries"],
)  # fmt: skip
def test_what_is_no_resource_is_an_empty_record(bundle: dict[str, Any]) -> None:
    """Found by a fuzzer: a resourceType that is no text ended the run."""
    source = BundleRecord(bundle)
    assert list(source.patients()) == []
    with pytest.raises(PatientNotFound):
        source.pull("p", ())
