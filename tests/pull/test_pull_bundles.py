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


def test_deletions_are_named_in_every_form_of_an_address_and_counted_where_they_name_none():
    urls = ["https://ehr.example/fhir/Patient/1", "Patient/2/_history/3", "Patient?identifier=4", 5]
    entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
    read = read_bundle({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert read.deleted == ("Patient/1", "Patient/2")
    assert read.issues == {"deletion-unreadable": 2}
