"""Code systems and codes of our own, in one place; profiles/ publishes them as FHIR."""

from __future__ import annotations

from fhir_adapter.model.code import Code

BASE = "https://fhir-adapter.example/fhir"
"""Canonical base of everything that is ours, until the project owns a name."""

CODE_SYSTEM = f"{BASE}/CodeSystem"
STRUCTURE = f"{BASE}/StructureDefinition"
VALUE_SET = f"{BASE}/ValueSet"

LOCAL_FINDINGS = f"{CODE_SYSTEM}/local-findings"
"""Findings for which no standard code was found (West Haven grade, ascites grade, ...)."""

PATIENT_FACT = f"{CODE_SYSTEM}/patient-fact"
BIRTH_DATE = Code(PATIENT_FACT, "birth-date")
"""start = the birth date as an interval of its printed precision."""
SEX = Code(PATIENT_FACT, "sex")
"""value_concepts = one of FEMALE, MALE, or nothing; date_source = which element decided."""
DECEASED = Code(PATIENT_FACT, "deceased")
"""start = when, unbounded where only a boolean is sent; also from a discharge disposition."""
SUPERSEDED = Code(PATIENT_FACT, "superseded")
"""This record was replaced by another (Patient.link replaced-by)."""
RESTRICTED = Code(PATIENT_FACT, "restricted")
TEST_RECORD = Code(PATIENT_FACT, "test-record")

SEX_SYSTEM = "http://hl7.org/fhir/administrative-gender"
FEMALE = Code(SEX_SYSTEM, "female")
MALE = Code(SEX_SYSTEM, "male")

QUESTION = f"{CODE_SYSTEM}/question"
"""Code of an answer fact: "<study>/<question>"; of a set anchor: "<study>/anchor/<name>"."""
ANSWER = f"{CODE_SYSTEM}/answer"
YES = Code(ANSWER, "yes")
NO = Code(ANSWER, "no")
NOT_KNOWN = Code(ANSWER, "not-known")

CONSENT_SCOPE = f"{CODE_SYSTEM}/consent-fact"
RESEARCH_PERMIT = Code(CONSENT_SCOPE, "research-permit")
RESEARCH_DENY = Code(CONSENT_SCOPE, "research-deny")
"""An opt-out: a stop. Also given by a rejected or inactive research Consent."""

PARTICIPATION = "http://hl7.org/fhir/research-subject-status"
"""Code of a study-participation fact: the ResearchSubject.status as sent."""

ADMISSION_CLASSES = frozenset(("IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS"))
"""Encounter.class codes (v3-ActCode) of inpatient and emergency encounters."""

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def question_code(study: str, question: str) -> Code:
    """The code of an answer to one question of one study."""
    return Code(QUESTION, f"{study}/{question}")


def anchor_code(study: str, anchor: str) -> Code:
    """The code of an anchor that a person has set."""
    return Code(QUESTION, f"{study}/anchor/{anchor}")


WITHOUT_KNOWN_CODE = "without-known-code"
"""Ends the issue of a record in which facts of a kind have no code that anything here can read."""
