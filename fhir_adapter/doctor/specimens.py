"""One resource of ours per type that the adapter reads or writes, so that a search must find it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.own import SYSTEM
from fhir_adapter.fhir.reading import reference, text
from fhir_adapter.ports import Resource

Refer = Callable[[str], Resource]
"""The reference to a specimen by type, or ``Type:name``."""

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
_T = "http://terminology.hl7.org/CodeSystem"
DAYS = ("2021-03-04T08:00:00+08:00", "2021-03-05T09:30:00+00:00", "2021-03-06T23:30:00-05:00")
VALUES = (Decimal("1.50"), Decimal(6), Decimal(9))
_DAY = DAYS[0]
CODE = "1975-2"
OTHER_CODE = "2160-0"


def concept(system: str, code: str) -> Resource:
    """A CodeableConcept."""
    return {"coding": [{"system": system, "code": code}]}


def _local(code: str) -> Resource:
    return concept(f"{SYSTEM}/codes", code)


def observation(refer: Refer, number: int = 0) -> Resource:
    """A laboratory result: on one of three days, with one of three values."""
    return {
        "status": "final",
        "category": [concept(f"{_T}/observation-category", "laboratory")],
        "code": concept(LOINC, OTHER_CODE if number else CODE),
        "subject": refer("Patient"),
        "effectiveDateTime": DAYS[number],
        "valueQuantity": {
            "value": VALUES[number], "unit": "mg/dL", "system": UCUM, "code": "mg/dL"
        },
        "component": [{"code": _local("part"), "valueString": "nothing"}],
    }  # fmt: skip


def _patient(_: Refer) -> Resource:
    return {"active": True, "name": [{"text": "Test Doctor", "family": "Doctor"}],
            "gender": "female", "birthDate": "1970-01-01"}  # fmt: skip


def _linked(refer: Refer) -> Resource:
    link = {"other": refer("Patient"), "type": "seealso"}
    return {"active": True, "name": [{"text": "Test Link"}], "link": [link]}


def _drug(refer: Refer, **more: object) -> Resource:
    return {"status": "completed", "medicationReference": refer("Medication"),
            "subject": refer("Patient"), **more}  # fmt: skip


def _canonical(kind: str, number: str, **more: object) -> Resource:
    return {"url": f"{SYSTEM}/{kind}/{number}", "version": "1", "status": "active", **more}


def _plan(exam: Exam) -> list[tuple[str, Callable[[Refer], Resource]]]:
    """Every specimen after those it refers to."""
    token = exam.own.token
    return [
        ("Patient", _patient),
        ("Patient:link", _linked),
        ("Device", lambda _: {"status": "active", "deviceName": [
            {"name": "fhir-adapter doctor", "type": "user-friendly-name"}]}),
        ("Location", lambda _: {"status": "active", "name": "Test location"}),
        ("Medication", lambda _: {"status": "active", "code": _local("drug")}),
        ("PlanDefinition", lambda _: _canonical("PlanDefinition", token)),
        ("Library", lambda _: _canonical("Library", token, type=concept(
            f"{_T}/library-type", "logic-library"))),
        ("ValueSet", lambda _: _canonical("ValueSet", token)),
        ("Questionnaire", lambda _: _canonical("Questionnaire", token)),
        ("ResearchStudy", lambda r: {"status": "active", "title": "Test study",
            "protocol": [r("PlanDefinition")], "site": [r("Location")]}),
        ("Observation", observation),
        ("Observation:second", lambda r: observation(r, 1)),
        ("Observation:third", lambda r: observation(r, 2)),
        ("DiagnosticReport", lambda r: {"status": "final", "code": _local("report"),
            "category": [_local("category")], "subject": r("Patient"),
            "effectiveDateTime": _DAY, "result": [r("Observation")]}),
        ("Condition", lambda r: {
            "clinicalStatus": concept(f"{_T}/condition-clinical", "active"),
            "verificationStatus": concept(f"{_T}/condition-ver-status", "confirmed"),
            "category": [concept(f"{_T}/condition-category", "problem-list-item")],
            "code": _local("problem"), "subject": r("Patient"),
            "onsetDateTime": _DAY, "recordedDate": _DAY}),
        ("Procedure", lambda r: {"status": "completed", "code": _local("act"),
            "subject": r("Patient"), "performedDateTime": _DAY}),
        ("MedicationRequest", lambda r: _drug(r, intent="order", authoredOn=_DAY)),
        ("MedicationStatement", lambda r: _drug(r, effectiveDateTime=_DAY)),
        ("MedicationAdministration", lambda r: _drug(r, effectiveDateTime=_DAY)),
        ("MedicationDispense", lambda r: _drug(r, whenHandedOver=_DAY)),
        ("Immunization", lambda r: {"status": "completed", "vaccineCode": _local("vaccine"),
            "patient": r("Patient"), "occurrenceDateTime": _DAY}),
        ("AllergyIntolerance", lambda r: {"criticality": "low", "code": _local("allergy"),
            "clinicalStatus": concept(f"{_T}/allergyintolerance-clinical", "active"),
            "patient": r("Patient")}),
        ("ServiceRequest", lambda r: {"status": "completed", "intent": "order",
            "code": _local("order"), "subject": r("Patient"), "authoredOn": _DAY}),
        ("Encounter", lambda r: {"status": "finished", "subject": r("Patient"),
            "class": {"system": f"{_T}/v3-ActCode", "code": "AMB"},
            "period": {"start": _DAY, "end": DAYS[1]},
            "location": [{"location": r("Location")}]}),
        ("QuestionnaireResponse", lambda r: {"status": "completed", "authored": _DAY,
            "questionnaire": f"{SYSTEM}/Questionnaire/{token}", "subject": r("Patient")}),
        ("Consent", lambda r: {"status": "active", "patient": r("Patient"), "dateTime": _DAY,
            "scope": concept(f"{_T}/consentscope", "research"),
            "category": [concept(LOINC, "59284-0")],
            "policy": [{"uri": f"{SYSTEM}/policy"}],
            "provision": {"type": "permit", "period": {"start": _DAY, "end": DAYS[1]}}}),
        ("DocumentReference", lambda r: {"status": "current", "type": _local("note"),
            "category": [_local("category")], "subject": r("Patient"), "date": _DAY,
            "content": [{"attachment": {"contentType": "text/plain", "data": "dGVzdA=="}}]}),
        ("ResearchSubject", lambda r: {"status": "candidate", "study": r("ResearchStudy"),
            "individual": r("Patient")}),
        ("GuidanceResponse", lambda r: {"status": "success", "subject": r("Patient"),
            "moduleCanonical": f"{SYSTEM}/PlanDefinition/{token}|1",
            "requestIdentifier": {"system": SYSTEM, "value": f"{token}-request"},
            "performer": r("Device"), "occurrenceDateTime": _DAY,
            "outputParameters": {"reference": "#results"}, "contained": [_RESULTS]}),
        ("Provenance", lambda r: {"target": [r("ResearchSubject")], "recorded": _DAY,
            "policy": [f"{SYSTEM}#{token}"], "agent": [{"who": r("Device")}]}),
        ("Task", lambda r: {"status": "requested", "intent": "proposal", "for": r("Patient"),
            "code": _local("review"), "focus": r("ResearchSubject")}),
        ("List", lambda r: {"status": "current", "mode": "working", "code": _local("screening"),
            "title": "Test list", "entry": [{"item": r("ResearchSubject"), "date": _DAY}]}),
    ]  # fmt: skip


def kinds_of(exam: Exam) -> tuple[str, ...]:
    """Types with an identifier that a run may leave, each after those that it refers to."""
    return tuple(dict.fromkeys(name.partition(":")[0] for name, _ in _plan(exam)))


_RESULTS: Resource = {
    "resourceType": "Parameters",
    "id": "results",
    "parameter": [{"name": "criterion", "part": [{"name": "number", "valueString": "1"}]}],
}
"""The only form of results that R4 allows: contained, and referred to."""


class _NotThere(Exception):  # noqa: N818 - a gap, not a mistake
    """A specimen refers to one that the server did not take."""


def write_specimens(exam: Exam) -> None:
    """Send them all; what is refused, or refers to what was refused, is left out."""
    places: dict[str, str] = {}

    def refer(name: str) -> Resource:
        if name not in places:
            raise _NotThere
        return {"reference": places[name]}

    for name, make in _plan(exam):
        kind = name.partition(":")[0]
        try:
            elements = make(refer)
        except _NotThere:
            continue
        sent = exam.own.marked(kind, elements)
        reply = exam.own.create(sent)
        exam.replies[name], exam.sent[name] = reply, sent
        if reply.is_good and reply.id:
            places[name] = f"{kind}/{reply.id}"
            exam.specimens[name] = {**sent, **reply.body, "id": reply.id}
    if "Patient" in places:
        exam.patient = places["Patient"].removeprefix("Patient/")


def reference_to(resource: Resource) -> str:
    """``Type/id``."""
    kind, number = text(resource.get("resourceType")), text(resource.get("id"))
    return reference({"reference": f"{kind}/{number}"})
