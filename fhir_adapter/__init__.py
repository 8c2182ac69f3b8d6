"""fhir-adapter: pre-screen a hospital's FHIR records against a trial, with evidence and reasons."""

from __future__ import annotations

from fhir_adapter.errors import AdapterError
from fhir_adapter.model.decision import Check, Decision, Hashes, Outcome, Stop
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.result import CriterionResult, Effect, Evidence, Verdict
from fhir_adapter.model.study import Criterion, Question, Study
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.present.rows import CriterionRow, EvidenceRow
from fhir_adapter.public import LoadedStudy, explain, load_study, screen, screen_record
from fhir_adapter.screening import Screened
from fhir_adapter.version import __version__

__all__ = [
    "AdapterError",
    "Check",
    "Criterion",
    "CriterionResult",
    "CriterionRow",
    "Decision",
    "Effect",
    "Evidence",
    "EvidenceRow",
    "Fact",
    "Hashes",
    "Kind",
    "LoadedStudy",
    "Outcome",
    "Question",
    "Reason",
    "Screened",
    "Stop",
    "Study",
    "Truth",
    "Verdict",
    "__version__",
    "explain",
    "load_study",
    "screen",
    "screen_record",
]
