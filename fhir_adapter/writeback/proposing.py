"""One proposal on its way to the server: the ResearchSubject, the opinion, then the Provenance."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhir_adapter.client import why_not_of
from fhir_adapter.errors import ServerFault, WriteConflict
from fhir_adapter.fhir.normal import same_content
from fhir_adapter.fhir.reading import is_object
from fhir_adapter.ports import Resource, Written
from fhir_adapter.writeback.filling import filled, mentions
from fhir_adapter.writeback.finishing import unproven
from fhir_adapter.writeback.needs import SubjectState
from fhir_adapter.writeback.recording import Recording
from fhir_adapter.writeback.sending import key_params, not_settled, token
from fhir_adapter.writeback.standing import (
    closed_for,
    identifiers,
    is_put_away,
    may_be_of,
    notes_on,
    reference_of,
    target_of,
    version_of,
)
from fhir_adapter.writeback.touching import NO_PROVENANCE, UNSURE, people_among, people_at
from fhir_adapter.writeback.traces import REFUSED

_TRIES = 2


@dataclass(slots=True, kw_only=True)
class Proposing(Recording):
    """The state of one ``send``; used once. A take-back is a status: nothing is ever deleted."""

    ours: Resource | None = None
    """Our ResearchSubject as it stood when this run began, or as this run made it."""
    opinion: Resource | None = None
    """Our opinion where it stood already as wanted."""
    beside: list[Resource] = field(default_factory=list[Resource])
    """Open ones of this patient beside the one that counts."""
    raced: bool = False
    """Another writer made the ResearchSubject: its Provenance is theirs to write."""
    of_patient: bool = False
    """Whether the patient's are searched also where nothing is proposed."""

    def send(self) -> Written:
        """All of it, in the order ResearchSubject, GuidanceResponse, Provenance."""
        found = self.ledger.subject(self.proposal.key) if self.ledger else None
        self.last = found
        finished = self.ledger is None or self._told() == self.proposal.fingerprint
        self._subject()
        self._opinion()
        if not finished:
            self._mend()
        self._provenance()
        self._finish()
        return self.written()

    def is_enrolled(self) -> bool:
        """Whether a ResearchSubject stands, whoever made it; no where that may not be searched."""
        self.of_patient = True
        try:
            return any(not is_put_away(one) for one in self._found())
        except ServerFault as fault:
            if why_not_of(fault) not in REFUSED:
                raise
            return False

    # ResearchSubject

    def _subject(self) -> None:
        found = self._standing()
        if found is None:
            self._none_stands()
            return
        self.ours = found if self.expected.is_ours(found) else None
        if self.proposal.action == "take-back":
            self._take_back_beside(found)
        self._judge(found)

    def _judge(self, found: Resource) -> None:
        """A person's is left alone, whatever stands beside it."""
        why = self._touch(found)
        if why:
            self._leave(found, why, sure=True)
        elif is_put_away(found) and self.proposal.action != "propose":
            self.unchanged.append(reference_of(found))
        elif self.proposal.action in ("propose", "take-back"):
            self._keep_or(found)

    def _take_back_beside(self, kept: Resource) -> None:
        """Every other of this patient: of a key from before a merge, or a double of this one.

        Each has a Provenance of its own, and the opinion goes with the one that counts.
        """
        ours = self.ours
        for other in self.beside:
            self.changed.clear()
            if self.expected.has_key(kept) and self.expected.has_key(other):
                self._put_away(other, kept)
            else:
                self._judge(other)
            self._provenance()
        self.changed.clear()
        self.ours = ours

    def _put_away(self, other: Resource, kept: Resource) -> None:
        """As `ledger repair` does: the ledger has one row for a key, which is of the one kept."""
        current = self.sender.client.read("ResearchSubject", str(other["id"]))
        if current is None or self._touch(current):
            return
        if people_among(self.sender, [current, kept])[reference_of(current)]:
            return
        mark = (self.proposal.subject or {}).get("_status")
        self._make_device()
        closed = closed_for(current, kept, mark)
        try:
            self.sender.update(closed, version_of(current))
        except WriteConflict:
            self.notes.append("changed meanwhile: a duplicate is left to the next run")
            return
        self._did(self.updated, closed)

    def _standing(self) -> Resource | None:
        """The one that counts: a person's, else of this key, else the oldest of this patient."""
        every = self._found()
        found = [one for one in every if not is_put_away(one)]
        chosen = next((one for one in found if self._touch(one)), None)
        if chosen is None and len(found) > 1:
            people = people_among(self.sender, found)
            chosen = next((one for one in found if people[reference_of(one)]), found[0])
        chosen = chosen or (found[0] if found else None)
        self.beside = [one for one in found if one is not chosen]
        for other in self.beside:
            self.notes.append(f"duplicate: {reference_of(other)} stands beside it")
        return chosen or self._put_away_for_another(every) or self._remembered()

    def _found(self) -> list[Resource]:
        params = token(self.expected.system, self.proposal.key)
        found = self.sender.all("ResearchSubject", params)
        merged = self.proposal.action == "take-back" and len(self.expected.patients) > 1
        if self.proposal.action == "propose" or merged or self.of_patient:
            for patient in sorted(self.expected.patients):
                found += self._of_patient(patient)
        return list({reference_of(one): one for one in found}.values())

    def _of_patient(self, patient: str) -> list[Resource]:
        """Searched by patient only and compared here: not every server searches by study.

        One whose patient is told in another way is held for this one's: in doubt it is a person's.
        """
        found = self.sender.all("ResearchSubject", {"patient": f"Patient/{patient}"})
        study = self.expected.study
        return [
            one
            for one in found
            if target_of(one.get("study")) == study
            and may_be_of(patient, one)
            and not self._earlier_attempt(one)
        ]

    def _remembered(self) -> Resource | None:
        """What we wrote before, read by its id: a search may lag behind."""
        if self.last is not None and self.last.state == "gone":
            return None
        reference = self._written_once("ResearchSubject")
        if reference is None:
            return None
        kind, _, number = reference.partition("/")
        if number:
            found = self.sender.client.read(kind, number)
            return None if found is not None and self._is_of_another(found) else found
        # an opinion alone: another process may have written both since the search
        return next((one for one in self._found() if not is_put_away(one)), None)

    def _none_stands(self) -> None:
        if self._is_gone("ResearchSubject"):
            return
        if self.proposal.action == "propose" and self.proposal.subject is not None:
            self._create(self.proposal.subject)
        elif self.last is not None and self.last.state == "proposing":
            self._remember("", "", "taken-back")  # what was begun never arrived

    def _is_gone(self, kind: str) -> bool:
        """Whether what we had created is not there any more, which is then remembered."""
        reference = self._written_once(kind)
        if reference is None:
            return False
        self.notes.append("gone: somebody deleted the proposal; it is not made again")
        self._remember(reference, self.last.status if self.last else "", "gone")
        return True

    def _create(self, subject: Resource) -> None:
        self._make_device()
        self._remember("", "", "proposing")
        params = key_params(subject, self.proposal.key)
        ready = filled(subject, self.ids)
        kept = self.sender.create(ready, params, lambda: bool(self._came("ResearchSubject")))
        if not kept.made:
            self.notes.append("race: another writer created it first")
            self.ours = kept.resource if self.expected.is_ours(kept.resource) else None
            self.unchanged.append(reference_of(kept.resource))
            self.raced = True
            return
        self.ours = kept.resource
        self._did(self.created, kept.resource)
        self._remember(reference_of(kept.resource), str(subject["status"]), "proposed")
        if self.sender.write:
            self._look_for_twins(kept.resource)

    def _look_for_twins(self, made: Resource) -> None:
        params = token(self.expected.system, self.proposal.key)
        for other in self.sender.all("ResearchSubject", params):
            if other["id"] != made["id"]:
                self.notes.append(f"duplicate: {reference_of(other)} stands beside it")

    def _keep_or(self, found: Resource) -> None:
        """Nothing where it already stands as wanted, else updated on a fresh reading of it."""
        subject = self.proposal.subject
        if subject is not None and same_content(self._in_place(subject, found), found):
            self.unchanged.append(reference_of(found))
            self._remember_at(found, str(found["status"]), self._state())
            return
        self._settle(found)

    def _state(self) -> SubjectState:
        return "taken-back" if self.proposal.action == "take-back" else "proposed"

    def _settle(self, found: Resource) -> None:
        """412: read again, and the person wins; a fault only when it does not settle."""
        versions: list[str] = []
        for _ in range(_TRIES):
            current = self.sender.client.read("ResearchSubject", str(found["id"]))
            if current is None:
                self.notes.append("gone: somebody deleted the proposal; it is not made again")
                self._remember_at(found, str(found["status"]), "gone")
                self.ours = None
                return
            if self._left_to_person(current):
                return
            versions.append(version_of(current))
            try:
                self._update(current)
            except WriteConflict:
                continue
            return
        raise not_settled(versions)

    def _left_to_person(self, current: Resource) -> bool:
        why = self._touch(current) or self._people_at(current)
        if why:
            self._leave(current, why, sure=why not in UNSURE)
        return bool(why)

    def _people_at(self, current: Resource) -> str:
        """Of a create that was killed before its Provenance, only once that is written."""
        why = people_at(self.sender, current)
        if why != NO_PROVENANCE or not self._owes(current):
            return why
        self._sign({"ResearchSubject": str(current["id"])})
        self._remember(reference_of(current), str(current["status"]), "proposed")
        return people_at(self.sender, current)

    def _owes(self, found: Resource) -> bool:
        """Whether no run of ours has come to its end since this was created."""
        begun = self.last is not None and (self.last.state == "proposing" or not self._told())
        can = self.sender.write and "Provenance" not in self.sender.choice.left_out
        return (
            begun and can and self.proposal.provenance is not None and self.expected.has_key(found)
        )

    def _leave(self, found: Resource, why: str, *, sure: bool) -> None:
        self.left = True
        self.unchanged.append(reference_of(found))
        self.notes.append(f"left to a person: {why}")
        if sure and self.expected.is_ours(found):
            self._remember_at(found, self._status_of(found), "left-to-person")

    def _update(self, current: Resource) -> None:
        if self.proposal.subject is None:
            self.notes.append("nothing handed over to write")
            return
        self._make_device()
        resource = self._in_place(self.proposal.subject, current)
        self._begin(current, str(resource["status"]))
        self.sender.update(resource, version_of(current))
        self._did(self.updated, resource)
        self._remember_at(current, str(resource["status"]), self._state())

    def _begin(self, current: Resource, status: str) -> None:
        """The ledger hears of it first: killed on the way, both forms are known to be ours."""
        before = str(current["status"])
        if status != before:
            begun: SubjectState = (
                "taking-back" if self.proposal.action == "take-back" else "proposing"
            )
            self._remember_at(current, before, begun)

    def _in_place(self, subject: Resource, found: Resource) -> Resource:
        if mentions(subject, "Device"):
            self._make_device()
        return filled(self.expected.in_place(found), self.ids)

    # GuidanceResponse

    def _opinion(self) -> None:
        """Ours alone: a person's ResearchSubject does not stop it; only for proposed patients."""
        opinion = self.proposal.opinion
        if opinion is None or self.ours is None:
            return
        if "GuidanceResponse" in self.sender.choice.left_out:
            self.notes.append("the server takes no GuidanceResponse: no opinion written")
            return
        params = key_params(opinion, self.proposal.key)
        every = self.sender.all("GuidanceResponse", params)
        # a server that ignores the parameter answers with those of others too
        found = [one for one in every if identifiers(one) & identifiers(opinion)]
        if not found:
            self._create_opinion(self._ready(opinion, self.ours))
        elif _asked(found[0]) == _asked(opinion):
            self.ids["GuidanceResponse"] = str(found[0]["id"])
            self.opinion = found[0]
            self.unchanged.append(reference_of(found[0]))
        else:
            self._update_opinion(
                {**self._ready(opinion, self.ours), "id": found[0]["id"]}, found[0]
            )

    def _create_opinion(self, resource: Resource) -> None:
        kept = self.sender.create(resource, key_params(resource, self.proposal.key))
        if kept.made:
            self._did(self.created, kept.resource)
        else:
            self.unchanged.append(reference_of(kept.resource))

    def _update_opinion(self, resource: Resource, found: Resource) -> None:
        sent = {**resource, **notes_on(found)}
        try:
            self.sender.update(sent, version_of(found))
        except WriteConflict:
            now = self.sender.client.read("GuidanceResponse", str(found["id"])) or found
            sent = {**resource, **notes_on(now)}
            self.sender.update(sent, version_of(now))
        self._did(self.updated, sent)

    def _ready(self, opinion: Resource, ours: Resource) -> Resource:
        self._make_device()
        self.ids["ResearchSubject"] = str(ours["id"])
        return filled(opinion, self.ids)

    # Provenance

    def _mend(self) -> None:
        """The run before was killed, or its memory is lost: what it wrote gets its Provenance."""
        if self.raced or "Provenance" in self.sender.choice.left_out:
            return
        ours = None if self.left else self.ours
        found = (one for one in (ours, self.opinion) if one)
        standing = [one for one in found if one["resourceType"] not in self.changed]
        bare = unproven(self.sender, standing)
        if bare:
            self._make_device()
            self.changed.update(bare)


def _asked(opinion: Resource) -> object:
    """Value of requestIdentifier: the outcome_fingerprint, without which nothing is written."""
    found = opinion.get("requestIdentifier")
    return found.get("value") if is_object(found) else None
