"""What stands on the server: whose it is, and whether a person has touched it.

Untouched = status, period, consent and foreign identifiers equal what we last wrote and no
Provenance with a person targets it (fhir-shapes section 2). versionId and meta prove nothing; the
narrative is the server's. Any doubt: the person wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_adapter.fhir.normal import normal_form
from fhir_adapter.fhir.reading import is_array, is_object, part, parts
from fhir_adapter.fhir.set_by import set_by
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback.needs import LastWritten

PROPOSING = frozenset(("candidate", "potential-candidate"))
_BEGUN = {"proposing": PROPOSING, "taking-back": frozenset(("ineligible",))}
CLOSED = frozenset(("ineligible", "not-registered", "withdrawn", "off-study"))
_REPLACED_BY = f"{BASE}/StructureDefinition/status-replaced-by"
_OF_PEOPLE = frozenset(("period", "consent", "assignedArm", "actualArm"))
_USUAL = frozenset(
    (
        "resourceType",
        "id",
        "meta",
        "text",
        "identifier",
        "status",
        "_status",
        "study",
        "individual",
        "extension",
    )
)


def reference_of(resource: Resource) -> str:
    """``Type/id``."""
    return f"{resource['resourceType']}/{resource['id']}"


def is_put_away(resource: Resource) -> bool:
    """A duplicate that ``ledger repair`` closed; no person says not-registered by our hand."""
    return resource.get("status") == "not-registered" and set_by(resource) == "machine"


def place_of(put_away: Resource) -> str:
    """``Type/id`` of what took the place of a duplicate; empty where that is not said."""
    mark = put_away.get("_status")
    marks = _extensions(mark) if is_object(mark) else []
    return next(filter(None, (target_of(one.get("valueReference")) for one in marks)), "")


def closed_for(found: Resource, kept: Resource, mark: object) -> Resource:
    """A duplicate in the form in which it is put away; ``mark`` says that the machine did it."""
    place = {"url": _REPLACED_BY, "valueReference": {"reference": reference_of(kept)}}
    marks = _extensions(mark) if is_object(mark) else []
    return {**found, "status": "not-registered", "_status": {"extension": [*marks, place]}}


def version_of(resource: Resource) -> str:
    """versionId; empty where the server keeps none."""
    meta = resource.get("meta")
    return str(meta.get("versionId", "")) if is_object(meta) else ""


def oldest_first(found: Iterable[Resource]) -> list[Resource]:
    """By lastUpdated, then id: the same order on every machine."""
    return sorted(found, key=lambda item: (_updated(item), str(item.get("id", ""))))


def _updated(resource: Resource) -> str:
    meta = resource.get("meta")
    return str(meta.get("lastUpdated", "")) if is_object(meta) else ""


def identifiers(resource: Resource) -> frozenset[tuple[str, str]]:
    """System and value of each; a single Identifier is read like a list of one."""
    found = resource.get("identifier")
    items = found if is_array(found) else [found]
    return frozenset(
        (str(item.get("system", "")), str(item.get("value", "")))
        for item in items
        if is_object(item)
    )


def target_of(element: object) -> str:
    """``Type/id`` of a Reference, relative or absolute, without version; empty without one."""
    if not is_object(element):
        return ""
    reference = str(normal_form(element).get("reference", ""))
    return "/".join(reference.split("/")[-2:])


def may_be_of(patient: str, found: Resource) -> bool:
    """No where it names another Patient; a logical or contained one may be this."""
    named = target_of(found.get("individual"))
    return named == f"Patient/{patient}" or not named.startswith("Patient/")


def statuses_of(last: LastWritten | None) -> frozenset[str]:
    """ResearchSubject.status as our hand may have left it; the first form where nothing is known.

    Of what was begun and never seen to end: as it was before, and as it would be after.
    """
    if last is None or not last.status:
        return PROPOSING
    return _BEGUN.get(last.state, frozenset[str]()) | {last.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What our own, untouched ResearchSubject looks like."""

    key: str
    system: str
    """System of the key; empty where no ResearchSubject was handed over."""
    patients: frozenset[str]
    study: str
    statuses: frozenset[str]
    """As we may have left it (``statuses_of``)."""
    sent: Resource

    @classmethod
    def of(cls, proposal: Proposal, last: LastWritten | None) -> Expected:
        """From a proposal; the key's system is read from the ResearchSubject handed over."""
        sent = proposal.subject or {}
        systems = (system for system, value in identifiers(sent) if value == proposal.key)
        return cls(
            key=proposal.key,
            system=next(systems, ""),
            patients=frozenset((proposal.patient, *proposal.patient_ids)),
            study=target_of(sent.get("study")),
            statuses=statuses_of(last),
            sent=sent,
        )

    def is_ours(self, found: Resource) -> bool:
        """Whether it carries our key, or a key of ours from before a merge."""
        return any(map(self._is_key, identifiers(found)))

    def has_key(self, found: Resource) -> bool:
        """Whether it carries exactly this key."""
        return any(value == self.key for _, value in identifiers(found))

    def _is_key(self, identifier: tuple[str, str]) -> bool:
        system, value = identifier
        return value == self.key or bool(self.system and system == self.system)

    def touch(self, found: Resource) -> str:
        """Name of the first element that is not as we wrote it; empty when all are."""
        return next(self._touches(found), "")

    def _touches(self, found: Resource) -> Iterator[str]:
        if not self._status_is_ours(found) or _marked_by_another(found.get("_status")):
            yield "status"
        if not self.is_ours(found) or self._foreign(found) != self._foreign(self.sent):
            yield "identifier"
        if target_of(found.get("individual")) not in {f"Patient/{one}" for one in self.patients}:
            yield "individual"
        if self.study and target_of(found.get("study")) != self.study:
            yield "study"
        if any(not str(item.get("url", "")).startswith(BASE) for item in _extensions(found)):
            yield "extension"
        yield from sorted(set(found) - ((_USUAL | set(self.sent)) - _OF_PEOPLE))

    def _status_is_ours(self, found: Resource) -> bool:
        given = str(found.get("status", "")) in self.statuses and set_by(found) == "machine"
        return given or is_put_away(found)

    def _foreign(self, resource: Resource) -> frozenset[tuple[str, str]]:
        return frozenset(one for one in identifiers(resource) if not self._is_key(one))

    def in_place(self, found: Resource) -> Resource:
        """What we send, on the id that stands there; a key from before a merge is kept."""
        kept = {} if self.has_key(found) else {"identifier": found["identifier"]}
        ours = {**self.sent, **kept, "id": found["id"], "individual": found["individual"]}
        return {**ours, **_said_beside(found)}


def notes_on(opinion: Resource) -> Resource:
    """What people have written beside an opinion of ours: we write no note and no label."""
    notes = {"note": opinion["note"]} if "note" in opinion else {}
    return {**notes, **_labels(opinion)}


def _labels(found: Resource) -> Resource:
    meta = part(found.get("meta"))
    labels = {name: meta[name] for name in ("profile", "security", "tag") if meta.get(name)}
    return {"meta": labels} if labels else {}


def _said_beside(found: Resource) -> Resource:
    """What people may have put on it without touching it: R4 has no note, so a narrative; labels.

    A generated narrative tells of the form before.
    """
    text = part(found.get("text"))
    said = {"text": text} if text and text.get("status") != "generated" else {}
    return {**_labels(found), **said}


def _marked_by_another(element: object) -> bool:
    """Whether somebody has put an extension of theirs beside ours."""
    marks = _extensions(element) if is_object(element) else []
    return any(not str(item.get("url", "")).startswith(BASE) for item in marks)


def _extensions(resource: Resource) -> list[dict[str, Any]]:
    found = resource.get("extension", [])
    return list(found) if is_array(found) else []


def by_a_person(provenance: Resource) -> bool:
    """Whether any agent is not a Device: a Provenance that does not say is a person's."""
    agents = parts(provenance.get("agent")) or [{}]
    return any(not target_of(agent.get("who")).startswith("Device/") for agent in agents)


def about(provenances: Sequence[Resource], reference: str) -> list[Resource]:
    """Those that target it: a server that ignores the parameter answers with all."""
    return [
        one
        for one in provenances
        if any(target_of(target) == reference for target in one.get("target", []))
    ]
