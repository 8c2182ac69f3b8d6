"""What the ledger hands out: frozen rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fhir_adapter.ledger.inputs import Basis
from fhir_adapter.model.decision import Hashes, Outcome

SubjectState = Literal[
    "proposing", "proposed", "taking-back", "taken-back", "left-to-person", "gone"
]
"""proposing, taking-back = begun, and not yet seen to stand on the server.
gone = somebody deleted what we had created: a person's act, never created again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """One decision as recorded."""

    id: int
    run: str
    patient: str
    study: str
    attempt: int
    as_of: int
    recorded_at: int
    study_version: str
    study_hash: str
    listed: bool
    outcome: Outcome
    hashes: Hashes | None
    body: bytes | None
    """Canonical JSON of the Decision; None where not listed, or when its time is over."""
    on: Basis | None
    """What it rests on beside the record; None for one of schema 3 or older."""
    record: bytes | None
    """The record that was judged, packed (inputs.py); None where it is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSubject:
    """What we last wrote about one patient, study and attempt."""

    key: str
    patient: str
    """Logical id at first proposal; later merges do not change it."""
    study: str
    attempt: int
    reference: str
    """ResearchSubject/<id>; empty where none was seen to stand."""
    status: str
    """ResearchSubject.status as last seen to be written; empty where none was."""
    fingerprint: str
    state: SubjectState
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCard:
    """An alert that a person was shown."""

    card: str
    study: str
    patient: str
    encounter: str
    who: str
    fingerprint: str
    """alert_fingerprint of the decision behind it."""
    shown_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDismissal:
    """A card that somebody put away, and why."""

    card: str
    study: str
    patient: str
    who: str
    fingerprint: str
    reason: str
    dismissed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAcceptance:
    """A card that the client reported as accepted."""

    card: str
    study: str
    patient: str
    who: str
    fingerprint: str
    accepted_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What an alert must know of one patient, for all studies at once."""

    answered: frozenset[str]
    """Studies in which anybody answered or typed in anything."""
    declined: frozenset[str]
    """Studies that the patient does not want."""
    cards: tuple[StoredCard, ...]
    """Cards shown in this encounter, oldest first."""
    dismissals: tuple[StoredDismissal, ...]
    """Cards put away, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """How much is in the ledger; counts only."""

    schema: int
    decisions: int
    listed: int
    """Decisions stored with their body."""
    answers: int
    declines: int
    audit: int
    inputs: int
    """Records kept so that decisions can be made again."""
    subjects: tuple[tuple[str, int], ...]
    """State and number, in the order of the states' names."""
