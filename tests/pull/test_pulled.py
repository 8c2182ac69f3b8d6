"""What was pulled, and whether the patient was among it."""

from __future__ import annotations

import pytest

from fhir_adapter.ports import Pulled, PulledType


@pytest.mark.parametrize(
    ("came", "why", "has"),
    [
        (("p",), "", True),
        (("p",), "forbidden", True),
        (("survivor",), "", True),
        (("joined",), "forbidden", False),
        ((), "forbidden", False),
        ((), "", False),
    ],
)
def test_a_patient_who_was_refused_is_not_there_for_another_who_came(
    came: tuple[str, ...], why: str, *, has: bool
) -> None:
    pulled = Pulled(
        patient="p",
        resources=[{"resourceType": "Patient", "id": one} for one in came],
        types=(PulledType(resource_type="Patient", complete=not why, why_not=why),),
    )
    assert pulled.has_patient is has
