"""Trees that could say only one thing: tests without a bound, lists without members."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fhir_adapter.criteria.finding import Checked, Finding
from fhir_adapter.criteria.walk import parts
from fhir_adapter.model.criterion import (
    Age,
    AllOf,
    AnyOf,
    AtLeast,
    Events,
    Fall,
    Rise,
    UnlessConfounded,
    ValueTest,
)


def tree_findings(seen: Checked) -> Iterator[Finding]:
    """Parts that are well formed and mean nothing."""
    for where, part in seen.places():
        for node in parts(part):
            wrong = _wrong(node)
            if wrong is not None:
                code, message, remedy = wrong
                yield seen.error(code, where, message, remedy)
    if not seen.study.criteria:
        yield seen.error("study-empty", "", "the study has no criteria", "Write criteria.yaml.")


def _wrong(node: msgspec.Struct) -> tuple[str, str, str] | None:
    match node:
        case AllOf(of=()) | AnyOf(of=()) | UnlessConfounded(by=()):
            return "list-empty", "a node joins nothing", "Write its members, or take it out."
        case AtLeast() if node.n > len(node.of):
            message = f"at least {node.n} of {len(node.of)} can never hold"
            return "at-least-too-many", message, "Lower `n`, or add members."
        case Events(kind=()):
            return "kind-empty", "a retrieve reads no kind of fact", "Write `kind:`."
        case ValueTest() if node == ValueTest():
            return "test-empty", "a value test tests nothing", "Write a bound or `coded-in`."
        case Age(min=None, max=None):
            return "age-unbounded", "age has neither bound", "Write `min`, `max` or both."
        case Age(min=int(low), max=int(high)) if low > high:
            message = f"nobody is at least {low} and at most {high} years old"
            return "age-reversed", message, "Exchange `min` and `max`."
        case Rise(by=None, factor=None) | Fall(by=None, factor=None):
            return "change-unbounded", "a change of no size", "Write `by` or `factor`."
        case _:
            return None
