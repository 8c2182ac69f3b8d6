"""What one lane answers for one patient: the form in which both lanes are compared."""

from __future__ import annotations

import msgspec

from fhir_adapter.model.decision import Outcome, Stop
from fhir_adapter.model.result import Effect
from fhir_adapter.model.study import Settled
from fhir_adapter.model.truth import Reason, Truth


class LaneResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One criterion: what SQL and closures must agree on."""

    criterion: str
    truth: Truth
    reason: Reason | None
    effect: Effect
    assumed: bool
    settled: Settled | None
    evidence: tuple[str, ...]
    """References of the facts shown, in their order, each once."""


class LaneAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One patient."""

    patient: str
    outcome: Outcome
    stops: tuple[Stop, ...]
    pointers: int
    results: tuple[LaneResult, ...]
    """Empty where a stop came first."""
