"""ResearchSubject: in R5 ``status`` is the publication status, the state is one of ``progress``.

The open entry with a readable state is R4's status. None or several open ones, a resource that is
not active, or participation in an entry that has ended while another is open: no status, which
every reader takes for unknown. What R4 cannot say stays beside it as ``progress``; it is then a
person's, and never written over.
"""

from __future__ import annotations

from typing import Any

from fhir_adapter.errors import InternalFault
from fhir_adapter.fhir.r5.concepts import EXTENSION, renamed, without
from fhir_adapter.fhir.reading import codings, is_array, part, parts, text
from fhir_adapter.ports import Resource

STATE_SYSTEM = "http://terminology.hl7.org/CodeSystem/research-subject-state"
_TAKING_PART = frozenset(
    ("on-study", "on-study-intervention", "on-study-observation", "follow-up", "off-study")
)
STATES = _TAKING_PART | frozenset(
    (
        "candidate",
        "eligible",
        "ineligible",
        "not-registered",
        "pending-on-study",
        "potential-candidate",
        "screening",
        "withdrawn",
    )
)
"""The same thirteen codes in R4 and R5."""
PUBLICATION = f"{EXTENSION}ResearchSubject.status"
_NAMES = {
    "individual": "subject",
    "assignedArm": "assignedComparisonGroup",
    "actualArm": "actualComparisonGroup",
}
_BACK = {new: old for old, new in _NAMES.items()}
_PLAIN_STATE = frozenset(("id", "extension", "coding"))
_PLAIN_CODING = frozenset(("system", "code", "display"))


def to_r4(resource: Resource) -> Resource:
    """The R4 form; without a status where the state is not known."""
    progress = resource.get("progress")
    state = state_of(resource)
    told = part(part(_open(progress)[0]).get("subjectState")) if state else {}
    marks: Resource = {name: told[name] for name in ("id", "extension") if name in told}
    found = renamed(without(resource, "status", "_status", "progress"), _BACK)
    if state:
        found["status"] = state
    if not _is_plain(resource):
        marks = _with_publication(marks, resource)
        found["progress"] = progress if progress is not None else []
    if marks:
        found["_status"] = marks
    consent = resource.get("consent")
    if is_array(consent) and len(consent) == 1:
        found["consent"] = consent[0]
    return found


def to_r5(resource: Resource) -> Resource:
    """The R5 form: active, with one open entry; what came as ``progress`` goes back as it came."""
    found = renamed(without(resource, "status", "_status", "progress"), _NAMES)
    marks = part(resource.get("_status"))
    if "progress" in resource:
        found |= _as_it_came(resource, marks)
    else:
        state = text(resource.get("status"))
        if state not in STATES:
            raise InternalFault("a ResearchSubject without a state", where="ResearchSubject")
        concept = {**marks, "coding": [{"system": STATE_SYSTEM, "code": state}]}
        found |= {"status": "active", "progress": [{"subjectState": concept}]}
    if "consent" in found and not is_array(found["consent"]):
        found["consent"] = [found["consent"]]
    return found


def state_of(resource: Resource) -> str:
    """The state by R4's codes; empty where it is not known."""
    progress = resource.get("progress")
    current = _open(progress)
    if text(resource.get("status")) != "active" or len(current) != 1:
        return ""
    state = _state(current[0])
    over = [one for one in _states(progress) if one not in current]
    hides = state not in _TAKING_PART and any(_may_take_part(one) for one in over)
    return "" if hides else state


def _states(progress: Any) -> list[Resource]:
    """Entries about a state; milestones are of no concern here."""
    return [one for one in parts(progress) if "subjectState" in one]


def _open(progress: Any) -> list[Resource]:
    return [one for one in _states(progress) if "endDate" not in one]


def _state(entry: Resource) -> str:
    """Its one known code; empty where it has none, or several that differ."""
    found = {
        one.code
        for one in codings(entry.get("subjectState"))
        if one.system == STATE_SYSTEM and one.code in STATES
    }
    return found.pop() if len(found) == 1 else ""


def _may_take_part(entry: Resource) -> bool:
    state = _state(entry)
    return not state or state in _TAKING_PART


def _is_plain(resource: Resource) -> bool:
    """Whether the R4 form holds all of it: active, one entry that is a state and nothing more."""
    progress = resource.get("progress")
    if not is_array(progress) or len(progress) != 1 or "_status" in resource:
        return False
    entry = part(progress[0])
    state = part(entry.get("subjectState"))
    coded = parts(state.get("coding"))
    return (
        bool(state_of(resource))
        and entry.keys() == {"subjectState"}
        and state.keys() <= _PLAIN_STATE
        and len(coded) == 1
        and coded[0].keys() <= _PLAIN_CODING
    )


def _with_publication(marks: Resource, resource: Resource) -> Resource:
    """The publication status as an extension, beside what stood on it and on the state."""
    sent = parts(part(resource.get("_status")).get("extension"))
    said = [{"url": PUBLICATION, "valueCode": text(resource.get("status")) or "unknown"}]
    return {**marks, "extension": [*parts(marks.get("extension")), *sent, *said]}


def _as_it_came(resource: Resource, marks: Resource) -> Resource:
    said = [one for one in parts(marks.get("extension")) if one.get("url") == PUBLICATION]
    status = text(said[0].get("valueCode")) if said else "unknown"
    found = {"status": status, "progress": resource["progress"]}
    if state_of(found) != text(resource.get("status")):
        raise InternalFault("a person's progress would be written over", where="ResearchSubject")
    return found if found["progress"] else without(found, "progress")
