"""ServerSink: the DecisionSink that writes to a FHIR server.

The basis of the site (approval, dates, who can see) is checked by the caller.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Lock

from fhir_adapter.client import status_of
from fhir_adapter.errors import AdapterError, ServerFault, WriteConflict
from fhir_adapter.fhir.normal import same_content
from fhir_adapter.ports import Proposal, Written
from fhir_adapter.writeback.needs import SubjectLedger, WriteClient
from fhir_adapter.writeback.proposing import Proposing
from fhir_adapter.writeback.recording import Recording
from fhir_adapter.writeback.sending import Sender, key_params
from fhir_adapter.writeback.standing import reference_of, version_of
from fhir_adapter.writeback.standing_in import StandingIn
from fhir_adapter.writeback.strategy import Choice, Strategy, choose

_ACTIONS = frozenset(("propose", "take-back"))
_INVALID = frozenset((400, 412, 422))
"""What a server answers to a resource that its profiles do not allow (HAPI: 412)."""
_STAND_INS = ("Task/", "DocumentReference/")
_STRIPES = 64
"""Locks for all keys: two keys may share one."""


class ServerSink:
    """One server, one installation. Without a ledger a person's deletion is not remembered.

    Two workers of this process never work on one key at a time; other processes are held off by
    If-None-Exist, and what slips through is reported as a duplicate.
    """

    def __init__(
        self, client: WriteClient, ledger: SubjectLedger | None, *, choice: Choice | None = None
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._choice = choice or choose(None)
        self._locks = tuple(Lock() for _ in range(_STRIPES))
        self._device_lock = Lock()
        self._devices: dict[bool, str] = {}
        """Id of our Device, by whether it was written or only looked for."""

    def send(self, proposal: Proposal, *, write: bool) -> Written:
        """Send one proposal; without ``write`` only reads, and says what would happen."""
        one = self._one(Proposing, self._choice, proposal, write=write)
        if self._choice.strategy is Strategy.LEDGER_ONLY:
            one.notes.append(f"nothing written: {self._choice.reason}")
            return one.written()
        if proposal.action not in _ACTIONS and proposal.opinion is None:
            return one.written()
        with self._locks[hash(proposal.key) % _STRIPES]:
            if self._is_stood_in(proposal):
                return self._beside(proposal, write=write)
            try:
                return one.send()
            except (ServerFault, WriteConflict) as fault:
                # what stands already has no need of another form
                if one.ours or not _wants_more(fault) or proposal.stand_in is None:
                    raise
            other = self._stand_in(proposal, write=write)
            other.notes.append("the server demands more of a ResearchSubject than a proposal has")
            return other.send()

    def _is_stood_in(self, proposal: Proposal) -> bool:
        """Whether a Task or document is its form: by the ledger, else by the server's ways."""
        row = self._ledger.subject(proposal.key) if self._ledger else None
        reference = "" if row is None else row.reference
        if reference.startswith("ResearchSubject/"):  # it stood before the server refused them
            return False
        return self._choice.strategy is Strategy.STAND_IN or reference.startswith(_STAND_INS)

    def _beside(self, proposal: Proposal, *, write: bool) -> Written:
        """A ResearchSubject that stands comes first: most often that of who has enrolled them."""
        if self._choice.subjects:
            one = self._one(Proposing, self._choice, proposal, write=write)
            if one.is_enrolled():
                return one.send()
        return self._stand_in(proposal, write=write).send()

    def _stand_in(self, proposal: Proposal, *, write: bool) -> Proposing:
        choice = replace(self._choice, strategy=Strategy.STAND_IN)
        return self._one(StandingIn, choice, proposal, write=write)

    def _one(
        self, kind: type[Proposing], choice: Choice, proposal: Proposal, *, write: bool
    ) -> Proposing:
        sender = Sender(client=self._client, choice=choice, write=write)
        return kind(proposal=proposal, sender=sender, ledger=self._ledger, device=self._device)

    def _device(self, one: Recording) -> str:
        """By identifier, once per sink; its software version is brought up to date."""
        with self._device_lock:
            known = self._devices.get(one.sender.write)
            if known is None:
                known = self._devices[one.sender.write] = self._made_device(one)
            return known

    def _made_device(self, one: Recording) -> str:
        wanted = one.proposal.device
        params = key_params(wanted)
        found = one.sender.all("Device", params)
        if not found:
            kept = one.sender.create(wanted, params)
            if kept.made:
                one.created.append(reference_of(kept.resource))
            return str(kept.resource["id"])
        device = {**found[0], **wanted, "id": found[0]["id"]}
        if not same_content({**wanted, "id": device["id"]}, found[0]):
            one.sender.update(device, version_of(found[0]))
            one.updated.append(reference_of(device))
        return str(device["id"])


def _wants_more(fault: AdapterError) -> bool:
    """412 with nothing that stands is no lost race: HAPI says so of a profile."""
    return status_of(fault) in _INVALID and "ResearchSubject" in fault.where
