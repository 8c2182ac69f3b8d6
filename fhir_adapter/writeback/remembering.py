"""What the ledger remembers of one proposal, and what it is told while the proposal is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback.history import created_once
from fhir_adapter.writeback.needs import LastWritten, SubjectLedger, SubjectState
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.standing import (
    CLOSED,
    Expected,
    identifiers,
    may_be_of,
    place_of,
    reference_of,
    target_of,
)
from fhir_adapter.writeback.traces import left_behind

Row = tuple[str, str, str, SubjectState]
"""Reference, status, outcome_fingerprint, state."""


@dataclass(slots=True, kw_only=True)
class Remembering:
    """Without a ledger nothing is known and nothing kept; a dry run keeps nothing."""

    proposal: Proposal
    sender: Sender
    ledger: SubjectLedger | None
    last: LastWritten | None = None
    """The row of the proposal's key."""
    unheard: str | None = None
    """Reference of what was created and the ledger does not hold; None where nothing was."""
    asked: bool = False
    """Whether the server was asked for that."""

    @property
    def expected(self) -> Expected:
        """What our own, untouched ResearchSubject looks like."""
        return Expected.of(self.proposal, self.last)

    def _key_of(self, found: Resource) -> str:
        """The key of ours that it carries: the proposal's, else its own from before a merge."""
        if self.expected.has_key(found):
            return self.proposal.key
        keys = (value for system, value in identifiers(found) if system == self.expected.system)
        return min(keys, default="") if self.expected.system else ""

    def _last_of(self, found: Resource) -> LastWritten | None:
        """What the ledger says of it by its key; nothing where that is of another with this key."""
        key = self._key_of(found)
        own = self.ledger is None or key in ("", self.proposal.key)
        last = self.last if own or self.ledger is None else self.ledger.subject(key)
        reference = "" if last is None else last.reference
        other = reference.startswith("ResearchSubject/") and reference != reference_of(found)
        return None if other else last

    def _earlier_attempt(self, found: Resource) -> bool:
        """Closed, and kept in the ledger under another key of ours: a person opened this one."""
        if self.ledger is None or found.get("status") not in CLOSED:
            return False
        others = {value for _, value in identifiers(found)} - {self.proposal.key}
        return any(self.ledger.subject(value) is not None for value in sorted(others))

    def _put_away_for_another(self, found: Sequence[Resource]) -> Resource | None:
        """One that repair closed while a merge stood, for what is another patient's again."""
        client = self.sender.client
        for away in found:
            place = place_of(away) if self.expected.has_key(away) else ""
            kind, _, number = place.partition("/")
            kept = client.read(kind, number) if kind == "ResearchSubject" else None
            if kept is not None and self._is_of_another(kept):
                return away
        return None

    def _is_of_another(self, found: Resource) -> bool:
        """Another patient's under another key: what repair kept while a merge stood."""
        if self._key_of(found) in ("", self.proposal.key):
            return False
        return not any(may_be_of(one, found) for one in self.expected.patients)

    def _touch(self, found: Resource) -> str:
        """Why it is a person's; empty where it is ours and untouched."""
        last = self._last_of(found)
        if last is not None and last.state == "left-to-person":
            return "left to a person before"
        return Expected.of(self.proposal, last).touch(found)

    def _written_once(self, kind: str) -> str | None:
        """Reference of what we have created, be it gone; empty where nothing says which it was.

        None where nothing was. What the ledger saw no end of, or never heard of, is looked up.
        """
        last = self.last
        if last is not None and (last.reference.startswith(f"{kind}/") or last.state == "gone"):
            return last.reference
        if not self.asked:
            self.unheard = self._looked_up(kind)
            self.asked = True
        return self.unheard

    def _looked_up(self, kind: str) -> str | None:
        begun = self.last is not None and self.last.state == "proposing"
        came = self._came(kind) if begun else ""
        if came or self.proposal.action != "propose":
            return came or None
        # a ResearchSubject may have been begun for what then got another form
        unknown = self.last is None or (begun and kind != "ResearchSubject")
        return left_behind(self.sender, self.proposal, kind) if unknown else None

    def _came(self, kind: str) -> str:
        """Reference of what was created under this key since that was begun, by the history."""
        if self.last is None:
            return ""
        return created_once(self.sender, kind, self.proposal.key, since=self.last.changed_at)

    def _told(self) -> str:
        """outcome_fingerprint of the last proposal that was written to its end."""
        return "" if self.last is None else self.last.fingerprint

    def _finish(self) -> None:
        """Only now does the ledger hear the fingerprint: a kill before this is seen next time."""
        if self.last is not None:
            last = self.last
            self._keep_row(last.reference, last.status, self.proposal.fingerprint, last.state)

    def _remember(self, reference: str, status: str, state: SubjectState) -> None:
        self._keep_row(reference, status, self._told(), state)

    def _remember_at(self, found: Resource, status: str, state: SubjectState) -> None:
        """Of its own key: after the end of a merge each record is judged by its own."""
        key = self._key_of(found)
        if key in ("", self.proposal.key):
            self._remember(reference_of(found), status, state)
            return
        row = self.ledger.subject(key) if self.ledger else None
        told = "" if row is None else row.fingerprint
        named = target_of(found.get("individual")).removeprefix("Patient/")
        self._put_row(key, named, row, (reference_of(found), status, told, state))

    def _status_of(self, found: Resource) -> str:
        """As last written under its key; empty where nothing is known."""
        last = self._last_of(found)
        return "" if last is None else last.status

    def _keep_row(self, reference: str, status: str, fingerprint: str, state: SubjectState) -> None:
        now = (reference, status, fingerprint, state)
        self._put_row(self.proposal.key, self.proposal.patient, self.last, now)
        if self.ledger is not None and self.sender.write:
            self.last = self.ledger.subject(self.proposal.key)

    def _put_row(self, key: str, patient: str, last: LastWritten | None, now: Row) -> None:
        if self.ledger is None or not self.sender.write:
            return
        if last is not None and now == _row(last):
            return
        reference, status, fingerprint, state = now
        self.ledger.remember_subject(
            key=key,
            patient=patient,
            study=self.proposal.study,
            reference=reference,
            status=status,
            fingerprint=fingerprint,
            state=state,
        )


def _row(last: LastWritten) -> Row:
    return last.reference, last.status, last.fingerprint, last.state
