"""Search parameters that the adapter uses, each proved by two canaries: one to be found, one not.

A server that does not know a parameter may answer as if nobody had data (measured on Medplum), or
as if it had not been asked: neither may pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fhir_adapter.client import escaped
from fhir_adapter.doctor.check import Check, Seen, fails, unsure, works
from fhir_adapter.doctor.exam import NOBODY, OWNERS, Exam
from fhir_adapter.doctor.own import SYSTEM
from fhir_adapter.fhir.reading import is_array, is_object, parts, reference, text
from fhir_adapter.model.server import Verdict
from fhir_adapter.ports import Resource

Kind = Literal["token", "reference", "date", "instant", "uri"]
_MANY = "50"
_NOT_OFFERED = frozenset((401, 403, 404, 405, 501))


@dataclass(frozen=True, slots=True)
class Pair:
    """One parameter of one type, and the element whose value it compares."""

    resource_type: str
    parameter: str
    path: str
    kind: Kind
    needed: bool = False

    @property
    def id(self) -> str:
        """Id of the check."""
        return f"search.{self.resource_type}.{self.parameter}"


_PATHS: dict[str, tuple[str, Kind]] = {
    "_id": ("id", "token"),
    "_lastUpdated": ("meta.lastUpdated", "instant"),
    "identifier": ("identifier", "token"),
    "category": ("category", "token"),
    "code": ("code", "token"),
    "status": ("status", "token"),
    "intent": ("intent", "token"),
    "type": ("type", "token"),
    "url": ("url", "uri"),
    "version": ("version", "token"),
    "authored": ("authored", "date"),
    "medication": ("medicationReference", "reference"),
}
_ROWS = """
Patient            ! _id identifier ? _lastUpdated link=link.other:reference active=active:token
Observation        ! patient category date=effectiveDateTime:date
                   ? code combo-code=component.code:token _lastUpdated
DiagnosticReport   ! patient category ? code date=effectiveDateTime:date
Condition          ! patient ? category code onset-date=onsetDateTime:date
                   ? recorded-date=recordedDate:date
Procedure          ! patient ? date=performedDateTime:date code
MedicationRequest  ! patient intent ? authoredon=authoredOn:date medication
MedicationStatement ! patient ? effective=effectiveDateTime:date medication
MedicationAdministration ! patient ? effective-time=effectiveDateTime:date medication
MedicationDispense ! patient ? whenhandedover=whenHandedOver:date medication
Immunization       ! patient ? date=occurrenceDateTime:date
AllergyIntolerance ! patient ? criticality=criticality:token code
ServiceRequest     ! patient ? code authored=authoredOn:date intent status
Encounter          ! patient date=period.start:date status class=class:token
                   ? location=location.location:reference _lastUpdated
QuestionnaireResponse ! patient questionnaire=questionnaire:uri ? authored status
Consent            ! patient status scope=scope:token ? category period=provision.period.start:date
DocumentReference  ! patient ? date=date:date type category _lastUpdated
ResearchSubject    ! patient study=study:reference identifier ? status
ResearchStudy      ! identifier status ? protocol=protocol:reference site=site:reference
PlanDefinition     ! url version ? status
Library            ! url version ? status
ValueSet           ! url version ? status
Questionnaire      ! url version ? status
GuidanceResponse   ? identifier
Task               ? identifier focus=focus:reference patient status code
List               ? identifier code item=entry.item:reference
Provenance         ? target=target:reference
Device             ? identifier
"""
"""Shapes page, section 5: ``!`` needed, ``?`` better with."""

_PULLED = frozenset(OWNERS) - {"GuidanceResponse", "List", "Task", "ResearchSubject"}


def _pairs() -> Iterator[Pair]:
    kind, needed = "", False
    for word in _ROWS.split():
        if word in {"!", "?"}:
            needed = word == "!"
        elif word[0].isupper():
            kind = word
        else:
            yield _pair(kind, word, needed=needed)


def _pair(kind: str, word: str, *, needed: bool) -> Pair:
    name, _, how = word.partition("=")
    path, _, compares = how.partition(":")
    if name == "patient":
        return Pair(kind, name, OWNERS[kind], "reference", needed and kind in _PULLED)
    if not how:
        path, compares = _PATHS[name]
    return Pair(kind, name, path, compares, needed and name == "_id")  # type: ignore[arg-type] # the literals of the table above


PAIRS: tuple[Pair, ...] = tuple(_pairs())


def pair_checks() -> tuple[Check, ...]:
    """A row of the table for each pair."""
    return tuple(
        Check(
            id=pair.id,
            title=f"{pair.resource_type} by {pair.parameter}",
            means=_means(pair),
            remedy=_remedy(pair),
            look=lambda exam, pair=pair: look(exam, pair),  # type: ignore[misc] # mypy cannot infer a default of a lambda
            needed=pair.needed,
        )
        for pair in PAIRS
    )


def _means(pair: Pair) -> str:
    if pair.parameter == "patient":
        return f"{pair.resource_type} is not retrieved: what needs it stays open"
    return "the parameter is not used; what depends on it is read whole and filtered here"


def _remedy(pair: Pair) -> str:
    if pair.parameter == "patient":
        return f"Ask the vendor for {pair.resource_type} by patient, and for the right to it."
    return "None needed, or ask the vendor for it."


def look(exam: Exam, pair: Pair) -> Seen:
    """Both canaries; a type of which nothing is there leaves the first one open."""
    specimen = exam.specimens.get(f"{pair.resource_type}:{pair.parameter}")
    specimen = specimen or exam.specimen(pair.resource_type)
    values = [] if specimen is None else values_at(specimen, pair.path)
    something = next((said for value in values if (said := _asked(pair, value))), "")
    if specimen is None or not something:
        return _nothing_only(exam, pair, specimen)
    scope = scope_of(exam, pair, specimen)
    found = exam.probe.find(
        pair.resource_type, {**scope, pair.parameter: something, "_count": _MANY}
    )
    if not found.is_searchset:
        return fails(f"refused ({found.status})" if not found.is_good else "not a Bundle")
    if found.link("self") and pair.parameter not in found.echoed:
        return fails("left out of the self link: not used")
    if all(one.get("id") != specimen["id"] for one in found.rows(pair.resource_type)):
        more = bool(found.link("next"))
        return unsure("too many to tell") if more else fails("answered as if it were not there")
    return _nothing(exam, pair, scope)


def _nothing_only(exam: Exam, pair: Pair, specimen: Resource | None) -> Seen:
    """Without something to look for nothing can be proved, only refuted."""
    scope = {} if specimen is None else scope_of(exam, pair, specimen)
    seen = _nothing(exam, pair, scope)
    return seen if seen.verdict is Verdict.FAILS else unsure("nothing is there to look for")


def _nothing(exam: Exam, pair: Pair, scope: dict[str, str]) -> Seen:
    """Nonsense finds nothing; a server may also refuse it."""
    params = {**scope, pair.parameter: nonsense(pair), "_count": "2"}
    found = exam.probe.find(pair.resource_type, params)
    if found.status in _NOT_OFFERED:
        return fails(f"refused ({found.status})")
    if found.rows(pair.resource_type):
        return fails("nonsense found something: ignored")
    return works("found what is there, and nothing for nonsense")


def scope_of(exam: Exam, pair: Pair, specimen: Resource) -> dict[str, str]:
    """What keeps an answer small: the patient, or the name that only the specimen has."""
    if pair.parameter in {"_id", "patient", "identifier", "url"}:
        return {}
    patient = exam.patient_of(specimen)
    if patient:
        return {"patient": patient}
    if specimen.get("url") and pair.parameter in {"version", "status"}:
        return {"url": text(specimen["url"])}
    names = [one for one in parts(specimen.get("identifier")) if one.get("value")]
    return {"identifier": _token(names[0])} if names and pair.parameter != "target" else {}


def nonsense(pair: Pair) -> str:
    """A value of the right form that nothing has."""
    match pair.kind:
        case "date":
            return "lt1900-01-01"
        case "instant":
            return "lt1900-01-01T00:00:00Z"
        case "reference":
            target = _TARGETS.get(pair.parameter, "")
            return f"{target}/{NOBODY}" if target else NOBODY
        case "uri":
            return f"{SYSTEM}/{NOBODY}"
        case "token":  # exhaustive
            return NOBODY


_TARGETS = {
    "focus": "ResearchSubject",
    "item": "ResearchSubject",
    "target": "ResearchSubject",
    "study": "ResearchStudy",
    "protocol": "PlanDefinition",
    "site": "Location",
    "location": "Location",
    "medication": "Medication",
    "link": "Patient",
}


def _asked(pair: Pair, value: Any) -> str:
    """What to ask for so that this value is found; empty where it cannot be asked for."""
    match pair.kind:
        case "token":
            return _token(value)
        case "reference":
            return _reference(pair, value)
        case "date":
            return f"ge{int(value[:4]) - 1}" if _is_dated(value) else ""
        case "instant":
            return "ge1971-01-01T00:00:00Z"
        case "uri":  # exhaustive
            return text(value)


def _is_dated(value: Any) -> bool:
    return isinstance(value, str) and value[:4].isdecimal()


def _reference(pair: Pair, value: Any) -> str:
    found = reference(value)
    return found.removeprefix("Patient/") if pair.parameter == "patient" else found


def _token(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return escaped(value)
    if not is_object(value):
        return ""
    if "coding" in value:
        return next((found for found in map(_token, parts(value["coding"])) if found), "")
    code = text(value.get("code") or value.get("value"))
    system = text(value.get("system"))
    return f"{escaped(system)}|{escaped(code)}" if code and system else escaped(code)


def values_at(resource: Resource, path: str) -> list[Any]:
    """The values at a dotted path, lists flattened."""
    found: list[Any] = [resource]
    for step in path.split("."):
        inner = [value.get(step) for value in found if is_object(value)]
        found = [one for value in inner for one in (value if is_array(value) else [value])]
    return [value for value in found if value is not None]
