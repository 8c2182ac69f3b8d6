"""The error files of an export: what the server could not export, counted and believed.

Each line is an OperationOutcome. Its words are not passed on; of them only the names of resource
types are used, which say whose completeness can no longer be claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from fhir_adapter.fhir.outcome import Issue, issues_of, types_named
from fhir_adapter.fhir.wire import as_array, as_object, decode
from fhir_adapter.ports import Resource
from fhir_adapter.pull.files import Unreadable
from fhir_adapter.pull.index import EVERY_TYPE

_WHY = {
    "forbidden": "forbidden",
    "security": "forbidden",
    "suppressed": "forbidden",
    "login": "forbidden",
    "not-supported": "not-supported",
}
_ELSE = "export-error"


@dataclass(frozen=True, slots=True)
class ErrorsRead:
    """What some error files say."""

    issues: Counter[str] = field(default_factory=Counter[str])
    """``export-`` and the issue's code, to how often; never a text."""
    broken: dict[str, str] = field(default_factory=dict[str, str])
    """Resource type, or EVERY_TYPE where none is named, to why it may not be whole."""

    def add(self, lines: Iterable[bytes | Unreadable], types: tuple[str, ...]) -> None:
        """Take the lines of a file; ``types`` are those that were asked for."""
        for line in lines:
            outcome = None if isinstance(line, Unreadable) else decode(line)
            issues = issues_of(outcome)
            if outcome is None or not issues:
                self.issues["export-unreadable"] += 1
                self._break((), _ELSE)
            else:
                self._outcome(outcome, issues, types)

    def among_data(self, outcome: Resource, types: Collection[str]) -> None:
        """An outcome among the resources of a file that is named after these types."""
        self._outcome(outcome, issues_of(outcome), (), types)

    def _outcome(
        self,
        outcome: Resource,
        issues: Iterable[Issue],
        types: tuple[str, ...],
        else_of: Collection[str] = (),
    ) -> None:
        for issue, item in zip(issues, as_array(outcome.get("issue")), strict=True):
            self.issues[f"export-{issue.code}"] += 1
            named = types_named(as_object(item), types)
            if issue.withholds or (named and issue.severity == "warning"):
                self._break(named or else_of, _WHY.get(issue.code, _ELSE))

    def _break(self, types: Collection[str], why: str) -> None:
        for name in types or (EVERY_TYPE,):
            self.broken.setdefault(name, why)
