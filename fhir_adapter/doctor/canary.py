"""Before anything else is written: a resource of ours that must come to stand, and go again."""

from __future__ import annotations

from fhir_adapter.doctor.check import Check, Seen, fails, works
from fhir_adapter.doctor.exam import Exam
from fhir_adapter.ports import Resource

_LOOKS, _LAG = 4, 1.0
"""How often a canary is looked for, and the seconds between."""
_KEEPS_NOTHING = (
    "Ask the vendor whether this is a stand-in that only answers, or where what is written goes: "
    "nothing can be proposed on it."
)


def canary(exam: Exam) -> Seen:
    """Before anything else is written: a resource of ours that must go away again."""
    for kind, elements in _CANARIES:
        reply = exam.own.create(exam.own.marked(kind, elements))
        if not reply.is_good or not reply.id:
            continue
        stands = _comes_to_stand(exam, f"{kind}/{reply.id}")
        answer = exam.own.delete(kind, reply.id)
        if not stands:
            exam.unwritten = "not tried: the server takes writes and keeps nothing"
            return fails("it takes writes and keeps nothing", remedy=_KEEPS_NOTHING)
        if not exam.probe.get(f"{kind}/{reply.id}").is_gone:
            return fails(f"what was written stays ({answer.status})")
        exam.may_write = True
        return works("written and taken away")
    exam.unwritten = "not tried: nothing of ours was taken"
    return fails("nothing of ours was taken")


def _comes_to_stand(exam: Exam, place: str) -> bool:
    """Whether what was taken is there: at once, or a little later where the server lags."""
    for tried in range(_LOOKS):
        if tried:
            exam.probe.pause(_LAG)
        if not exam.probe.get(place).is_gone:
            return True
    return False


_CANARIES: tuple[tuple[str, Resource], ...] = (
    ("Device", {"status": "active"}),
    ("List", {"status": "current", "mode": "working"}),
    ("Patient", {"active": True}),
)

CANARY = Check(
    id="write.canary",
    title="what we write can be taken away",
    means="nothing else is written: the checks that write cannot tell",
    remedy="Ask for the rights to create and delete, or try a test system.",
    look=canary,
    writes=True,
)
