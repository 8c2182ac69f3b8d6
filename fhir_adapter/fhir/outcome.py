"""OperationOutcome in our words: severity and code of each issue, never its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fhir_adapter.fhir.wire import as_array, as_object

OUTCOME = "OperationOutcome"
_WORD = re.compile(r"\b[A-Z][A-Za-z]+\b")
_SEVERITIES = frozenset({"fatal", "error", "warning", "information"})
_CODES = frozenset(
    [
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    ]
)
"""IssueType of R4 (required binding): a code outside it is not repeated, it could be any text."""

_WITHHOLDING = frozenset(
    ["security", "forbidden", "suppressed", "too-costly", "timeout", "incomplete", "throttled"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One issue of an OperationOutcome, without diagnostics, details and text."""

    severity: str
    code: str

    @property
    def withholds(self) -> bool:
        """Whether data can be missing from the answer that carried this."""
        return self.severity in {"fatal", "error"} or self.code in _WITHHOLDING

    def __str__(self) -> str:
        return f"{self.severity}/{self.code}"


def issues_of(resource: object) -> tuple[Issue, ...]:
    """All issues of an OperationOutcome; empty for anything else, whatever stands there."""
    found = as_object(resource)
    if found.get("resourceType") != OUTCOME:
        return ()
    return tuple(_issue(as_object(item)) for item in as_array(found.get("issue")))


def _issue(fields: dict[str, Any]) -> Issue:
    severity, code = fields.get("severity"), fields.get("code")
    return Issue(
        severity=severity if severity in _SEVERITIES else "error",
        code=code if code in _CODES else "unknown-code",
    )


def types_named(value: Any, types: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these resource types any text in a JSON value speaks of.

    >>> types_named({"issue": [{"diagnostics": "no right to read Consent"}]}, ("Consent", "List"))
    ('Consent',)
    """
    words = set(_WORD.findall(" ".join(_texts(value))))
    return tuple(name for name in types if name in words)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = as_array(value) or list(as_object(value).values())
    return [text for one in inner for text in _texts(one)]
