"""Bundles taken apart."""

from __future__ import annotations

from fhir_adapter.pull.bundles import read_bundle
from fhir_adapter.pull.folder import BundleRecord


def test_deletions_are_no_missing_resources():
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"request": {"method": "DELETE", "url": "Observation/1"}},
            {"request": {"method": "PUT", "url": "Observation/2"}},
        ],
    }
    read = read_bundle(bundle)
    assert read.deleted == ("Observation/1",)
    assert read.issues == {"entry-without-resource": 1}
    assert list(BundleRecord(bundle).patients()) == []
