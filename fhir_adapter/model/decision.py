"""Decision: what the system concluded for one patient, study and as_of. Never a person's word."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fhir_adapter.model.result import CriterionResult
from fhir_adapter.model.study import Settled
from fhir_adapter.model.truth import Reason


class Outcome(Enum):
    """The first that applies (design section 5); every patient pulled has exactly one."""

    NOT_SCREENED = "not-screened"
    NOT_PROPOSED = "not-proposed"
    NOT_ELIGIBLE = "not-eligible"
    NOT_NOW = "not-now"
    NEEDS_DATA = "needs-data"
    CANDIDATE = "candidate"


class Stop(Enum):
    """A state that comes before any criterion and ends cards, mails and tasks at once."""

    DECEASED = "deceased"
    OPTED_OUT = "opted-out"
    NO_BASIS = "no-basis"
    RESTRICTED = "restricted"
    TEST_RECORD = "test-record"
    SUPERSEDED = "superseded"
    ON_STUDY = "on-study"


STOP_ORDER = tuple(Stop)
"""The order in which stops are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One next check: a question, never an order."""

    criteria: tuple[str, ...]
    question: str
    text: str
    who: str
    settled: Settled
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """Named hashes (design section 5), each sha256 in hex."""

    study: str
    basis: str
    outcome: str
    """outcome_fingerprint: only its change writes."""
    alert: str
    """alert_fingerprint: only its change alerts again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The system's conclusion, with everything that a page, card or resource shows."""

    patient: str
    study: str
    study_version: str
    as_of: int
    """Instant, microseconds since the epoch."""
    outcome: Outcome
    stops: tuple[Stop, ...] = ()
    results: tuple[CriterionResult, ...] = ()
    """In protocol order; empty when not-screened."""
    checks: tuple[Check, ...] = ()
    """Next checks, most useful first; only those that can still change the outcome."""
    next_date: int | None = None
    """Earliest local date on which time alone could change something; may be early, never late."""
    until: int | None = None
    """not-now by a date: the last local date against."""
    watching: tuple[str, ...] = ()
    """not-now: the passing criteria that are against."""
    pointers: tuple[str, ...] = ()
    rank: tuple[int, int, int] = (0, 0, 0)
    """Sort key, smallest first: -pointers present, -inclusions that fit from data, checks before
    contact."""
    labs_only: bool = False
    """needs-data without any pointer: not in the default list, nothing is written."""
    withheld: bool = False
    """The patient declined: judged, but not proposed, no card, not in the default list."""
    rescreen: bool = False
    """An attempt is closed and none is open: shown as re-screen?; a person opens the next."""
    attempt: int = 1
    assumed: int = 0
    """How many criteria fit only by an absence policy."""
    confirmed: bool = False
    """Every reading that was used is signed by the investigator."""
    issues: tuple[str, ...] = ()
    unproved: tuple[Stop, ...] = ()
    """Stops that cannot be ruled out, since what says them was not retrieved: nobody is proposed
    and no card is shown on the strength of what was not read."""
    hashes: Hashes | None = None
