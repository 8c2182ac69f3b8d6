"""A Task or DocumentReference in the place of a ResearchSubject, with the same safety.

Found by our key, never written over a person: whoever moved its status, put an owner or a note on
it, or signed a Provenance, has it from then on. It is never deleted: a take-back is a status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhir_adapter.errors import WriteConflict
from fhir_adapter.fhir.normal import same_content
from fhir_adapter.fhir.set_by import set_by
from fhir_adapter.ports import Resource, Written
from fhir_adapter.writeback.filling import filled, without_output
from fhir_adapter.writeback.needs import LastWritten
from fhir_adapter.writeback.proposing import Proposing
from fhir_adapter.writeback.sending import key_params
from fhir_adapter.writeback.standing import by_a_person, reference_of, target_of, version_of

_OF_SERVERS = frozenset(("id", "meta", "text", "lastModified", "authoredOn", "output", "_status"))
"""What a server adds or we leave out by turns; an owner, a note or a part is a person's."""


@dataclass(slots=True, kw_only=True)
class StandingIn(Proposing):
    """The state of one ``send``; used once. Of a stand-in, what is said of the ResearchSubject."""

    last: LastWritten | None = None
    ours: Resource | None = None
    raced: bool = False
    left: bool = False

    def send(self) -> Written:
        """The stand-in, the opinion, the link to it, the Provenance.

        An opinion alone then says that something stood beside it, and that somebody deleted that.
        """
        wanted = self.proposal.stand_in
        self.last = self.ledger.subject(self.proposal.key) if self.ledger else None
        if wanted is None:
            return self.written()
        finished = self.ledger is None or self._told() == self.proposal.fingerprint
        found = next(iter(self.sender.all(wanted["resourceType"], key_params(wanted))), None)
        found = found or self._remembered_in(str(wanted["resourceType"]))
        if found is None:
            self._absent(wanted)
        else:
            self._present(found, wanted)
        if not finished:
            self._mend()
        self._provenance()
        self._finish()
        return self.written()

    def _remembered_in(self, form: str) -> Resource | None:
        """What we wrote before, read by its id: a search may lag behind."""
        if self.last is None or self.last.state == "gone":
            return None
        kind, _, number = self.last.reference.partition("/")
        return self.sender.client.read(kind, number) if kind == form and number else None

    def _absent(self, wanted: Resource) -> None:
        if self._is_gone(str(wanted["resourceType"])):
            return
        if self.proposal.action == "propose":
            self._make_device()
            self._remember("", "", "proposing")
            kind, params = str(wanted["resourceType"]), key_params(wanted)
            ready = filled(without_output(wanted), self.ids)
            kept = self.sender.create(ready, params, lambda: bool(self._came(kind)))
            self.ours = kept.resource
            self.raced = not kept.made
            self._remember(reference_of(kept.resource), str(wanted["status"]), "proposed")
            if kept.made:
                self._did(self.created, kept.resource)
                self._link(kept.resource, wanted)
            else:
                self.unchanged.append(reference_of(kept.resource))

    def _link(self, made: Resource, wanted: Resource) -> None:
        """The opinion, then the link to it; a Task that somebody changed meanwhile stays so."""
        ready = {**self._ready_in(wanted, made), "id": made["id"]}
        if not self.sender.write or same_content(ready, made):
            return
        current = self.sender.client.read(str(made["resourceType"]), str(made["id"]))
        if current is None or not same_content(current, made):
            return
        try:
            self.sender.update(ready, version_of(current))
        except WriteConflict:
            self.notes.append("changed meanwhile: the link to the opinion is left to the next run")

    def _present(self, found: Resource, wanted: Resource) -> None:
        for current in self._readings(found):
            why = self._touched(current, wanted)
            if why:
                self._left(current, why)
                return
            try:
                self._bring(current, wanted)
            except WriteConflict:
                continue
            return
        raise WriteConflict(
            "it changed each time while it was being written",
            where=str(wanted["resourceType"]),
            remedy="Run again.",
        )

    def _readings(self, found: Resource) -> Iterator[Resource]:
        """As found, and once more as it stands after a conflict."""
        yield found
        again = self.sender.client.read(str(found["resourceType"]), str(found["id"]))
        if again is not None:
            yield again

    def _touched(self, found: Resource, wanted: Resource) -> str:
        if self.last is not None and self.last.state == "left-to-person":
            return "left to a person before"
        settled = self.last is not None and self.last.state not in ("proposing", "taking-back")
        ours = {self.last.status} if self.last and settled and self.last.status else _GIVEN
        if str(found.get("status")) not in ours or set_by(found) != "machine":
            return "status"
        if target_of(found.get("for") or found.get("subject")) not in self._patients():
            return "patient"
        more = sorted(set(found) - set(wanted) - _OF_SERVERS)
        return more[0] if more else self._signed(found)

    def _patients(self) -> frozenset[str]:
        ids = (self.proposal.patient, *self.proposal.patient_ids)
        return frozenset(f"Patient/{one}" for one in ids)

    def _signed(self, found: Resource) -> str:
        """A server without Provenance shows nobody's signature; the status is all there is."""
        if "Provenance" in self.sender.choice.left_out:
            return ""
        every = self.sender.all("Provenance", {"target": reference_of(found)})
        return "a person's Provenance" if any(by_a_person(one) for one in every) else ""

    def _left(self, found: Resource, why: str) -> None:
        self.left = True
        self.unchanged.append(reference_of(found))
        self.notes.append(f"left to a person: {why}")
        status = self.last.status if self.last else ""
        self._remember(reference_of(found), status, "left-to-person")

    def _bring(self, current: Resource, wanted: Resource) -> None:
        """To the wanted form; nothing where it stands so already."""
        if self.proposal.action == "take-back" and current.get("status") == wanted["status"]:
            self.unchanged.append(reference_of(current))
            return
        self.ours = current
        resource = {**self._ready_in(wanted, current), "id": current["id"]}
        if same_content(resource, current):
            self.unchanged.append(reference_of(current))
        else:
            self.sender.update(resource, version_of(current))
            self._did(self.updated, resource)
        self._remember(reference_of(current), str(wanted["status"]), self._state())

    def _ready_in(self, wanted: Resource, current: Resource) -> Resource:
        """With real ids; the link to the opinion only where the server keeps one."""
        self._make_device()
        self.ours = current
        self._opinion()
        ids = {**self.ids, **self.changed}
        return filled(wanted if "GuidanceResponse" in ids else without_output(wanted), ids)


_GIVEN = frozenset(("requested", "cancelled", "current", "superseded"))
