"""How searches are answered: order, counts, totals, companions, what was not understood."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure, works
from fhir_adapter.doctor.exam import NOBODY, Exam
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.doctor.querying import MANY, has, moment_of, of_result
from fhir_adapter.fhir.reading import part, reference, text
from fhir_adapter.ports import Resource

_CANARY = "fhir-adapter-canary"
"""Without an underscore: HAPI drops unknown names that begin with one, whatever it is asked."""
_FORM = "application/x-www-form-urlencoded"


def _sorted(exam: Exam, found: Resource, patient: str) -> Seen:
    up = exam.probe.find("Observation", {"patient": patient, "_sort": "date", "_count": MANY})
    down = exam.probe.find("Observation", {"patient": patient, "_sort": "-date", "_count": MANY})
    if not up.is_searchset or not down.is_searchset:
        return fails(f"refused ({max(up.status, down.status)})")
    if not up.link("next") and not has(up, "Observation", text(found["id"])):
        return fails("answered as if it were not there")
    rising, falling = _moments(up), _moments(down)
    if len(set(rising)) < 2 or len(set(falling)) < 2:  # noqa: PLR2004 - an order wants two
        return unsure("there are not two dates to sort")
    ordered = rising == sorted(rising) and falling == sorted(falling, reverse=True)
    return either(ordered, "in order", "not in order")


def _moments(reply: Reply) -> list[datetime]:
    return [moment for one in reply.rows("Observation") if (moment := moment_of(one)) is not None]


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
    asked = {"patient": patient, "_total": "accurate", "_count": MANY}
    one = exam.probe.find("Observation", asked)
    if not one.is_searchset:
        return fails(f"refused ({one.status})")
    if not one.link("next") and not has(one, "Observation", text(found["id"])):
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
        if has(reply, "Observation", number) is not good:
            return fails("not found" if good else "found whatever is asked")
    return works("found what is there, and nothing else")


def _unknown(exam: Exam, found: Resource, patient: str) -> Seen:
    """R4 search 3.1.1.1: left out of ``self``, or refused; never answered with nothing."""
    asked = {"patient": patient, _CANARY: "1", "_count": MANY}
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


_REQUESTS = "costs requests: they are read one by one"

CHECKS: tuple[Check, ...] = (
    Check(
        id="query.sort",
        title="_sort=date and -date",
        means="none: nothing is taken as latest because a server says so",
        look=of_result(_sorted),
    ),
    Check(
        id="query.count",
        title="_count",
        means="pages are as large as the server likes",
        look=of_result(_counted),
    ),
    Check(
        id="query.total",
        title="_total=accurate",
        means="a page chain that breaks off cannot be noticed",
        look=of_result(_total),
    ),
    Check(
        id="query.summary-count",
        title="_summary=count",
        means="counts need whole searches",
        look=of_result(_summary),
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
        look=of_result(_revinclude),
    ),
    Check(
        id="query.post",
        title="POST _search",
        means="patients' ids stand in addresses, and so in the server's access log",
        remedy="See that the log of this server and of proxies is protected like the record.",
        look=of_result(_post),
    ),
    Check(
        id="query.unknown-lenient",
        title="an unknown parameter shows",
        means="an unsupported search looks like a patient without data: only proved ones are used",
        look=of_result(_unknown),
    ),
    Check(
        id="query.unknown-strict",
        title="Prefer: handling=strict refuses an unknown parameter",
        means="what was ignored must be seen in the self link",
        look=of_result(_strict),
    ),
    Check(
        id="query.self",
        title="the self link echoes what was used",
        means="a parameter that is dropped silently cannot be noticed",
        look=of_result(_self),
    ),
)
