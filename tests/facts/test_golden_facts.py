"""The facts of fixed records, field by field: an answer changes only where a commit means it to."""

from __future__ import annotations

import json

import pytest

from fhir_adapter.facts import Normaliser
from fhir_adapter.ports import Pulled

from golden_facts import GOLDEN, digests, mappings

pytestmark = pytest.mark.untraced


def test_the_facts_of_fixed_records_have_not_changed() -> None:
    """A new answer is said in the changelog; then `python tests/facts/golden_facts.py`."""
    assert digests() == json.loads(GOLDEN.read_text())


def test_an_id_that_is_no_text_is_nobodys() -> None:
    normalise = Normaliser(mappings())
    for odd in ([], {}, 5, None, True):
        resource = {"resourceType": "Patient", "id": odd, "birthDate": "1980"}
        record = normalise(Pulled(patient="p", resources=[resource], types=()))
        assert (record.facts, record.issues) == ((), ("other-patient",))
