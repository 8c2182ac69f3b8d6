"""What judging one criterion gives: truth, reason, effect, evidence."""

from __future__ import annotations

from enum import Enum

import msgspec

from fhir_adapter.model.fact import Fact
from fhir_adapter.model.study import Settled
from fhir_adapter.model.truth import Reason, Truth


class Verdict(Enum):
    """The answer about the sentence as the protocol wrote it."""

    MET = "met"
    NOT_MET = "not met"
    UNKNOWN = "unknown"
    PERSON = "a person must judge"


class Effect(Enum):
    """What the criterion does to the proposal; shown first everywhere."""

    FITS = "fits"
    AGAINST = "against"
    OPEN = "open"
    NOT_APPLICABLE = "does not apply"


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One fact behind an answer and why it is there."""

    fact: Fact
    why: str = ""
    """Empty when it decides; else borderline, stale, possible, confounder, beside, ignored, ..."""


class Open(msgspec.Struct, frozen=True, gc=False):
    """One leaf that keeps an answer unknown."""

    reason: Reason
    question: str = ""
    """The question that would settle it, where the tree names one."""


class CriterionResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One criterion for one patient at one as_of."""

    criterion: str
    gate: bool = False
    """The criterion is a gate."""
    truth: Truth
    reason: Reason | None
    verdict: Verdict
    effect: Effect
    evidence: tuple[Evidence, ...]
    """At most three facts per deciding leaf, tree order."""
    evidence_left_out: int = 0
    assumed: bool = False
    """The answer rests on an absence policy."""
    opens: tuple[Open, ...] = ()
    settled: Settled | None = None
    """Where the earliest open leaf is settled; None when nothing is open."""
    question: str = ""
    """Id of the question to ask first; empty when nothing is open."""
    lasting: bool = False
    """Meaningful when the effect is against: it ends the matter."""
    until: int | None = None
    """Last local date on which it is still against, where a date ends it."""
    notes: tuple[str, ...] = ()
    criterion_hash: str = ""
    confirmed: bool = False
    """The investigator has signed this reading."""
