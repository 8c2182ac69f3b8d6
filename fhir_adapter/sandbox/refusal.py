"""Refusal: an answer other than success, with its OperationOutcome."""

from __future__ import annotations

from fhir_adapter.ports import Resource


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """What the server says no with: an HTTP status and an issue code; never what was sent."""

    def __init__(self, status: int, code: str, text: str) -> None:
        self.status = status
        self.code = code
        self.text = text
        super().__init__(text)

    def outcome(self) -> Resource:
        """The OperationOutcome."""
        issue = {"severity": "error", "code": self.code, "diagnostics": self.text}
        return {"resourceType": "OperationOutcome", "issue": [issue]}


def not_found() -> Refusal:
    """404."""
    return Refusal(404, "not-found", "no such resource")
