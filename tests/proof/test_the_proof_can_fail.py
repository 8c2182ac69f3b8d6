"""The proof is red where the machine loses, doubles or overwrites what is one patient's alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from proof.test_people_and_machine import run

from fhir_adapter.bootstrap.writing import WritingDesk
from fhir_adapter.client import FhirClient
from fhir_adapter.writeback.proposing import Proposing

pytestmark = [pytest.mark.slow, pytest.mark.untraced, pytest.mark.timeout(600)]
WHOSE = "p1"


def _loses(patch: pytest.MonkeyPatch) -> None:
    """Never anything is proposed or taken back."""
    made = WritingDesk._made

    def none(desk: WritingDesk, one: Any) -> Any:
        return None if one.patient == WHOSE else made(desk, one)

    patch.setattr(WritingDesk, "_made", none)


def _doubles(patch: pytest.MonkeyPatch) -> None:
    """A second ResearchSubject, without our key."""
    create = FhirClient.create

    def twice(client: FhirClient, resource: dict[str, Any], **more: Any) -> Any:
        if resource.get("individual") == {"reference": f"Patient/{WHOSE}"}:
            create(client, {name: one for name, one in resource.items() if name != "identifier"})
        return create(client, resource, **more)

    patch.setattr(FhirClient, "create", twice)


def _overwrites(patch: pytest.MonkeyPatch) -> None:
    """Whatever a person said of it, it counts as untouched."""
    touch, people_at = Proposing._touch, Proposing._people_at

    def of(proposing: Proposing, check: Callable[..., str], found: dict[str, Any]) -> str:
        theirs = found.get("individual") == {"reference": f"Patient/{WHOSE}"}
        return "" if theirs else check(proposing, found)

    patch.setattr(Proposing, "_touch", lambda one, found: of(one, touch, found))
    patch.setattr(Proposing, "_people_at", lambda one, found: of(one, people_at, found))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("fault", [_loses, _doubles, _overwrites])
def test_what_is_done_to_one_patient_is_seen(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None], number: int
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError, match=r"lost|twice|overwritten|replay|stand after"):
        run(events=300, number=number)
