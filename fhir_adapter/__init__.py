"""fhir-adapter: pre-screen a hospital's FHIR records against a trial, with evidence and reasons."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fhir_adapter.version import __version__

if TYPE_CHECKING:
    from fhir_adapter.errors import AdapterError
    from fhir_adapter.model.decision import Check, Decision, Hashes, Outcome, Stop
    from fhir_adapter.model.fact import Fact, Kind
    from fhir_adapter.model.result import CriterionResult, Effect, Evidence, Verdict
    from fhir_adapter.model.study import Criterion, Question, Study
    from fhir_adapter.model.truth import Reason, Truth
    from fhir_adapter.present.rows import CriterionRow, EvidenceRow
    from fhir_adapter.public import LoadedStudy, explain, load_study, screen, screen_record
    from fhir_adapter.screening import Screened

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

_PLACES = {
    "AdapterError": "fhir_adapter.errors",
    "Check": "fhir_adapter.model.decision",
    "Criterion": "fhir_adapter.model.study",
    "CriterionResult": "fhir_adapter.model.result",
    "CriterionRow": "fhir_adapter.present.rows",
    "Decision": "fhir_adapter.model.decision",
    "Effect": "fhir_adapter.model.result",
    "Evidence": "fhir_adapter.model.result",
    "EvidenceRow": "fhir_adapter.present.rows",
    "Fact": "fhir_adapter.model.fact",
    "Hashes": "fhir_adapter.model.decision",
    "Kind": "fhir_adapter.model.fact",
    "LoadedStudy": "fhir_adapter.public",
    "Outcome": "fhir_adapter.model.decision",
    "Question": "fhir_adapter.model.study",
    "Reason": "fhir_adapter.model.truth",
    "Screened": "fhir_adapter.screening",
    "Stop": "fhir_adapter.model.decision",
    "Study": "fhir_adapter.model.study",
    "Truth": "fhir_adapter.model.truth",
    "Verdict": "fhir_adapter.model.result",
    "explain": "fhir_adapter.public",
    "load_study": "fhir_adapter.public",
    "screen": "fhir_adapter.public",
    "screen_record": "fhir_adapter.public",
}


def __getattr__(name: str) -> object:
    """A public name, its module loaded when it is first asked for: `--help` waits for none."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return list(__all__)
