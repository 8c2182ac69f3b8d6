"""What the ledger remembers of one proposal, and what it is told while the proposal is written."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.writeback.history import created_once
from fhir_adapter.writeback.needs import LastWritten, SubjectLedger, SubjectState
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.standing import Expected, identifiers, reference_of
from fhir_adapter.writeback.traces import left_behind


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

    def _last_of(self, found: Resource) -> LastWritten | None:
        """What the ledger says of it: under this key, else under its own from before a merge."""
        known = self.last is not None and self.last.reference == reference_of(found)
        if self.ledger is None or known or self.expected.has_key(found):
            return self.last
        keys = sorted(
            value for system, value in identifiers(found) if system == self.expected.system
        )
        return next(filter(None, map(self.ledger.subject, keys)), None)

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

    def _keep_row(self, reference: str, status: str, fingerprint: str, state: SubjectState) -> None:
        if self.ledger is None or not self.sender.write:
            return
        now = (reference, status, fingerprint, state)
        if self.last is not None and now == _row(self.last):
            return
        self.ledger.remember_subject(
            key=self.proposal.key,
            patient=self.proposal.patient,
            study=self.proposal.study,
            reference=reference,
            status=status,
            fingerprint=fingerprint,
            state=state,
        )
        self.last = self.ledger.subject(self.proposal.key)


def _row(last: LastWritten) -> tuple[str, str, str, SubjectState]:
    return last.reference, last.status, last.fingerprint, last.state
