"""Tests on a fact's own words: clinical status, severity, criticality, stage."""

from __future__ import annotations

from collections.abc import Callable

from fhir_adapter.evaluate.values import Test
from fhir_adapter.model.criterion import Events
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.truth import Truth


def status_tests(events: Events) -> list[Test]:
    """The tests of a retrieve that compare words, not values."""
    tests: list[Test] = []
    if events.clinical_status:
        wanted = frozenset(
            "" if status == "not-stated" else status for status in events.clinical_status
        )
        tests.append(_field_test(lambda fact: fact.clinical_status in wanted))
    if events.severity is not None:
        tests.append(_field_test(lambda fact: fact.severity == events.severity))
    if events.criticality is not None:
        tests.append(_field_test(lambda fact: fact.criticality == events.criticality))
    if events.stage is not None:
        tests.append(_field_test(lambda fact: fact.stage == events.stage))
    return tests


def _field_test(passes: Callable[[Fact], bool]) -> Test:
    return lambda fact: (Truth.TRUE if passes(fact) else Truth.FALSE, None, "")
