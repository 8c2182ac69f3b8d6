"""How searches behave: values, modifiers, results, unknown parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import urlencode

from fhir_adapter.client import escaped
from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure, works
from fhir_adapter.doctor.exam import NOBODY, Exam
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.fhir.reading import codings, part, reference, text
from fhir_adapter.ports import Resource

_CANARY = "fhir-adapter-canary"
"""Without an underscore: HAPI drops unknown names that begin with one, whatever it is asked."""
_FORM = "application/x-www-form-urlencoded"
_MANY = "50"
_NONE = "no result of a known patient is there"
_EAST, _WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))


def holds(
    exam: Exam, kind: str, wanted: Mapping[str, str], unwanted: Mapping[str, str], number: str
) -> Seen:
    """The first search must find the resource, the second must not."""
    found = exam.probe.find(kind, {**wanted, "_count": _MANY})
    if not found.is_searchset:
        return fails(f"refused ({found.status})")
    if not _has(found, kind, number):
        return fails("answered as if it were not there")
    against = exam.probe.find(kind, {**unwanted, "_count": _MANY})
    if against.is_searchset and _has(against, kind, number):
        return fails("found whatever is asked: ignored")
    return works("found what is there, and nothing else")


def _has(reply: Reply, kind: str, number: str) -> bool:
    return any(one.get("id") == number for one in reply.rows(kind))


Result = Callable[[Exam, Resource, str], Seen]


def _of_result(look: Result) -> Callable[[Exam], Seen]:
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

    return _of_result(look)


def _code_as(spell: Callable[[str, str], str]) -> Callable[[Exam], Seen]:
    def look(exam: Exam, found: Resource, patient: str) -> Seen:
        named = next(iter(codings(found.get("code"))), None)
        if named is None or not named.system:
            return unsure("its code has no system")
        asked = {"patient": patient, "code": spell(escaped(named.system), escaped(named.code))}
        other = {"patient": patient, "code": spell(f"{named.system}/{NOBODY}", NOBODY)}
        return holds(exam, "Observation", asked, other, text(found["id"]))

    return _of_result(look)


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


def _moment(found: Resource) -> datetime | None:
    """effectiveDateTime as an instant; None where it is none."""
    try:
        moment = datetime.fromisoformat(text(found.get("effectiveDateTime")))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _date(prefix: str, inside: int) -> Callable[[Exam], Seen]:
    """Whole days, two days apart from it, so that no zone matters."""

    def look(exam: Exam, found: Resource, patient: str) -> Seen:
        moment = _moment(found)
        if moment is None:
            return unsure("it has no date with a time and zone")
        near = (moment + timedelta(days=inside)).date().isoformat()
        far = (moment - timedelta(days=inside)).date().isoformat()
        wanted = {"patient": patient, "date": f"{prefix}{near}"}
        unwanted = {"patient": patient, "date": f"{prefix}{far}"}
        return holds(exam, "Observation", wanted, unwanted, text(found["id"]))

    return _of_result(look)


def _zone(exam: Exam, found: Resource, patient: str) -> Seen:
    """An hour before it, on a clock that reads later; an hour after, on one that reads earlier."""
    moment = _moment(found)
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

    return _of_result(look)


def _sorted(exam: Exam, found: Resource, patient: str) -> Seen:
    up = exam.probe.find("Observation", {"patient": patient, "_sort": "date", "_count": _MANY})
    down = exam.probe.find("Observation", {"patient": patient, "_sort": "-date", "_count": _MANY})
    if not up.is_searchset or not down.is_searchset:
        return fails(f"refused ({max(up.status, down.status)})")
    if not up.link("next") and not _has(up, "Observation", text(found["id"])):
        return fails("answered as if it were not there")
    rising, falling = _moments(up), _moments(down)
    if len(set(rising)) < 2 or len(set(falling)) < 2:  # noqa: PLR2004
        return unsure("there are not two dates to sort")
    ordered = rising == sorted(rising) and falling == sorted(falling, reverse=True)
    return either(ordered, "in order", "not in order")


def _moments(reply: Reply) -> list[datetime]:
    return [moment for one in reply.rows("Observation") if (moment := _moment(one)) is not None]


def _counted(exam: Exam, found: Resource, patient: str) -> Seen:
    del found
    one = exam.probe.find("Observation", {"patient": patient, "_count": "1"})
    if not one.is_searchset:
        return fails(f"refused ({one.status})")
    rows = len(one.rows("Observation"))
    if rows == 1 and not one.link("next"):
        return unsure("there is only one")
    return either(rows == 1, "one, as asked", f"{rows} where one was asked for")


def _total(exam: Exam, found: Resource, patient: str) -> Seen:
    asked = {"patient": patient, "_total": "accurate", "_count": _MANY}
    one = exam.probe.find("Observation", asked)
    if not one.is_searchset:
        return fails(f"refused ({one.status})")
    if not one.link("next") and not _has(one, "Observation", text(found["id"])):
        return fails("answered as if it were not there")
    return _true_total(one)


def _true_total(reply: Reply) -> Seen:
    rows = len(reply.rows("Observation"))
    if reply.total is None:
        return fails("no total is stated")
    if reply.link("next"):
        return either(reply.total > rows, "stated", "less than there is")
    return either(reply.total == rows, "stated and true", "stated and not true")


def _summary(exam: Exam, found: Resource, patient: str) -> Seen:
    del found
    one = exam.probe.find("Observation", {"patient": patient, "_summary": "count"})
    if not one.is_searchset:
        return fails(f"refused ({one.status})")
    if one.rows("Observation"):
        return fails("resources came, not only their count")
    return either(bool(one.total), "counted", "no count, or none found")


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


def _include(exam: Exam) -> Seen:
    found = exam.specimen("MedicationRequest")
    target = "" if found is None else reference(part(found.get("medicationReference")))
    if found is None or not target:
        return unsure("no order with a Medication of its own is there")
    asked = {"_id": text(found["id"]), "_include": "MedicationRequest:medication"}
    reply = exam.probe.find("MedicationRequest", asked)
    if not reply.is_searchset:
        return fails(f"refused ({reply.status})")
    came = [one for one in reply.included("Medication") if f"Medication/{one.get('id')}" == target]
    return either(bool(came), "came with it", "did not come")


def _revinclude(exam: Exam, found: Resource, patient: str) -> Seen:
    asked = {"_id": patient, "_revinclude": "Observation:patient"}
    reply = exam.probe.find("Patient", asked)
    if not reply.is_searchset:
        return fails(f"refused ({reply.status})")
    came = [one for one in reply.included("Observation") if one.get("id") == found["id"]]
    if not came and reply.included("Observation"):
        return unsure("others came, on a first page")
    return either(bool(came), "came with it", "did not come")


def _post(exam: Exam, found: Resource, patient: str) -> Seen:
    number = text(found["id"])
    for asked, good in ((patient, True), (NOBODY, False)):
        form = urlencode({"patient": asked, "_id": number}).encode()
        reply = exam.probe.ask(
            "POST", "Observation/_search", body=form, headers={"Content-Type": _FORM}
        )
        if not reply.is_searchset:
            return fails(f"refused ({reply.status})")
        if _has(reply, "Observation", number) is not good:
            return fails("not found" if good else "found whatever is asked")
    return works("found what is there, and nothing else")


def _unknown(exam: Exam, found: Resource, patient: str) -> Seen:
    """R4 search 3.1.1.1: left out of ``self``, or refused; never answered with nothing."""
    asked = {"patient": patient, _CANARY: "1", "_count": _MANY}
    reply = exam.probe.find("Observation", asked, {"Prefer": "handling=lenient"})
    if not reply.is_good:
        return works(f"refused ({reply.status})")
    if not reply.rows("Observation"):
        return fails("answered as if nobody had data")
    if not reply.link("self"):
        return fails("ignored, and there is no self link to see it by")
    del found
    return either(_CANARY not in reply.echoed, "left out of self", "ignored, and kept in self")


def _strict(exam: Exam, found: Resource, patient: str) -> Seen:
    del found
    asked = {"patient": patient, _CANARY: "1", "_count": "1"}
    reply = exam.probe.find("Observation", asked, {"Prefer": "handling=strict"})
    return either(not reply.is_good, f"refused ({reply.status})", f"answered {reply.status}")


def _self(exam: Exam, found: Resource, patient: str) -> Seen:
    del found
    reply = exam.probe.find("Observation", {"patient": patient, "_count": "1"})
    if not reply.is_searchset:
        return fails(f"refused ({reply.status})")
    if not reply.link("self"):
        return fails("no self link")
    return either("patient" in reply.echoed, "echoes what was used", "does not echo it")


_FILTERED = "none: the adapter filters here; it is not used"
_REQUESTS = "costs requests: they are read one by one"

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
        look=_of_result(_system_counts),
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
        look=_of_result(_both),
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
        look=_of_result(_zone),
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
        id="query.sort",
        title="_sort=date and -date",
        means="none: nothing is taken as latest because a server says so",
        look=_of_result(_sorted),
    ),
    Check(
        id="query.count",
        title="_count",
        means="pages are as large as the server likes",
        look=_of_result(_counted),
    ),
    Check(
        id="query.total",
        title="_total=accurate",
        means="a page chain that breaks off cannot be noticed",
        look=_of_result(_total),
    ),
    Check(
        id="query.summary-count",
        title="_summary=count",
        means="counts need whole searches",
        look=_of_result(_summary),
    ),
    Check(
        id="query.quantity",
        title="value-quantity",
        means=_FILTERED,
        look=_of_result(_quantity),
    ),
    Check(
        id="query.composite",
        title="code-value-quantity",
        means=_FILTERED,
        look=_of_result(_composite),
    ),
    Check(
        id="query.chained",
        title="patient.gender",
        means=_FILTERED,
        look=_of_result(_chained),
    ),
    Check(
        id="query.has",
        title="_has:Observation:patient:code",
        means=_FILTERED,
        look=_of_result(_reverse_chained),
    ),
    Check(
        id="query.include",
        title="_include=MedicationRequest:medication",
        means=_REQUESTS,
        look=_include,
    ),
    Check(
        id="query.revinclude",
        title="_revinclude=Observation:patient",
        means=_REQUESTS,
        look=_of_result(_revinclude),
    ),
    Check(
        id="query.post",
        title="POST _search",
        means="patients' ids stand in addresses, and so in the server's access log",
        remedy="See that the log of this server and of proxies is protected like the record.",
        look=_of_result(_post),
    ),
    Check(
        id="query.unknown-lenient",
        title="an unknown parameter shows",
        means="an unsupported search looks like a patient without data: only proved ones are used",
        look=_of_result(_unknown),
    ),
    Check(
        id="query.unknown-strict",
        title="Prefer: handling=strict refuses an unknown parameter",
        means="what was ignored must be seen in the self link",
        look=_of_result(_strict),
    ),
    Check(
        id="query.self",
        title="the self link echoes what was used",
        means="a parameter that is dropped silently cannot be noticed",
        look=_of_result(_self),
    ),
)
