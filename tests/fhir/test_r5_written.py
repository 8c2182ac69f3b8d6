"""What the adapter writes, in R5: valid by the models, and the same when it is read back."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter.errors import ServerBroken
from fhir_adapter.fhir import r5
from fhir_adapter.fhir.resources import validated
from fhir_adapter.present.failures import failed_evaluation
from fhir_adapter.present.opinion import Setting
from fhir_adapter.present.proposals import Desk, proposal
from fhir_adapter.present.resources import device, provenance, screening_list
from fhir_adapter.present.stand_ins import stand_in

import r5_forms
from story import cohort_for_tests

CANDIDATE = "42-all-answered"
SOURCES = ("Observation/1", "Condition/2")


def desk(decided: Any) -> Desk:
    return Desk(
        study=decided.bench.package.study,
        site_key=b"key",
        study_reference="ResearchStudy/NCT1",
        plan="https://fhir-adapter.example/fhir/PlanDefinition/x|1",
        device=device("this", "1.0"),
        judged_at="2026-11-22T08:00:00+08:00",
        zone=decided.bench.zone,
    )


def failure() -> dict[str, Any]:
    decided = cohort_for_tests.decided()
    setting = Setting(
        key="k", plan="urn:x|1", judged_at="2026-11-22T08:00:00Z", zone=decided.bench.zone
    )
    fault = ServerBroken("it broke", where="here", remedy="Mend it.")
    return failed_evaluation(fault, "p", setting)


def written() -> dict[str, dict[str, Any]]:
    """One of each, as the rooms hand them over."""
    decided = cohort_for_tests.decided()
    of_all = [
        proposal(one, desk(decided), first_patient=name, ids=(name,))
        for name, one in decided.decisions.items()
    ]
    made = {
        f"{name} {number}": resource
        for number, one in enumerate(of_all)
        for name, resource in (
            ("subject", one.subject), ("opinion", one.opinion), ("provenance", one.provenance),
        )
        if resource is not None
    }  # fmt: skip
    listed = screening_list(b"key", "NCT1", title="A study", device="this")
    entry = [{"date": "2026-11-22", "item": {"reference": "ResearchSubject/1"}}]
    opinion = next(one for name, one in made.items() if name.startswith("opinion"))
    task = stand_in(
        "Task", key="k", patient="p", study="ResearchStudy/1", outcome="candidate",
        sentence="Look", opinion=opinion, stands=True,
    )  # fmt: skip
    return {
        **made,
        "device": device("this", "1.0"),
        "list": {**listed, "entry": entry},
        "task": task,
        "failure": failure(),
        "provenance of few": provenance(
            patient="p", sources=SOURCES, recorded="2026-11-22T08:00:00Z",
        ),
    }  # fmt: skip


@pytest.mark.slow
def test_everything_written_is_valid_r5_and_comes_back_as_it_was_sent() -> None:
    found = written()
    for resource in found.values():
        filled = _filled(resource)
        validated(filled)
        there = r5.to_r5(filled)
        r5_forms.valid(there)
        assert r5.to_r4(there) == filled
    assert {one["resourceType"] for one in found.values()} == r5.WRITTEN
    assert len(found) > 40


def _filled(value: Any) -> Any:
    """With ids in the place of those that the server gives."""
    if isinstance(value, dict):
        return {name: _filled(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_filled(one) for one in value]
    return value.replace("{id}", "1") if isinstance(value, str) else value


KEPT: dict[str, dict[str, Any]] = {
    "a Provenance with a policy": {
        "resourceType": "Provenance",
        "authorization": [{"concept": {"text": "x"}}, {"reference": {"reference": "Contract/1"}}],
    },
    "a Provenance without a reason": {"resourceType": "Provenance", "recorded": "2026"},
    "a List about two": {"resourceType": "List", "subject": [{"display": "a"}, {"display": "b"}]},
    "a List about one": {"resourceType": "List", "subject": [{"display": "a"}]},
    "a Device with more": {"resourceType": "Device", "name": [{"value": "x", "display": True}]},
    "a Device without a name": {"resourceType": "Device", "status": "active"},
    "an opinion with a reason": {
        "resourceType": "GuidanceResponse", "reason": [{"concept": {"text": "x"}}],
    },
    "a Task with more": {"resourceType": "Task", "doNotPerform": True},
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_others_added_goes_back_as_it_came(name: str) -> None:
    assert r5.to_r5(r5.to_r4(KEPT[name])) == KEPT[name]
