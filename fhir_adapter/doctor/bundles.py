"""Transactions and batches. No write of the adapter relies on a transaction being atomic."""

from __future__ import annotations

from fhir_adapter.client.urls import query
from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.own import SYSTEM
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.doctor.specimens import observation
from fhir_adapter.doctor.writing import by_name, found_by_name, subject
from fhir_adapter.fhir.reading import part, parts, reference, text
from fhir_adapter.ports import Resource

_STALE = 'W/"987654321"'
_READS = 30
_URN = "urn:uuid:5a1f6a4e-0000-4000-8000-000000000001"


def _post(exam: Exam, kind: str, entries: list[Resource]) -> Reply:
    bundle: Resource = {"resourceType": "Bundle", "type": kind, "entry": entries}
    for entry in entries:
        if "resource" in entry:
            exam.own.expect(entry["resource"])
    reply = exam.probe.ask("POST", "", body=bundle)
    exam.own.keep_all(reply.body)
    return reply


def _entry(method: str, url: str, resource: Resource | None = None, **more: str) -> Resource:
    entry: Resource = {"request": {"method": method, "url": url, **more}}
    return entry if resource is None else {**entry, "resource": resource}


def _statuses(reply: Reply) -> list[str]:
    entries = parts(reply.body.get("entry"))
    return [text(part(entry.get("response")).get("status"))[:3] for entry in entries]


def _resolved(exam: Exam) -> Seen:
    name = exam.own.name()
    patient = {"fullUrl": _URN, **_entry("POST", "Patient", exam.own.marked("Patient", {}, name))}
    made = exam.own.marked("Observation", observation(lambda _: {"reference": _URN}), name)
    reply = _post(exam, "transaction", [patient, _entry("POST", "Observation", made)])
    if not reply.is_good:
        return fails(f"refused ({reply.status})")
    rows = found_by_name(exam, "Observation", name).rows("Observation")
    if not rows:
        return fails("answered well and wrote nothing")
    target = reference(part(rows[0].get("subject")))
    known = exam.probe.get(target) if target.startswith("Patient/") else None
    good = known is not None and known.is_good
    return either(good, "written, references resolved", "the reference was not resolved")


def _rolled_back(exam: Exam) -> Seen:
    """The entry that fails is well formed and comes last: an update on a stale version.

    Bodies are checked before anything runs, so a bad body would prove nothing (measured).
    """
    first_name, standing_name = exam.own.name(), exam.own.name()
    first, second = subject(exam, first_name), subject(exam, standing_name)
    if first is None or second is None:
        return unsure("nothing of ours was taken")
    kind = text(first["resourceType"])
    standing = exam.own.create(second)
    if not standing.is_good or not standing.version:
        return unsure("there is no version to be stale against")
    late = _entry("PUT", f"{kind}/{standing.id}", {**second, "id": standing.id}, ifMatch=_STALE)
    reply = _post(exam, "transaction", [_entry("POST", kind, first), late])
    rows = found_by_name(exam, kind, first_name).rows(kind)
    if reply.is_good:
        return _not_failed(reply, kept=bool(rows))
    if _is_unknown(reply):
        return unsure(f"no transaction is taken ({reply.status})")
    return either(not rows, "rolled back", "an error was answered, and the first entry was kept")


def _is_unknown(reply: Reply) -> bool:
    return reply.status in {404, 405, 501}


def _not_failed(reply: Reply, *, kept: bool) -> Seen:
    bad = any(status.startswith(("4", "5")) for status in _statuses(reply))
    if bad and kept:
        return fails("run as a batch: the first entry was kept")
    return unsure("the late entry did not fail")


def _conditional(exam: Exam) -> Seen:
    name = exam.own.name()
    made = subject(exam, name)
    if made is None:
        return unsure("nothing of ours was taken")
    kind = text(made["resourceType"])
    entry = _entry("POST", kind, made, ifNoneExist=f"identifier={SYSTEM}|{name}")
    replies = [_post(exam, "transaction", [entry]) for _ in range(2)]
    if not all(reply.is_good for reply in replies):
        return fails(f"refused ({max(reply.status for reply in replies)})")
    rows = found_by_name(exam, kind, name).rows(kind)
    return either(len(rows) == 1, "one stands after two", f"{len(rows)} stand after two")


def _mixed(exam: Exam) -> Seen:
    """One entry succeeds, one fails; each says so."""
    name = exam.own.name()
    made = subject(exam, name)
    if made is None:
        return unsure("nothing of ours was taken")
    kind = text(made["resourceType"])
    missing = _entry("GET", f"{kind}/{name}-missing")
    reply = _post(exam, "batch", [missing, _entry("POST", kind, made)])
    if not reply.is_good:
        return fails(f"refused ({reply.status})")
    good = [status[:1] for status in _statuses(reply)] == ["4", "2"]
    return either(good, "each entry has its own status", "the entries' statuses are not told")


def _reads(exam: Exam) -> Seen:
    patient = exam.specimen("Patient")
    if patient is None:
        return unsure("no patient is there to read")
    entry = _entry("GET", f"Patient/{text(patient['id'])}")
    reply = _post(exam, "batch", [entry] * _READS)
    if not reply.is_good:
        return fails(f"refused ({reply.status})")
    came = sum(1 for one in parts(reply.body.get("entry")) if part(one.get("resource")).get("id"))
    return either(came == _READS, f"{_READS} in one", f"{came} of {_READS} came")


def _searched(exam: Exam) -> Seen:
    """The same search twice in batches, with a write in between."""
    name = exam.own.name()
    made = subject(exam, name)
    if made is None:
        return unsure("nothing of ours was taken")
    kind = text(made["resourceType"])
    entry = _entry("GET", f"{kind}?{query(by_name(name))}")
    first = _post(exam, "batch", [entry])
    if not first.is_good:
        return fails(f"refused ({first.status})")
    if not exam.own.create(made).is_good:
        return unsure("nothing of ours was taken")
    found = [_matches(reply) for reply in (first, _post(exam, "batch", [entry]))]
    return either(found == [0, 1], "found", f"{found[0]} before, {found[1]} after")


def _matches(reply: Reply) -> int:
    """How many resources the one search of a batch brought; -1 where it brought no Bundle."""
    found = [part(one.get("resource")) for one in parts(reply.body.get("entry"))]
    if len(found) != 1 or found[0].get("resourceType") != "Bundle":
        return -1
    return sum(1 for one in parts(found[0].get("entry")) if part(one.get("resource")).get("id"))


_SINGLE = "none: writes are single requests, each read back"

CHECKS: tuple[Check, ...] = (
    Check(
        id="bundle.reads",
        title=f"a batch of {_READS} reads",
        means="reads are single requests",
        look=_reads,
    ),
    Check(
        id="bundle.search",
        title="a search in a batch finds what was just written",
        means="searches are single requests: about twice as many per patient",
        look=_searched,
        writes=True,
    ),
    Check(
        id="bundle.transaction",
        title="a transaction resolves references between its entries",
        means=_SINGLE,
        look=_resolved,
        writes=True,
    ),
    Check(
        id="bundle.rollback",
        title="a transaction whose last entry fails leaves nothing",
        means="an error answer does not mean that nothing was written: it is looked for",
        look=_rolled_back,
        writes=True,
    ),
    Check(
        id="bundle.conditional",
        title="ifNoneExist in a transaction",
        means=_SINGLE,
        look=_conditional,
        writes=True,
    ),
    Check(
        id="bundle.batch",
        title="a batch tells each entry's status",
        means=_SINGLE,
        look=_mixed,
        writes=True,
    ),
)
