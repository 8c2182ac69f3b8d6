"""Every teaching patient's proposal: valid, escaped, without an arm, by the status table."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from fhir_adapter.errors import InternalFault, PatientNotFound, RecordFault
from fhir_adapter.fhir.resources import problems
from fhir_adapter.model.decision import Stop
from fhir_adapter.present.failures import failure, is_failed_evaluation
from fhir_adapter.present.proposals import Desk, action_of, proposal
from fhir_adapter.present.resources import device, subject_key

from story.cohort_for_tests import decided

pytestmark = pytest.mark.untraced


@pytest.fixture(scope="module")
def desk() -> Desk:
    bench = decided().bench
    return Desk(
        study=bench.package.study,
        site_key=b"test key",
        study_reference="ResearchStudy/NCT05985863",
        plan="https://fhir-adapter.example/fhir/PlanDefinition/NCT05985863|1.0.0",
        device=device("test", "0.1"),
        judged_at="2026-11-22T07:40:00+08:00",
        zone=bench.mappings.site.zone,
    )


ACTIONS = {
    "09-no-pregnancy-test": "propose",
    "01-whole-umol": "keep",
    "08-other-trial": "take-back",
    "21-confirmed-cancer": "take-back",
    "17-seventeen": "take-back",
    "13-newborn": "keep",
    "12-expired": "take-back",
    "36-opted-out": "take-back",
    "37-test-record": "none",
    "14-merged-a": "none",
    "14-merged-b": "none",
    "15-second-episode": "none",
}


@pytest.mark.parametrize(("patient", "action"), ACTIONS.items(), ids=list(ACTIONS))
def test_action_follows_the_status_table(patient: str, action: str, desk: Desk) -> None:
    assert action_of(decided().decisions[patient], desk.study) == action
    unproved = replace(decided().decisions[patient], unproved=(Stop.OPTED_OUT,))
    assert action_of(unproved, desk.study) == ("keep" if action == "propose" else action)


@pytest.mark.parametrize("patient", sorted(decided().decisions))
def test_resources_are_valid_and_hold_no_arm(patient: str, desk: Desk) -> None:
    made = proposal(decided().decisions[patient], desk, first_patient=patient, ids=(patient,))

    sent = [r for r in (made.subject, made.opinion, made.provenance, made.device) if r]
    assert [problems(resource) for resource in sent] == [()] * len(sent)
    text = str(sent)
    assert "MSC-1" not in text
    assert "assignedArm" not in text


def test_stopped_patients_get_no_opinion(desk: Desk) -> None:
    made = proposal(
        decided().decisions["12-expired"], desk, first_patient="12-expired", ids=("12-expired",)
    )

    assert made.opinion is None
    assert made.subject is not None
    assert made.subject["status"] == "ineligible"


def test_narrative_is_well_formed_xhtml(desk: Desk) -> None:
    made = proposal(
        decided().decisions["04-platelets-on-the-eve"],
        desk,
        first_patient="04-platelets-on-the-eve",
        ids=(),
    )

    assert made.opinion is not None
    div = ET.fromstring(made.opinion["text"]["div"])
    assert div.tag == "{http://www.w3.org/1999/xhtml}div"


def test_parameters_name_every_criterion_and_at_most_five_facts(desk: Desk) -> None:
    made = proposal(
        decided().decisions["01-whole-umol"], desk, first_patient="01-whole-umol", ids=()
    )

    assert made.opinion is not None
    (results,) = made.opinion["contained"]
    criteria = [p["part"] for p in results["parameter"] if p["name"] == "criterion"]
    assert len(criteria) == 32
    for parts in criteria:
        facts = [part for part in parts if part["name"] == "evidence"]
        assert len(facts) <= 5
        for fact in facts:
            for part in fact["part"]:
                assert "_history" not in str(part)


def test_key_hides_the_patient_and_depends_on_site_study_patient_and_attempt() -> None:
    key = subject_key(b"a", "s", "p", 1)

    others = [
        subject_key(b"b", "s", "p", 1),
        subject_key(b"a", "t", "p", 1),
        subject_key(b"a", "s", "q", 1),
        subject_key(b"a", "s", "p", 2),
    ]
    assert key == subject_key(b"a", "s", "p", 1)
    assert len({key, *others}) == 5


def test_the_opinion_says_its_moment_as_a_fhir_date_time(desk: Desk) -> None:
    decision = decided().decisions["09-no-pregnancy-test"]
    made = proposal(decision, desk, first_patient="09-no-pregnancy-test", ids=())

    assert made.opinion is not None
    (said,) = made.opinion["contained"]
    moment = next(one for one in said["parameter"] if one["name"] == "asOf")
    assert moment == {"name": "asOf", "valueDateTime": "2026-11-22T07:40:00+08:00"}


def test_a_failed_evaluation_says_so_and_leaves_the_subject_alone(desk: Desk) -> None:
    fault = InternalFault("judging failed with ValueError", remedy="Report <it>.")
    made = failure(fault, desk, key="k", patient="p", ids=("p", "q"))

    assert (made.action, made.subject) == ("keep", None)
    assert made.opinion is not None
    assert problems(made.opinion) == ()
    assert made.opinion["status"] == "failure"
    assert made.opinion["evaluationMessage"] == [{"reference": "#failure"}]
    (said,) = made.opinion["contained"]
    assert (said["resourceType"], said["id"]) == ("OperationOutcome", "failure")
    assert said["issue"][0]["details"]["text"] == "internal-fault"
    assert made.fingerprint == made.opinion["requestIdentifier"]["value"]
    assert "Report &lt;it&gt;" in made.opinion["text"]["div"]
    assert made.provenance is not None
    assert problems(made.provenance) == ()


def test_a_record_that_did_not_arrive_is_no_failed_evaluation() -> None:
    assert not is_failed_evaluation(PatientNotFound("not there"))
    assert is_failed_evaluation(RecordFault("unreadable"))
