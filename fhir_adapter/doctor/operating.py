"""``$everything``, ``$export``, and Subscriptions that are seen to fire."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from fhir_adapter.client.urls import same_origin
from fhir_adapter.doctor.check import Check, Seen, either, fails, unsure, works
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.doctor.listener import Listener
from fhir_adapter.doctor.probe import Reply
from fhir_adapter.doctor.specimens import observation
from fhir_adapter.doctor.writing import is_taken
from fhir_adapter.fhir.reading import text
from fhir_adapter.ports import Resource

_ACCEPTED = 202
_ASYNC = {"Prefer": "respond-async", "Accept": "application/fhir+json"}
_HOME = frozenset(("127.0.0.1", "localhost", "::1"))
_STEP = 0.25
_ACTIVE_WITHIN, _FIRED_WITHIN = 10.0, 15.0


def _everything(exam: Exam) -> Seen:
    found = exam.specimen("Observation")
    patient = "" if found is None else exam.patient_of(found)
    if found is None or not patient:
        return unsure("no result of a known patient is there")
    reply = exam.probe.get(f"Patient/{patient}/$everything", params={"_count": "100"})
    if not reply.is_searchset:
        return fails(f"refused ({reply.status})")
    came = any(one.get("id") == found["id"] for one in reply.rows("Observation"))
    if not came and reply.link("next"):
        return unsure("too many to tell")
    return either(came, "the result came", "the result did not come")


def _export(path: str) -> Callable[[Exam], Seen]:
    """A 200 on a kick-off is not an accepted export (measured on Medplum)."""

    def look(exam: Exam) -> Seen:
        reply = exam.probe.get(path, params={"_type": "Patient"}, headers=_ASYNC)
        if reply.status != _ACCEPTED:
            return fails(f"answered {reply.status}, not 202")
        place = urljoin(f"{exam.probe.base}/", reply.headers.get("Content-Location", ""))
        if not reply.headers.get("Content-Location"):
            return fails("202 without a Content-Location")
        if not same_origin(place, exam.probe.base):
            return fails("its status is on another origin")
        exam.memory["export"] = reply
        ended = exam.probe.ask("DELETE", place)
        exam.memory["export-ended"] = ended
        return works("accepted, and taken back")

    return look


def _cancelled(exam: Exam) -> Seen:
    ended = exam.memory.get("export-ended")
    if ended is None:
        return unsure("no export was accepted")
    return either(ended.is_good, str(ended.status), f"refused ({ended.status})")


def _subscription(exam: Exam, endpoint: str) -> Resource:
    marked = exam.own.marked("Subscription", {})
    return {
        **marked,
        "status": "requested",
        "reason": "fhir-adapter doctor",
        "criteria": f"Observation?patient=Patient/{exam.replies['Patient'].id}",
        "channel": {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"},
    }


def _fires(exam: Exam) -> Seen:
    """Created, active, and heard from after a write."""
    if not is_taken(exam, "Observation"):
        return unsure("the server takes no Observation")
    if urlsplit(exam.probe.base).hostname not in _HOME:
        return unsure("the server cannot reach a listener on this machine")
    with Listener() as heard:
        reply = exam.own.create(_subscription(exam, heard.url))
        exam.memory["subscription"] = reply
        if not reply.is_good:
            return fails(f"refused ({reply.status})")
        if not _is_active(exam, reply):
            return fails("created, and never active")
        place = {"reference": f"Patient/{exam.replies['Patient'].id}"}
        exam.own.create(exam.own.marked("Observation", observation(lambda _: place)))
        fired = _waited(exam, heard.was_called, _FIRED_WITHIN)
        return either(fired, "told us of a write", f"silent for {_FIRED_WITHIN:.0f} s")


def _is_active(exam: Exam, reply: Reply) -> bool:
    def active() -> bool:
        found = exam.probe.get(f"Subscription/{reply.id}").body
        return text(found.get("status")) == "active"

    return _waited(exam, active, _ACTIVE_WITHIN)


def _waited(exam: Exam, ready: Callable[[], bool], seconds: float) -> bool:
    for _ in range(int(seconds / _STEP)):
        if ready():
            return True
        exam.probe.pause(_STEP)
    return ready()


def _created(exam: Exam) -> Seen:
    reply = exam.memory.get("subscription")
    if reply is None:
        return unsure("none was sent")
    return either(reply.is_good, f"taken ({reply.status})", f"refused ({reply.status})")


_SWEEP = "changes are polled, or found by the nightly sweep"

CHECKS: tuple[Check, ...] = (
    Check(
        id="operation.everything",
        title="Patient/ID/$everything",
        means="none: records are pulled by type",
        look=_everything,
    ),
    Check(
        id="operation.export",
        title="$export is accepted",
        means="a cohort cannot be loaded from everything: use Patient or Group export, or files",
        look=_export("$export"),
        writes=True,  # it starts work at the server
    ),
    Check(
        id="operation.export-patient",
        title="Patient/$export is accepted",
        means="a cohort cannot be loaded by patients: use another export, or files",
        look=_export("Patient/$export"),
        writes=True,
    ),
    Check(
        id="operation.export-cancel",
        title="an export can be taken back",
        means="an export that nobody needs goes on at the server",
        look=_cancelled,
        writes=True,
    ),
)
SUBSCRIPTION: tuple[Check, ...] = (
    Check(
        id="subscription.fires",
        title="a rest-hook Subscription tells of a write",
        means=_SWEEP,
        look=_fires,
        writes=True,
    ),
    Check(
        id="subscription.created",
        title="a Subscription is taken",
        means=_SWEEP,
        look=_created,
        writes=True,
    ),
)
