"""One answer: the statement and the closures agree on truth, reason, evidence, policy, outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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


def shrunk(study: Any, records: Any, line: str, engine: Any = None) -> str:
    """The first difference on the fewest facts that still show it."""
    place, rest = line.split(", ", 1)
    number, name = place.split()[-1], rest.split(":", maxsplit=1)[0]
    record = records[int(number)]
    small = batches.alone(study, name) if name.startswith("C") else study

    def differences(one: Any) -> list[str]:
        return compared(small, [one], engine)[0]

    if not differences(record):
        return line
    while True:
        tries = batches.smaller(record)
        found = next((one for one in tries if differences(one)), None)
        if found is None:
            break
        record = found
    return "\n".join((differences(record)[0], *map(str, (small.criteria[0], record.facts))))


def check(number: int, *, trees: int = 50, patients: int = 200, engine: Any = None) -> int:
    """One batch; gives how many answers were compared, all of them equal."""
    study, records = batches.study(number, trees), batches.records(number, patients)
    found, count = compared(study, records, engine)
    assert not found, f"{len(found)} differences; {shrunk(study, records, found[0], engine)}"
    return count


def test_the_lanes_agree_on_a_small_batch(record_property: Callable[[str, object], None]) -> None:
    record_property(COMPARED, check(1, trees=6, patients=60))


@pytest.mark.deep
@pytest.mark.parametrize("number", range(100, 120))
def test_the_lanes_agree_on_a_batch_of_50_trees_and_200_patients(
    number: int, record_property: Callable[[str, object], None]
) -> None:
    record_property(COMPARED, check(number))
