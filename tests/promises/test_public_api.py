"""The public functions on what callers really hand in."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter import AdapterError, load_study, screen, screen_record
from fhir_adapter.errors import RecordFault

from cli.cli_for_tests import AS_OF, ONE, sandbox


def bundle(*patients: str, kind: str = "collection") -> dict[str, Any]:
    people = [{"resource": {"resourceType": "Patient", "id": name}} for name in patients]
    return {"resourceType": "Bundle", "type": kind, "entry": people}


@pytest.mark.parametrize("patients", [(), ("a", "b")])
def test_a_bundle_must_say_who_is_meant(patients: tuple[str, ...]) -> None:
    with pytest.raises(RecordFault, match=f"{len(patients)} patients"):
        screen_record(load_study(), bundle(*patients), as_of=AS_OF)


def test_one_of_several_can_be_named_and_nobody_else() -> None:
    study = load_study()
    assert screen_record(study, bundle("a", "b"), as_of=AS_OF, patient="b").patient == "b"
    with pytest.raises(AdapterError):
        screen_record(study, bundle("a", "b"), as_of=AS_OF, patient="c")


def test_a_server_is_screened_like_a_folder() -> None:
    with sandbox(patients=(ONE,)) as server:
        found = list(screen(load_study(), server.base_url, as_of=AS_OF))
    assert [one.patient for one in found] == [ONE]
    assert found[0].decision is not None
    assert found[0].decision.outcome.value == "needs-data"
