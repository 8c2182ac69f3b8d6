"""One answer: the statement and the closures agree on truth, reason, evidence, policy, outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_adapter.evaluate.cohort import ForStudy

import batches
import lanes
import worlds
from facts_for_tests import AS_OF

pytestmark = pytest.mark.untraced

COMPARED = "answers of two lanes compared"
"""Summed up at the end of a run (tests/conftest.py)."""
WITH: dict[str, Any] = {
    "calculators": {batches.SCORE.name: batches.SCORE},
    "own_studies": batches.OWN,
}


def compared(study: Any, records: Any, engine: Any = None) -> tuple[list[str], int]:
    """Where the lanes differ on these records, and how many answers were compared."""
    ours = lanes.by_sql(study, worlds.MAPPINGS, records, AS_OF, engine=engine, **WITH)
    theirs = lanes.by_closures(study, worlds.MAPPINGS, records, AS_OF, **WITH)
    return lanes.differences(ours, theirs), sum(map(len, theirs))


def compared_in_one_pass(studies: Any, records: Any, engine: Any = None) -> tuple[Any, int]:
    """The first of several studies about which the lanes differ, with where; what was compared."""
    asked = [ForStudy(study=one, mappings=worlds.MAPPINGS, **WITH) for one in studies]
    found = lanes.by_one_pass(asked, records, AS_OF, engine=engine)
    count, different = 0, None
    for one, ours in zip(studies, found, strict=True):
        theirs = lanes.by_closures(one, worlds.MAPPINGS, records, AS_OF, **WITH)
        count += sum(map(len, theirs))
        lines = lanes.differences(ours, theirs)
        different = different or ((one, lines) if lines else None)
    return different, count


def shrunk(study: Any, records: Any, line: str, engine: Any = None) -> str:
    """The first difference on the fewest criteria and facts that still show it."""
    place, rest = line.split(", ", 1)
    number, name = place.split()[-1], rest.split(":", maxsplit=1)[0]

    def differences(of: Any, one: Any) -> list[str]:
        return compared(of, [one], engine)[0]

    record = records[int(number)]
    small = batches.alone(study, name) if name.startswith("C") else study
    if not differences(small, record):
        return line
    small = _least(small, batches.fewer, lambda one: differences(one, record))
    record = _least(record, batches.smaller, lambda one: differences(small, one))
    told = "\n".join(map(str, small.criteria))
    return f"{differences(small, record)[0]}\n{told}\n{record.facts}"


def _least(found: Any, tries: Callable[[Any], Any], shows: Callable[[Any], Any]) -> Any:
    while (less := next((one for one in tries(found) if shows(one)), None)) is not None:
        found = less
    return found


def check(
    number: int, *, trees: int = 50, patients: int = 200, parts: int = 8, engine: Any = None
) -> int:
    """One batch: a study, and in one pass small ones of its criteria, whom more people fit.

    Gives how many answers were compared, all of them equal.
    """
    study, records = batches.study(number, trees), batches.records(number, patients)
    found, count = compared(study, records, engine)
    assert not found, f"{len(found)} differences; {shrunk(study, records, found[0], engine)}"
    different, more = compared_in_one_pass(batches.parts_of(study, number, parts), records, engine)
    if different is not None:
        part, lines = different
        raise AssertionError(f"in one pass: {shrunk(part, records, lines[0], engine)}")
    return count + more


def test_the_lanes_agree_on_a_small_batch(record_property: Callable[[str, object], None]) -> None:
    record_property(COMPARED, check(1, trees=6, patients=60, parts=2))


@pytest.mark.deep
@pytest.mark.parametrize("number", range(100, 120))
def test_the_lanes_agree_on_a_batch_of_50_trees_and_200_patients(
    number: int, record_property: Callable[[str, object], None]
) -> None:
    record_property(COMPARED, check(number))


@pytest.mark.slow
def test_a_difference_is_shown_on_the_fewest_criteria_and_facts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement that takes every typed-in value for a stop differs from the record lane."""
    judged = lanes.by_closures

    def lying(study: Any, mappings: Any, records: Any, as_of: int, **more: Any) -> Any:
        answers = judged(study, mappings, records, as_of, **more)
        for answer, record in zip(answers, records, strict=True):
            if any(fact.source.startswith("entered/1") for fact in record.facts):
                answer["outcome"] = "planted"
        return answers

    monkeypatch.setattr(lanes, "by_closures", lying)
    study, records = batches.study(1, 3), batches.records(1, 40)
    found, _ = compared(study, records)
    assert found
    told = shrunk(study, records, found[0]).splitlines()
    assert "planted" in told[0]
    assert len(told) == 3, "the difference, one criterion, the facts"
    assert (told[1].count("Criterion("), told[2].count("Fact(")) == (1, 1)
