"""How search values are compared: patients, tokens, dates, quantities, chains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from fhir_adapter.client import escaped
from fhir_adapter.doctor.check import Check, Seen, fails, unsure, works
from fhir_adapter.doctor.exam import NOBODY, Exam
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.fhir.reading import codings, part, text
from fhir_adapter.ports import Resource

MANY = "50"
_NONE = "no result of a known patient is there"
_EAST, _WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))


def holds(
    exam: Exam, kind: str, wanted: Mapping[str, str], unwanted: Mapping[str, str], number: str
) -> Seen:
    """The first search must find the resource, the second must not."""
    found = exam.probe.find(kind, {**wanted, "_count": MANY})
    if not found.is_searchset:
        return fails(f"refused ({found.status})")
    if not has(found, kind, number):
        return fails("answered as if it were not there")
    against = exam.probe.find(kind, {**unwanted, "_count": MANY})
    if against.is_searchset and has(against, kind, number):
        return fails("found whatever is asked: ignored")
    return works("found what is there, and nothing else")


def has(reply: Reply, kind: str, number: str) -> bool:
    """Whether this resource is among the matches."""
    return any(one.get("id") == number for one in reply.rows(kind))


Result = Callable[[Exam, Resource, str], Seen]


def of_result(look: Result) -> Callable[[Exam], Seen]:
    """With an Observation and the id of its patient."""

    def looked(exam: Exam) -> Seen:
        found = exam.specimen("Observation")
        patient = "" if found is None else exam.patient_of(found)
        return unsure(_NONE) if found is None or not patient else look(exam, found, patient)

    return looked


def _patient_as(spell: Callable[[str, str], str]) -> Callable[[Exam], Seen]:
    def look(exam: Exam, found: Resource, patient: str) -> Seen:
        base, number = exam.probe.base, text(found["id"])
        wanted = {"patient": spell(base, patient), "_id": number}
        unwanted = {"patient": spell(base, NOBODY), "_id": number}
        return holds(exam, "Observation", wanted, unwanted, number)

    return of_result(look)


def _code_as(spell: Callable[[str, str], str]) -> Callable[[Exam], Seen]:
    def look(exam: Exam, found: Resource, patient: str) -> Seen:
        named = next(iter(codings(found.get("code"))), None)
        if named is None or not named.system:
            return unsure("its code has no system")
        asked = {"patient": patient, "code": spell(escaped(named.system), escaped(named.code))}
        other = {"patient": patient, "code": spell(f"{named.system}/{NOBODY}", NOBODY)}
        return holds(exam, "Observation", asked, other, text(found["id"]))

    return of_result(look)


def _system_counts(exam: Exam, found: Resource, patient: str) -> Seen:
    """The right code in a wrong system finds nothing."""
    named = next(iter(codings(found.get("code"))), None)
    if named is None or not named.system:
        return unsure("its code has no system")
    code = escaped(named.code)
    asked = {"patient": patient, "code": f"{escaped(named.system)}|{code}"}
    other = {"patient": patient, "code": f"{escaped(named.system)}/{NOBODY}|{code}"}
    return holds(exam, "Observation", asked, other, text(found["id"]))


def _both(exam: Exam, found: Resource, patient: str) -> Seen:
    """Two parameters: both must hold."""
    named = next(iter(codings(found.get("code"))), None)
    if named is None:
        return unsure("it has no code")
    number, code = text(found["id"]), escaped(named.code)
    wanted = {"patient": patient, "_id": number, "code": code}
    return holds(exam, "Observation", wanted, {**wanted, "code": NOBODY}, number)


def moment_of(found: Resource) -> datetime | None:
    """effectiveDateTime as an instant; None where it is none."""
    try:
        moment = datetime.fromisoformat(text(found.get("effectiveDateTime")))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _date(prefix: str, inside: int) -> Callable[[Exam], Seen]:
    """Whole days, two days apart from it, so that no zone matters."""

    def look(exam: Exam, found: Resource, patient: str) -> Seen:
        moment = moment_of(found)
        if moment is None:
            return unsure("it has no date with a time and zone")
        near = (moment + timedelta(days=inside)).date().isoformat()
        far = (moment - timedelta(days=inside)).date().isoformat()
        wanted = {"patient": patient, "date": f"{prefix}{near}"}
        unwanted = {"patient": patient, "date": f"{prefix}{far}"}
        return holds(exam, "Observation", wanted, unwanted, text(found["id"]))

    return of_result(look)


def _zone(exam: Exam, found: Resource, patient: str) -> Seen:
    """An hour before it, on a clock that reads later; an hour after, on one that reads earlier."""
    moment = moment_of(found)
    if moment is None:
        return unsure("it has no date with a time and zone")
    before = (moment - timedelta(hours=1)).astimezone(_EAST).isoformat()
    after = (moment + timedelta(hours=1)).astimezone(_WEST).isoformat()
    wanted = {"patient": patient, "date": f"ge{before}"}
    unwanted = {"patient": patient, "date": f"ge{after}"}
    return holds(exam, "Observation", wanted, unwanted, text(found["id"]))


def _updated(*, everybody: bool) -> Callable[[Exam], Seen]:
    def look(exam: Exam, found: Resource, patient: str) -> Seen:
        since = text(part(found.get("meta")).get("lastUpdated"))
        if not since:
            return unsure("it has no lastUpdated")
        scope = {} if everybody else {"patient": patient}
        wanted = {**scope, "_lastUpdated": f"ge{since}"}
        unwanted = {**scope, "_lastUpdated": "lt1900-01-01T00:00:00Z"}
        return holds(exam, "Observation", wanted, unwanted, text(found["id"]))

    return of_result(look)


def _amount(found: Resource) -> tuple[Decimal, str] | None:
    """The value, and ``|system|code`` of its unit."""
    quantity = part(found.get("valueQuantity"))
    value = quantity.get("value")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    system, code = text(quantity.get("system")), text(quantity.get("code"))
    return Decimal(value), f"|{system}|{code}" if code else ""


def _quantity(exam: Exam, found: Resource, patient: str) -> Seen:
    amount = _amount(found)
    if amount is None:
        return unsure("it has no quantity")
    value, unit = amount
    low, high = value - 1, value + 1
    wanted = {"patient": patient, "value-quantity": f"ge{low}{unit}"}
    unwanted = {"patient": patient, "value-quantity": f"ge{high}{unit}"}
    return holds(exam, "Observation", wanted, unwanted, text(found["id"]))


def _composite(exam: Exam, found: Resource, patient: str) -> Seen:
    amount, named = _amount(found), next(iter(codings(found.get("code"))), None)
    if amount is None or named is None:
        return unsure("it has no quantity, or no code")
    value, unit = amount
    code = f"{named.system}|{named.code}"
    wanted = {"patient": patient, "code-value-quantity": f"{code}$ge{value - 1}{unit}"}
    unwanted = {"patient": patient, "code-value-quantity": f"{code}$ge{value + 1}{unit}"}
    return holds(exam, "Observation", wanted, unwanted, text(found["id"]))


def _chained(exam: Exam, found: Resource, patient: str) -> Seen:
    person = exam.probe.get(f"Patient/{patient}").body
    gender = text(person.get("gender"))
    if not gender:
        return unsure("the patient's gender is not stated")
    other = "male" if gender != "male" else "female"
    scope = {"_id": text(found["id"])}
    wanted, unwanted = {**scope, "patient.gender": gender}, {**scope, "patient.gender": other}
    return holds(exam, "Observation", wanted, unwanted, text(found["id"]))


def _reverse_chained(exam: Exam, found: Resource, patient: str) -> Seen:
    named = next(iter(codings(found.get("code"))), None)
    if named is None:
        return unsure("it has no code")
    name = "_has:Observation:patient:code"
    wanted = {"_id": patient, name: escaped(named.code)}
    return holds(exam, "Patient", wanted, {"_id": patient, name: NOBODY}, patient)


_FILTERED = "none: the adapter filters here; it is not used"

CHECKS: tuple[Check, ...] = (
    Check(
        id="query.patient-id",
        title="patient=ID",
        means="records cannot be searched",
        remedy="Use another endpoint of this server, or a Bulk Data export.",
        look=_patient_as(lambda _, number: number),
        needed=True,
    ),
    Check(
        id="query.patient-typed",
        title="patient=Patient/ID",
        means="none: bare ids are sent",
        look=_patient_as(lambda _, number: f"Patient/{number}"),
    ),
    Check(
        id="query.patient-absolute",
        title="patient=URL",
        means="none: references are made relative before a search",
        look=_patient_as(lambda base, number: f"{base}/Patient/{number}"),
    ),
    Check(
        id="query.token-system-code",
        title="code=system|code",
        means=_FILTERED,
        look=_code_as(lambda system, code: f"{system}|{code}"),
    ),
    Check(
        id="query.token-system-counts",
        title="a code in another system is another code",
        means="identifiers of others could be taken for ours: each is compared after a search",
        look=of_result(_system_counts),
    ),
    Check(
        id="query.token-code",
        title="code=code",
        means=_FILTERED,
        look=_code_as(lambda _, code: code),
    ),
    Check(
        id="query.token-or",
        title="code=a,b",
        means=_FILTERED,
        look=_code_as(lambda _, code: f"{NOBODY},{code}"),
    ),
    Check(
        id="query.and",
        title="two parameters must both hold",
        means="a narrower search brings more than was asked for, or all",
        look=of_result(_both),
        needed=True,
    ),
    Check(
        id="query.date-ge",
        title="date=ge",
        means=_FILTERED,
        look=_date("ge", -2),
    ),
    Check(
        id="query.date-lt",
        title="date=lt",
        means=_FILTERED,
        look=_date("lt", 2),
    ),
    Check(
        id="query.date-zone",
        title="dates are compared as instants, whatever the zone",
        means="no search is narrowed by hours",
        look=of_result(_zone),
    ),
    Check(
        id="query.last-updated",
        title="_lastUpdated without a patient",
        means="changes cannot be polled: a census of the patients is kept instead",
        look=_updated(everybody=True),
    ),
    Check(
        id="query.last-updated-patient",
        title="_lastUpdated with a patient",
        means="each pull is a whole one",
        look=_updated(everybody=False),
    ),
    Check(
        id="query.quantity",
        title="value-quantity",
        means=_FILTERED,
        look=of_result(_quantity),
    ),
    Check(
        id="query.composite",
        title="code-value-quantity",
        means=_FILTERED,
        look=of_result(_composite),
    ),
    Check(
        id="query.chained",
        title="patient.gender",
        means=_FILTERED,
        look=of_result(_chained),
    ),
    Check(
        id="query.has",
        title="_has:Observation:patient:code",
        means=_FILTERED,
        look=of_result(_reverse_chained),
    ),
)
