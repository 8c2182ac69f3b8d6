"""Dates as intervals of their printed precision; validation that never quotes a value."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_adapter.errors import InternalFault, StudyInvalid
from fhir_adapter.fhir import dates
from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.fhir.resources import problems, to_json, validated

ZONE = ZoneInfo("Asia/Shanghai")


def at(*parts: int, zone: Any = ZONE) -> int:
    moment = datetime(*parts, tzinfo=zone)  # type: ignore[arg-type, misc]
    return int(moment.timestamp()) * 1_000_000


DATES: dict[str, tuple[int, int, str]] = {
    "2026": (at(2026, 1, 1), at(2027, 1, 1), ""),
    "2026-02": (at(2026, 2, 1), at(2026, 3, 1), ""),
    "2026-12": (at(2026, 12, 1), at(2027, 1, 1), ""),
    "2026-02-28": (at(2026, 2, 28), at(2026, 3, 1), ""),
    "2026-02-28T08:00": (at(2026, 2, 28, 8), at(2026, 2, 28, 8, 1), "date-without-zone"),
    "2026-02-28T08:00:00Z": (
        at(2026, 2, 28, 8, zone=UTC), at(2026, 2, 28, 8, 0, 1, zone=UTC), "",
    ),
    "2026-02-28T08:00:00-05:30": (
        at(2026, 2, 28, 13, 30, zone=UTC), at(2026, 2, 28, 13, 30, 1, zone=UTC), "",
    ),
    "2026-02-28T08:00:00+08:00": (at(2026, 2, 28, 8), at(2026, 2, 28, 8, 0, 1), ""),
}  # fmt: skip


@pytest.mark.parametrize("text", DATES)
def test_a_date_is_the_interval_of_its_printed_precision(text: str) -> None:
    span, issue = DateReader(ZONE).read(text)
    assert span is not None
    lo, hi, expected = DATES[text]
    assert (span.lo, span.hi) == (lo, hi)
    assert bool(issue) is bool(expected)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13", "2026-02-30", "2026-02-28T25:00Z", "0000", "2026-1-1", 7, []]
)
def test_what_is_no_date_is_named_and_nothing_is_raised(text: Any) -> None:
    span, issue = DateReader(ZONE).read(text)
    assert span is None
    assert issue


def test_an_element_that_is_not_there_is_no_mistake() -> None:
    assert DateReader(ZONE).read(None) == (None, "")


def test_the_memory_of_dates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "_CACHE", 3)
    reader = DateReader(ZONE)
    for day in range(1, 9):
        assert reader.read(f"2026-01-{day:02d}")[0] is not None
    assert len(reader._known) <= 3


CONCEPT = {"text": "x"}
PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no type": ({"resourceType": "Nothing"}, "resourceType is no FHIR resource type"),
    "an empty list": ({"resourceType": "Basic", "code": CONCEPT, "subject": []}, "is empty"),
    "a float": ({"resourceType": "Observation", "code": CONCEPT, "status": "final",
                 "valueQuantity": {"value": 1.5}}, "binary float"),
    "a long id": ({"resourceType": "Basic", "code": CONCEPT, "id": "x" * 65}, "no FHIR id"),
    "an element of R4B": ({"resourceType": "PlanDefinition", "status": "draft",
                           "subjectCanonical": "urn:x"}, "does not exist in R4"),
    "a missing element": ({"resourceType": "Observation", "code": CONCEPT}, "status"),
    "an unknown element": ({"resourceType": "Basic", "code": CONCEPT, "x": "y"}, "x"),
    "an invented status": ({"resourceType": "Observation", "code": CONCEPT, "status": "fine"},
                           "status is outside its required value set"),
    "an invented status deep inside": (
        {"resourceType": "Questionnaire", "status": "draft",
         "item": [{"linkId": "1", "type": "sonnet"}]}, "item[0].type is outside"),
    "an invented requirement": (
        {"resourceType": "Library", "status": "draft", "type": CONCEPT,
         "dataRequirement": [{"type": "Nothing"}]}, "dataRequirement[0].type is outside"),
    "an unknown contained type": (
        {"resourceType": "Basic", "code": CONCEPT, "contained": [{"resourceType": "No"}]}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_not_valid_is_named_by_its_place(name: str) -> None:
    resource, said = PROBLEMS[name]
    found = [f"{problem.path} {problem.message}" for problem in problems(resource)]
    assert any(said in line for line in found), found


def test_a_valid_resource_passes_with_all_its_digits() -> None:
    resource = {
        "resourceType": "Observation", "status": "final", "code": CONCEPT,
        "valueQuantity": {"value": Decimal("1.50")},
    }  # fmt: skip
    assert problems(resource) == ()
    assert b'"value":1.50' in to_json(validated(resource))
    requirement = {"resourceType": "Library", "status": "draft", "type": CONCEPT,
                   "dataRequirement": [{"type": "Observation"}]}  # fmt: skip
    assert problems(requirement) == ()


def test_an_invalid_resource_is_ours_or_the_senders_fault() -> None:
    with pytest.raises(InternalFault, match="not valid FHIR R4"):
        validated({"resourceType": "Basic"})
    with pytest.raises(StudyInvalid) as caught:
        validated({"resourceType": "Observation", "status": "Canary", "code": CONCEPT},
                  fault=StudyInvalid)  # fmt: skip
    assert "Canary" not in str(caught.value)
