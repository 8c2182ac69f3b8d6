"""Patient -> facts: birth date, sex, death, superseded, restricted and test records.

Sources: FHIR R4 Patient; sex: sex-for-clinical-use, else a birth-sex extension, else gender
(fhir-shapes section 4); seed-trial section 8 (a birth date of 1 January or of 1900 is suspect).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from fhir_adapter.facts.context import COUNTS, IGNORED, UNUSABLE, Context, When, make, moment
from fhir_adapter.facts.security import is_restricted, is_test
from fhir_adapter.fhir.reading import codings, extensions, first_code, parts, text
from fhir_adapter.model.code import SNOMED, Code
from fhir_adapter.model.dates import EARLIEST, Span
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.vocabulary import (
    BIRTH_DATE,
    DECEASED,
    FEMALE,
    MALE,
    RESTRICTED,
    SEX,
    SEX_SYSTEM,
    SUPERSEDED,
    TEST_RECORD,
)
from fhir_adapter.ports import Resource

SUSPECT = "birth-date-suspect"
NOT_A_BOOLEAN = "deceased-not-a-boolean"
CLINICAL_USE = "http://hl7.org/fhir/StructureDefinition/patient-sexParameterForClinicalUse"
BIRTH_SEX = (
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
    "http://hl7.org/fhir/StructureDefinition/patient-birthSex",
    "http://hl7.org/fhir/us/core/StructureDefinition/us-core-sex",
)
_SEXES = {
    "F": FEMALE,
    "female": FEMALE,
    "female-typical": FEMALE,
    "248152002": FEMALE,
    "M": MALE,
    "male": MALE,
    "male-typical": MALE,
    "248153007": MALE,
}
_SEX_SYSTEMS = frozenset(
    (
        SNOMED,
        SEX_SYSTEM,
        "http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender",
        "http://terminology.hl7.org/CodeSystem/sex-parameter-for-clinical-use",
        "http://hl7.org/fhir/sex-parameter-for-clinical-use",
        "",
    )
)
_OPEN_ENDED_1900 = 1900


def facts(context: Context, resource: Resource, patient: str) -> tuple[Fact, ...]:
    """What the Patient asked for says; another record of the same person adds stops only."""
    is_own = text(resource.get("id")) == patient
    found = [
        _death(context, resource, patient),
        *_marks(context, resource, patient, is_own=is_own),
    ]
    if is_own:
        found += [_birth(context, resource, patient), _sex(resource, patient)]
    return tuple(fact for fact in found if fact is not None)


def _birth(context: Context, resource: Resource, patient: str) -> Fact | None:
    if "birthDate" not in resource:
        return None
    span, issue = context.dates.read(resource["birthDate"])
    if span is None:
        when = When(source="birthDate", issues=(issue,) if issue else ())
        return make(resource, Kind.PATIENT, when, UNUSABLE, patient, concepts=(BIRTH_DATE,))
    issues = (SUSPECT,) if _suspect(span) else ()
    when = moment(span, "birthDate", EARLIEST, issue)
    return make(
        resource, Kind.PATIENT, when, COUNTS, patient, concepts=(BIRTH_DATE,), issues=issues
    )


def _suspect(span: Span) -> bool:
    """1 January, or the year 1900, often stands for "not known"."""
    first = date.fromordinal(span.date_lo)
    new_year = span.date_lo == span.date_hi and (first.month, first.day) == (1, 1)
    return new_year or first.year == _OPEN_ENDED_1900


def _sex(resource: Resource, patient: str) -> Fact | None:
    for found, source in _sexes(resource):
        known = _sex_of(found)
        if known is not None:
            return make(
                resource, Kind.PATIENT, When(source=source), COUNTS, patient,
                concepts=(SEX,), value_concepts=(known,),
            )  # fmt: skip
    return None


def _sexes(resource: Resource) -> list[tuple[Code, str]]:
    found: list[tuple[Code, str]] = []
    for extension in extensions(resource, CLINICAL_USE):
        for value in extensions(extension, "value"):
            found += [
                (code, "sex-for-clinical-use")
                for code in codings(value.get("valueCodeableConcept"))
            ]
    for extension in extensions(resource, *BIRTH_SEX):
        code = text(extension.get("valueCode")) or first_code(extension.get("valueCodeableConcept"))
        found.append((Code("", code), "birth-sex"))
    found.append((Code("", text(resource.get("gender"))), "gender"))
    return found


def _sex_of(code: Code) -> Code | None:
    return _SEXES.get(code.code) if code.system in _SEX_SYSTEMS else None


def _death(context: Context, resource: Resource, patient: str) -> Fact | None:
    """A death with its date, or one of which only the fact is known: it holds at every moment."""
    said = resource.get("deceasedBoolean")
    if said is not None and said is not False:
        return _said_to_be_dead(resource, said, patient)
    if "deceasedDateTime" not in resource:
        return None
    span, issue = context.dates.read(resource["deceasedDateTime"])
    when = (
        When(source="deceased", issues=(issue,) if issue else ())
        if span is None
        else moment(span, "deceased", None, issue)
    )
    return make(resource, Kind.PATIENT, when, COUNTS, patient, concepts=(DECEASED,))


def _said_to_be_dead(resource: Resource, said: Any, patient: str) -> Fact:
    """What is no boolean may well mean a death, and stops like a date that cannot be read.

    Only the word "false" denies it, as a server writes it that sends every boolean as a text: it
    is listed, and reads as if nothing were stated.
    """
    when = When(source="deceased", issues=() if said is True else (NOT_A_BOOLEAN,))
    if isinstance(said, str) and said.strip().lower() == "false":
        return make(resource, Kind.PATIENT, when, IGNORED, patient)
    return make(resource, Kind.PATIENT, when, COUNTS, patient, concepts=(DECEASED,))


def _marks(context: Context, resource: Resource, patient: str, *, is_own: bool) -> list[Fact]:
    marks: list[Code] = []
    if is_own and any(link.get("type") == "replaced-by" for link in parts(resource.get("link"))):
        marks.append(SUPERSEDED)
    if is_restricted(context.mappings.site, resource):
        marks.append(RESTRICTED)
    if is_test(context.mappings.site, resource):
        marks.append(TEST_RECORD)
    return [
        make(resource, Kind.PATIENT, When(source="patient"), COUNTS, patient, concepts=(mark,))
        for mark in marks
    ]
