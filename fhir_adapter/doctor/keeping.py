"""Whether what we write is taken, kept as it was sent, checked, and not answered from a cache."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure
from fhir_adapter.doctor.exam import NOBODY, Exam
from fhir_adapter.doctor.own import SYSTEM
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.doctor.writing import by_name, is_taken, with_subject
from fhir_adapter.fhir.normal import first_difference
from fhir_adapter.fhir.reading import part, parts, text
from fhir_adapter.ports import Resource

_STALE_TAKEN = {"Cache-Control": "max-stale"}
"""The client's own no-cache taken back."""


def _kept(kind: str) -> Callable[[Exam], Seen]:
    def look(exam: Exam) -> Seen:
        if kind not in exam.replies:
            return unsure("what it refers to was not taken")
        reply = exam.replies[kind]
        if not reply.is_good:
            return fails(f"refused ({reply.status})")
        read = exam.probe.get(f"{kind}/{reply.id}")
        if not read.is_good:
            return fails(f"taken, and not there afterwards ({read.status})")
        path = first_difference(exam.sent[kind], read.body)
        return either(not path, "kept as sent", f"kept otherwise: {path}")

    return look


def _reference_version(exam: Exam) -> Seen:
    if not is_taken(exam, "Provenance"):
        return unsure("the server takes no Provenance")
    target = f"{text(part(exam.sent['Provenance']['target'][0]).get('reference'))}/_history/1"
    reply = exam.own.create({**exam.sent["Provenance"], "target": [{"reference": target}]})
    if not reply.is_good:
        return fails(f"refused ({reply.status})")
    kept = exam.probe.get(f"Provenance/{reply.id}").body
    ends = [text(one.get("reference")).endswith("/_history/1") for one in parts(kept.get("target"))]
    return either(ends == [True], "kept", "cut off")


def _decimal(exam: Exam) -> Seen:
    if not is_taken(exam, "Observation"):
        return unsure("the server takes no Observation")
    kept = exam.probe.get(f"Observation/{exam.replies['Observation'].id}").body
    value = part(kept.get("valueQuantity")).get("value")
    same = isinstance(value, Decimal) and str(value) == "1.50"
    return either(same, "1.50 stays 1.50", "1.50 is kept otherwise")


def _tags(resource: Resource) -> set[str]:
    return {text(one.get("code")) for one in parts(part(resource.get("meta")).get("tag"))}


def _tag(exam: Exam, sent: Resource, name: str) -> Seen:
    del name
    reply = exam.own.create(sent)
    kept = exam.probe.get(f"{sent['resourceType']}/{reply.id}").body
    return either(exam.own.token in _tags(kept), "kept", "lost")


def _tag_replaced(exam: Exam, sent: Resource, name: str) -> Seen:
    reply = exam.own.create(sent)
    if not reply.is_good:
        return unsure(f"it was not created ({reply.status})")
    other = {"tag": [{"system": SYSTEM, "code": name}]}
    exam.own.put({**sent, "id": reply.id, "meta": other})
    tags = _tags(exam.probe.get(f"{sent['resourceType']}/{reply.id}").body)
    if name not in tags:
        return fails("the new tag is not there")
    return either(exam.own.token not in tags, "replaced", "the old tag stays beside the new one")


def _type_history(exam: Exam, sent: Resource, name: str) -> Seen:
    """``[type]/_history?_since`` (R4 http 3.1.0.13) tells of a create, be it deleted since."""
    kind = text(sent["resourceType"])
    if kind != "ResearchSubject":
        return unsure("the server takes no ResearchSubject")
    reply = exam.own.create(sent)
    if not reply.is_good:
        return unsure(f"it was not created ({reply.status})")
    gone = exam.own.delete(kind, reply.id).is_good
    found = exam.probe.get(f"{kind}/_history", params=_since(reply))
    if not found.is_good or found.kind != "Bundle":
        return fails(f"refused ({found.status})")
    told = any(
        text(one.get("value")) == name
        for resource in found.rows(kind)
        for one in parts(resource.get("identifier"))
    )
    seen = "tells of a create, and of what was deleted since" if gone else "tells of a create"
    return either(told, seen, "a create is not in it")


def _since(reply: Reply) -> dict[str, str]:
    """A day before, by the server's own clock; from the beginning where it does not say."""
    try:
        made = datetime.fromisoformat(text(part(reply.body.get("meta")).get("lastUpdated")))
    except ValueError:
        return {}
    return {"_since": (made - timedelta(days=1)).isoformat(timespec="seconds")}


def _refused(change: Resource) -> Callable[[Exam], Seen]:
    """A resource with a fault must be refused."""

    def look(exam: Exam, sent: Resource, name: str) -> Seen:
        del name
        if sent["resourceType"] != "ResearchSubject":
            return unsure("the server takes no ResearchSubject")
        faulty = {key: value for key, value in {**sent, **change}.items() if value is not None}
        reply = exam.own.create(faulty)
        return either(not reply.is_good, f"refused ({reply.status})", "taken")

    return with_subject(look)


def _date(exam: Exam) -> Seen:
    if not is_taken(exam, "Patient"):
        return unsure("the server takes no Patient")
    reply = exam.own.create(exam.own.marked("Patient", {"birthDate": "1970-13-45"}))
    return either(not reply.is_good, f"refused ({reply.status})", "taken")


def _without_consent(exam: Exam) -> Seen:
    if "ResearchSubject" not in exam.replies:
        return unsure("what it refers to was not taken")
    reply = exam.replies["ResearchSubject"]
    return either(reply.is_good, "taken without consent and period", f"refused ({reply.status})")


def _cached(headers: dict[str, str]) -> Callable[[Exam], Seen]:
    """The same search before and after a write."""

    def look(exam: Exam, sent: Resource, name: str) -> Seen:
        kind = text(sent["resourceType"])
        before = exam.probe.find(kind, by_name(name), headers)
        if not before.is_searchset:
            return unsure(f"the search was refused ({before.status})")
        if not exam.own.create(sent).is_good:
            return unsure("it was not created")
        after = exam.probe.find(kind, by_name(name), headers)
        return either(bool(after.rows(kind)), "fresh", "answered from a cache")

    return with_subject(look)


def _read_fresh(exam: Exam, sent: Resource, name: str) -> Seen:
    reply = exam.own.create(sent)
    place = f"{sent['resourceType']}/{reply.id}"
    if not reply.is_good or not exam.probe.get(place).is_good:
        return unsure(f"it was not created ({reply.status})")
    added = [*sent["identifier"], {"system": f"{SYSTEM}/second", "value": name}]
    exam.own.put({**sent, "id": reply.id, "identifier": added})
    kept = exam.probe.get(place, headers=_STALE_TAKEN).body
    return either(len(parts(kept.get("identifier"))) > 1, "fresh", "answered from a cache")


_MEANS = {
    "ResearchSubject": "proposals go to a Task or List, or stay in the ledger",
    "GuidanceResponse": "the machine's opinion is not on the server: it is in the ledger",
    "Provenance": "who wrote what is in the ledger only",
    "List": "there is no screening List on the server",
    "Task": "there is no Task for people on the server",
    "Device": "neither opinion nor Provenance can name who wrote them: neither is written",
    "QuestionnaireResponse": "people's answers stay in the ledger",
}
_READ_BACK = "none: what is written is compared in a form that this does not touch"
_OURS = "the server does not check: we check before we send"


def _row(name: str, title: str, means: str, look: Callable[[Exam], Seen]) -> Check:
    return Check(id=name, title=title, means=means, look=look, writes=True)


KEPT: tuple[Check, ...] = (
    *(
        _row(f"kept.{kind}", f"{kind} is taken and kept as sent", means, _kept(kind))
        for kind, means in _MEANS.items()
    ),
    _row("kept.reference-version", "a reference keeps its version", _READ_BACK, _reference_version),
    _row("kept.decimal", "a decimal keeps its digits", _READ_BACK, _decimal),
    _row("kept.tag", "meta.tag is kept", _READ_BACK, with_subject(_tag)),
    _row(
        "kept.tag-replaced",
        "an update replaces meta.tag",
        "nothing that changes stands in meta",
        with_subject(_tag_replaced),
    ),
)
HISTORY: tuple[Check, ...] = (
    _row(
        "kept.type-history",
        "ResearchSubject/_history tells of a create that was deleted",
        "what a killed run created and a person deleted before the next one is proposed again",
        with_subject(_type_history),
    ),
)
VALIDATION: tuple[Check, ...] = (
    _row(
        "validation.required-code",
        "a status outside its required value set is refused",
        _OURS,
        _refused({"status": NOBODY}),
    ),
    _row(
        "validation.missing",
        "a missing required element is refused",
        _OURS,
        _refused({"status": None}),
    ),
    _row(
        "validation.unknown-element",
        "an unknown element is refused",
        _OURS,
        _refused({"fhirAdapterCanary": True}),
    ),
    _row("validation.date", "an impossible date is refused", _OURS, _date),
    _row(
        "validation.dangling",
        "a reference to nothing is refused",
        "references of the record may lead nowhere: what they would tell stays open",
        _refused({"individual": {"reference": f"Patient/{NOBODY}"}}),
    ),
    _row(
        "validation.no-consent",
        "a ResearchSubject without consent and period is taken",
        "a proposal before consent goes to List and Task, the ResearchSubject comes by enrolment",
        _without_consent,
    ),
)
CACHING: tuple[Check, ...] = (
    _row(
        "caching.no-cache",
        "a search after a write is fresh, with Cache-Control: no-cache",
        "a search before a write proves nothing: writes are held by the ledger",
        _cached({}),
    ),
    _row(
        "caching.repeat",
        "a search after a write is fresh without that header",
        "none: the header goes with every request",
        _cached(_STALE_TAKEN),
    ),
    _row(
        "caching.read",
        "a read after an update is fresh",
        "a write cannot be proved by reading it back",
        with_subject(_read_fresh),
    ),
)
