"""A record in R5 form reads as it does in R4, and what R4 cannot say is unknown, never absent."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from facts.test_resources import (
    ATC,
    CANCER,
    CONDITIONS,
    ME,
    MEDICATIONS,
    OBSERVATIONS,
    OPTOUT,
    OTHERS,
    RESEARCH,
    bare,
    facts,
    read,
)
from fhir.resources.R4B import get_fhir_model_class

from fhir_adapter.fhir import r5
from fhir_adapter.model.fact import Kind, PatientRecord, Standing

import r5_forms
from story.cohort_for_tests import COHORT

ROWS = {**OBSERVATIONS, **CONDITIONS, **MEDICATIONS, **OTHERS}
COUNTS, SICK, IGNORED = Standing.COUNTS, Standing.MAKES_UNKNOWN, Standing.IGNORED
BY_DESIGN = {
    "taken once": "R5 does not say that it ended: not known, where R4 knows a moment",
    "consent denies in a scope of words": "R5 has no scope to take a label from",
    "consent of no type": "not read in R5, and so the type is not whole",
    "consent of a status of its own": "not read in R5, and so the type is not whole",
    "consent permits all but one purpose": "R5 has no exception without a limit",
    "in a trial, oddly": "a state that is none is told as no status",
}


def as_r5(resource: dict[str, Any]) -> dict[str, Any]:
    return r5.to_r4(r5_forms.r5_form(copy.deepcopy(resource)))


def told(record: PatientRecord) -> Any:
    return record.facts, record.retrieved, record.issues


@pytest.mark.parametrize("name", sorted(ROWS.keys() - BY_DESIGN.keys()))
def test_it_reads_as_in_r4(name: str) -> None:
    resource, _ = ROWS[name]
    assert told(read(as_r5(resource))) == told(read(resource))


@pytest.mark.parametrize("name", BY_DESIGN)
def test_what_reads_otherwise_still_does(name: str) -> None:
    resource, _ = ROWS[name]
    try:
        turned = as_r5(resource)
    except r5.NotRead:
        return
    assert told(read(turned)) != told(read(resource))


def cohort() -> list[dict[str, Any]]:
    files = sorted(COHORT.glob("*.json"))
    entries = [one for file in files for one in json.loads(file.read_text("utf-8"))["entry"]]
    return [one["resource"] for one in entries]


def test_the_cohort_is_valid_in_both_forms_and_comes_back() -> None:
    seen = set[str]()
    for resource in cohort():
        there = r5_forms.valid(r5_forms.r5_form(copy.deepcopy(resource)))
        back = r5.to_r4(dict(there))
        kind = resource["resourceType"]
        get_fhir_model_class(kind).model_validate(back)
        seen.add(kind)
    assert {"Encounter", "Procedure", "Consent", "MedicationAdministration"} <= seen


def test_a_bundle_is_turned_entry_by_entry() -> None:
    held = {"resourceType": "Procedure", "occurrenceDateTime": "2026-01-02"}
    entries = [{"resource": held, "search": {"mode": "match"}}, {"fullUrl": "urn:x"}, None]
    found = r5.to_r4({"resourceType": "Bundle", "total": 1, "entry": entries})
    assert found["entry"][0]["resource"]["performedDateTime"] == "2026-01-02"
    assert (found["total"], found["entry"][1:]) == (1, entries[1:])
    assert r5.to_r4({"resourceType": "Bundle"}) == {"resourceType": "Bundle"}


def test_an_entry_of_a_type_that_is_not_read_loses_its_resource_and_not_itself() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Transport"}}]}
    assert r5.to_r4(bundle)["entry"] == [{}]
    for turn in (r5.to_r4, r5.to_r5):
        with pytest.raises(r5.NotRead):
            turn({"resourceType": "Transport"})


# -------------------------------------------------------------------------------- medication


def drug(kind: str, **more: Any) -> dict[str, Any]:
    said = {"resourceType": kind, "subject": ME, "status": "recorded"}
    return r5.to_r4({**said, "medication": {"concept": ATC}, **more})


def adherence(code: str) -> dict[str, Any]:
    return {"adherence": {"code": {"coding": [{"system": r5_forms.ADHERENCE, "code": code}]}}}


TAKEN: dict[str, tuple[dict[str, Any], Standing, str]] = {
    "nothing said": ({}, COUNTS, "completed"),
    "taking": (adherence("taking-as-directed"), COUNTS, "active"),
    "on hold": (adherence("on-hold"), COUNTS, "on-hold"),
    "stopped": (adherence("stopped-as-directed"), COUNTS, "stopped"),
    "not taking": (adherence("not-taking"), IGNORED, "not-taken"),
    "not taking in a period": (
        {**adherence("not-taking"), "effectivePeriod": {"start": "2026-01-02"}}, SICK, "unknown",
    ),
    "unknown": (adherence("unknown"), SICK, "unknown"),
    "words": ({"adherence": {"code": {"text": "taking"}}}, SICK, "unknown"),
    "rubbish": ({"adherence": "taking"}, SICK, "unknown"),
    "two that differ": (
        {"adherence": {"code": {"coding": [
            *adherence("taking")["adherence"]["code"]["coding"],
            *adherence("stopped")["adherence"]["code"]["coding"]]}}}, SICK, "unknown",
    ),
    "a draft": ({"status": "draft"}, SICK, "unknown"),
    "in error": ({"status": "entered-in-error"}, IGNORED, "entered-in-error"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_statement_is_worth_what_its_adherence_says(name: str) -> None:
    more, standing, status = TAKEN[name]
    (found,) = facts(drug("MedicationStatement", **more))
    assert (found.standing, found.status) == (standing, status)


def test_a_time_stamp_of_a_statement_is_no_end() -> None:
    (found,) = facts(drug("MedicationStatement", effectiveDateTime="2026-01-02"))
    assert found.start_date_lo == found.start_date_hi == found.end_date_lo < found.end_date_hi


def test_an_order_that_ended_counts() -> None:
    (found,) = facts(drug("MedicationRequest", status="ended", intent="order"))
    assert found.standing is COUNTS


def test_a_concept_and_a_reference_are_both_read() -> None:
    both = {"concept": CANCER, "reference": {"reference": "#m"}}
    held = {"resourceType": "Medication", "id": "m", "code": ATC}
    other = {"resourceType": "Patient", "id": "o"}
    (found,) = facts(drug("MedicationRequest", medication=both, contained=[held, other]))
    assert {one.code for one in found.concepts} == {"109841003", "L04AD01"}


@pytest.mark.parametrize("said", [
    {"concept": CANCER, "reference": {"reference": "Medication/none"}}, {}, "a pill", None,
], ids=str)  # fmt: skip
def test_a_drug_that_is_not_known_makes_the_kind_incomplete(said: Any) -> None:
    record = read(drug("MedicationRequest", medication=said))
    (whole,) = [one for one in record.retrieved if one.kind is Kind.MEDICATION]
    assert not whole.complete


def test_an_ingredient_is_read() -> None:
    items = [{"item": {"concept": ATC}}, {"item": {"reference": {"reference": "#n"}}}, {}]
    held = [
        {"resourceType": "Medication", "id": "m", "ingredient": items},
        {"resourceType": "Medication", "id": "n", "code": CANCER},
    ]
    said = {"reference": {"reference": "#m"}}
    (found,) = facts(drug("MedicationDispense", medication=said, contained=held))
    assert {one.code for one in found.concepts} == {"L04AD01", "109841003"}


# --------------------------------------------------------------------------- what R4 cannot say


def test_what_was_done_to_another_decides_nothing() -> None:
    done = {"resourceType": "Procedure", "status": "completed", "code": CANCER, "subject": ME}
    for focus in ({"reference": "Patient/baby"}, {"display": "her baby"}):
        (found,) = facts(r5.to_r4({**done, "focus": focus}))
        assert (found.standing, found.issues) == (SICK, ("unknown-modifier",))
    (found,) = facts(r5.to_r4({**done, "focus": ME}))
    assert found.standing is COUNTS


def test_an_order_for_another_decides_nothing() -> None:
    asked = {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": ME,
        "code": {"concept": CANCER}, "focus": [{"reference": "Patient/baby"}],
    }  # fmt: skip
    (found,) = facts(r5.to_r4(asked))
    assert found.standing is SICK


def test_an_order_that_only_refers_to_a_definition_is_not_read() -> None:
    asked = {"resourceType": "ServiceRequest", "code": {"reference": {"reference": "x/1"}}}
    with pytest.raises(r5.NotRead):
        r5.to_r4(asked)
    assert r5.to_r4({**asked, "code": "x"})["code"] == "x"
    assert "code" not in r5.to_r4(bare(asked, "code"))


def test_a_manifestation_that_only_refers_decides_nothing() -> None:
    there = {"reference": {"reference": "Observation/1"}}
    shown = {"resourceType": "AllergyIntolerance", "patient": ME, "code": CANCER}
    (found,) = facts(r5.to_r4({**shown, "reaction": [{"manifestation": [there]}, {}]}))
    assert found.standing is SICK


@pytest.mark.parametrize(("status", "standing"), [
    ("in-progress", COUNTS), ("on-hold", COUNTS), ("discharged", COUNTS), ("completed", COUNTS),
    ("discontinued", COUNTS), ("planned", IGNORED), ("cancelled", IGNORED), ("unknown", SICK),
    ("odd", SICK), (None, SICK),
])  # fmt: skip
def test_a_stay_is_worth_what_its_status_says(status: Any, standing: Standing) -> None:
    said = {} if status is None else {"status": status}
    (found,) = facts(r5.to_r4({"resourceType": "Encounter", "subject": ME, **said}))
    assert found.standing is standing


def test_every_class_service_and_reason_of_a_stay_is_read() -> None:
    def concept(code: str) -> dict[str, Any]:
        return {"coding": [{"system": "urn:x", "code": code}]}

    stay = {
        "resourceType": "Encounter", "status": "completed", "subject": ME,
        "class": [concept("IMP"), concept("ACUTE")],
        "serviceType": [{"concept": concept("s1")}, {"concept": concept("s2")}],
        "reason": [{"value": [{"concept": concept("r")}, {"reference": {"reference": "x/1"}}]}],
        "diagnosis": [{"condition": [{"concept": concept("d")}]}],
        "admission": {"dischargeDisposition": concept("exp")},
        "actualPeriod": {"start": "2026-01-02", "end": "2026-01-05"},
    }  # fmt: skip
    found, death = facts(r5.to_r4(r5_forms.valid(stay)))
    assert {one.code for one in found.concepts} == {"IMP", "ACUTE", "s1", "s2"}
    assert [one.code for one in found.value_concepts] == ["r", "d"]
    assert death.kind is Kind.PATIENT


def test_a_document_keeps_its_encounter() -> None:
    held = {"resourceType": "DocumentReference", "status": "current", "subject": ME}
    (found,) = facts(r5.to_r4({**held, "context": [{"reference": "Encounter/e"}]}))
    assert found.encounter == "Encounter/e"
    assert r5.to_r4(held) == held


def test_reasons_of_a_procedure_stay() -> None:
    said = [{"concept": CANCER}, {"reference": {"reference": "Condition/1"}}]
    found = r5.to_r4({"resourceType": "Procedure", "reason": said})
    assert (found["reasonCode"], found["reasonReference"]) == (
        [CANCER],
        [{"reference": "Condition/1"}],
    )


def test_a_study_is_of_the_kind_that_its_classifier_says() -> None:
    study = {"resourceType": "ResearchStudy", "id": "x", "status": "active", "title": "T"}
    observing = {"coding": [{"code": "observational"}]}
    found = r5.to_r4({**study, "classifier": [observing], "studyDesign": [CANCER]})
    assert found == {**bare(study, "status"), "category": [observing, CANCER]}
    assert "category" not in r5.to_r4(study)


# ----------------------------------------------------------------------------------- consent


def consent(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Consent", "status": "active", "subject": ME, **more}


def purpose(code: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
    return {"purpose": [{"system": system, "code": code}]}


DENY, PERMIT = ["research-deny"], ["research-permit"]
ABOUT = {"category": [RESEARCH]}
CATEGORY = {
    "category": [
        {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes",
                    "code": "research",
                }
            ]
        }
    ]
}
TREATMENT = {"category": [{"coding": [{**RESEARCH["coding"][0], "code": "treatment"}]}]}
CONSENTS: dict[str, tuple[dict[str, Any], Any]] = {
    "permits research": (consent(**ABOUT, decision="permit"), PERMIT),
    "permits research, by another category": (consent(**CATEGORY, decision="permit"), PERMIT),
    "denies research": (consent(**ABOUT, decision="deny"), DENY),
    "denies, of no category": (consent(decision="deny"), DENY),
    "permits, of no category": (consent(decision="permit"), None),
    "denies treatment": (consent(**TREATMENT, decision="deny"), None),
    "was not done": (consent(status="not-done"), DENY),
    "decides nothing": (consent(), r5.NotRead),
    "decides nothing about research": (consent(**ABOUT), r5.NotRead),
    "decides rubbish": (consent(decision=["permit"]), r5.NotRead),
    "of no status": (bare(consent(decision="permit"), "status"), r5.NotRead),
    "of unknown status": (consent(status="unknown", decision="permit"), r5.NotRead),
    "of unknown status about research": (
        consent(**ABOUT, status="unknown", decision="permit"), r5.NotRead,
    ),
    "permits all but research": (
        consent(decision="permit", provision=[purpose("CLINTRCH")]), DENY,
    ),
    "permits research but marketing": (
        consent(**ABOUT, decision="permit", provision=[purpose("HMARKT")]), PERMIT,
    ),
    "permits all but everything": (
        consent(**ABOUT, decision="permit", provision=[{"id": "x"}]), DENY,
    ),
    "an opt-out as its basis": (
        consent(**ABOUT, decision="permit", regulatoryBasis=[{"text": "law"}, {"coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]}]),
        DENY,
    ),
    "decides nothing about treatment": (consent(**TREATMENT), None),
    "an opt-out without a decision": (consent(category=[OPTOUT]), DENY),
    "is a draft": (consent(status="draft"), None),
    "has ended": (consent(**ABOUT, status="inactive"), DENY),
    "exceptions of nothing": (consent(provision=[purpose("CLINTRCH")]), r5.NotRead),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSENTS)
def test_a_consent_that_cannot_be_read_is_never_no_refusal(name: str) -> None:
    sent, wanted = CONSENTS[name]
    if wanted is r5.NotRead:
        with pytest.raises(r5.NotRead):
            r5.to_r4(sent)
        return
    said = [code.code for one in facts(r5.to_r4(sent)) for code in one.concepts]
    assert said == (wanted or [])


def test_a_permission_ends_with_its_period() -> None:
    sent = consent(**ABOUT, decision="permit", date="2026-01-02", period={"end": "2027-01-01"})
    assert r5.to_r4(sent)["provision"] == {"type": "permit", "period": {"end": "2027-01-01"}}
