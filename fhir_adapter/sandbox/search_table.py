"""The search parameters of the sandbox, by hand: what the adapter and the doctor use (R4 names).

Anything else is refused with an OperationOutcome, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["token", "reference", "date", "uri", "string"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter: how it compares, and which elements it reads."""

    kind: Kind
    paths: tuple[str, ...]


def _token(*paths: str) -> Parameter:
    return Parameter("token", paths)


def _reference(*paths: str) -> Parameter:
    return Parameter("reference", paths)


def _date(*paths: str) -> Parameter:
    return Parameter("date", paths)


COMMON = {"_id": _token("id"), "_lastUpdated": _date("meta.lastUpdated")}
CONTROLS = frozenset(("_count", "_sort", "_include", "_summary", "_total", "_format", "_page"))

_SUBJECT = {"patient": _reference("subject"), "subject": _reference("subject")}
_PATIENT = {"patient": _reference("patient")}
_IDENTIFIER = {"identifier": _token("identifier")}
_CODE = {"code": _token("code")}
_STATUS = {"status": _token("status")}
_CATEGORY = {"category": _token("category")}
_CANONICAL = {"url": Parameter("uri", ("url",)), "version": _token("version"), **_STATUS}
_MEDICATION = {
    **_SUBJECT,
    **_STATUS,
    **_IDENTIFIER,
    "medication": _reference("medicationReference"),
    "code": _token("medicationCodeableConcept"),
}
_EFFECTIVE = _date("effectiveDateTime", "effectivePeriod", "effectiveInstant")

TABLE: dict[str, dict[str, Parameter]] = {
    "Patient": {
        **_IDENTIFIER,
        "active": _token("active"),
        "link": _reference("link.other"),
        "name": Parameter("string", ("name.text", "name.family", "name.given")),
        "birthdate": _date("birthDate"),
    },
    "Observation": {
        **_SUBJECT, **_IDENTIFIER, **_CODE, **_STATUS, **_CATEGORY,
        "combo-code": _token("code", "component.code"),
        "date": _EFFECTIVE,
        "encounter": _reference("encounter"),
    },
    "DiagnosticReport": {
        **_SUBJECT, **_IDENTIFIER, **_CODE, **_STATUS, **_CATEGORY,
        "date": _EFFECTIVE, "result": _reference("result"),
    },
    "Condition": {
        **_SUBJECT, **_IDENTIFIER, **_CODE, **_CATEGORY,
        "clinical-status": _token("clinicalStatus"),
        "onset-date": _date("onsetDateTime", "onsetPeriod"),
        "recorded-date": _date("recordedDate"),
    },
    "Procedure": {
        **_SUBJECT, **_IDENTIFIER, **_CODE, **_STATUS,
        "date": _date("performedDateTime", "performedPeriod"),
    },
    "MedicationRequest": {
        **_MEDICATION, "intent": _token("intent"), "authoredon": _date("authoredOn"),
    },
    "MedicationStatement": {
        **_MEDICATION, "effective": _date("effectiveDateTime", "effectivePeriod"),
    },
    "MedicationAdministration": {
        **_MEDICATION, "effective-time": _date("effectiveDateTime", "effectivePeriod"),
    },
    "MedicationDispense": {**_MEDICATION, "whenhandedover": _date("whenHandedOver")},
    "Medication": {**_IDENTIFIER, **_CODE, **_STATUS},
    "Immunization": {
        **_PATIENT, **_IDENTIFIER, **_STATUS,
        "date": _date("occurrenceDateTime"), "vaccine-code": _token("vaccineCode"),
    },
    "AllergyIntolerance": {
        **_PATIENT, **_IDENTIFIER, **_CODE,
        "criticality": _token("criticality"), "clinical-status": _token("clinicalStatus"),
    },
    "Encounter": {
        **_SUBJECT, **_IDENTIFIER, **_STATUS,
        "date": _date("period"), "class": _token("class"), "type": _token("type"),
        "location": _reference("location.location"),
    },
    "ServiceRequest": {
        **_SUBJECT, **_IDENTIFIER, **_CODE, **_STATUS, **_CATEGORY,
        "authored": _date("authoredOn"), "intent": _token("intent"),
    },
    "Consent": {
        **_PATIENT, **_IDENTIFIER, **_STATUS, **_CATEGORY,
        "scope": _token("scope"), "date": _date("dateTime"), "period": _date("provision.period"),
    },
    "QuestionnaireResponse": {
        **_SUBJECT, **_IDENTIFIER, **_STATUS,
        "questionnaire": Parameter("uri", ("questionnaire",)), "authored": _date("authored"),
    },
    "DocumentReference": {
        **_SUBJECT, **_IDENTIFIER, **_STATUS, **_CATEGORY,
        "date": _date("date"), "type": _token("type"),
    },
    "ResearchSubject": {
        **_IDENTIFIER, **_STATUS,
        "patient": _reference("individual"), "individual": _reference("individual"),
        "study": _reference("study"), "date": _date("period"),
    },
    "ResearchStudy": {
        **_IDENTIFIER, **_STATUS,
        "protocol": _reference("protocol"), "site": _reference("site"),
        "title": Parameter("string", ("title",)),
    },
    "PlanDefinition": {**_CANONICAL, **_IDENTIFIER},
    "Library": {**_CANONICAL, **_IDENTIFIER},
    "ValueSet": {**_CANONICAL, **_IDENTIFIER},
    "CodeSystem": {**_CANONICAL, **_IDENTIFIER},
    "ConceptMap": {**_CANONICAL, **_IDENTIFIER},
    "Questionnaire": {**_CANONICAL, **_IDENTIFIER},
    "Group": {**_IDENTIFIER, **_CODE, "type": _token("type")},
    "GuidanceResponse": {**_SUBJECT, **_IDENTIFIER, "request": _token("requestIdentifier")},
    "Provenance": {
        "target": _reference("target"), "patient": _reference("target"),
        "agent": _reference("agent.who"), "recorded": _date("recorded"),
    },
    "Device": {**_IDENTIFIER, **_STATUS},
    "Task": {
        **_IDENTIFIER, **_STATUS, **_CODE,
        "patient": _reference("for"), "focus": _reference("focus"),
    },
    "List": {**_SUBJECT, **_IDENTIFIER, **_STATUS, **_CODE, "item": _reference("entry.item")},
    "Organization": {**_IDENTIFIER}, "Practitioner": {**_IDENTIFIER},
    "Location": {**_IDENTIFIER}, "Composition": {**_SUBJECT, **_IDENTIFIER},
    "AuditEvent": {"patient": _reference("entity.what"), "date": _date("recorded")},
}  # fmt: skip

INCLUDES: dict[str, dict[str, str]] = {
    **{
        name: {"medication": "medicationReference"}
        for name in (
            "MedicationRequest",
            "MedicationStatement",
            "MedicationAdministration",
            "MedicationDispense",
        )
    },
    "ResearchSubject": {"study": "study"},
    "ResearchStudy": {"protocol": "protocol"},
    "DiagnosticReport": {"result": "result"},
}
"""_include: type -> parameter -> the element whose references are followed."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "ResearchSubject": ("status", "study", "individual"),
    "GuidanceResponse": ("status", "moduleCanonical"),
    "Provenance": ("target", "recorded", "agent"),
    "Observation": ("status", "code"),
    "PlanDefinition": ("status",),
    "Library": ("status", "type"),
    "ResearchStudy": ("status",),
}
"""Elements with a minimum of one, of the types that are written here."""

STATUSES: dict[str, frozenset[str]] = {
    "ResearchSubject": frozenset(
        (
            "candidate",
            "eligible",
            "follow-up",
            "ineligible",
            "not-registered",
            "off-study",
            "on-study",
            "on-study-intervention",
            "on-study-observation",
            "pending-on-study",
            "potential-candidate",
            "screening",
            "withdrawn",
        )
    ),
    "GuidanceResponse": frozenset(
        (
            "success",
            "data-requested",
            "data-required",
            "in-progress",
            "failure",
            "entered-in-error",
        )
    ),
}
"""Required bindings of the types that the adapter writes."""

PATIENT_DATA = frozenset(
    name for name, row in TABLE.items() if "patient" in row and name != "Provenance"
)
