"""The record lane, the cohort lane and cql-execution give the same verdicts on the same patients.

The criteria stand twice: in YAML for us, in CQL by hand for the other engine (benchmarks/eight).
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import by_hand, cql_oracle
from benchmarks.against_cql import CQL_AS_OF, CohortLane, RecordLane, differences, patients
from benchmarks.eight_tables import eight

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

PATIENTS = 240


@pytest.fixture(scope="module")
def bench():
    why_not = cql_oracle.missing()
    if why_not and os.environ.get("NEED_ENGINES") != "true":
        pytest.skip(why_not)
    assert not why_not
    return eight()


@pytest.fixture(scope="module")
def bundles():
    return patients(PATIENTS)


@pytest.fixture(scope="module")
def record_lane(bench, bundles):
    return RecordLane(bench, bundles)


@pytest.fixture(scope="module")
def theirs(bench, bundles):
    return cql_oracle.ask(bundles, bench.mappings.by_name, CQL_AS_OF).verdicts


def test_the_record_lane_agrees(record_lane, theirs):
    assert differences(record_lane.from_resources(), theirs) == []


def test_the_cohort_lane_agrees_in_memory_and_over_parquet(bench, record_lane, theirs, tmp_path):
    lane = CohortLane(bench, record_lane.records, copies=1, folder=tmp_path)
    assert differences(lane.in_memory(), theirs) == []
    assert differences(lane.on_disk(), theirs) == []


def test_the_patients_say_all_three_of_every_criterion(theirs):
    for name in by_hand.NAMES:
        counts = Counter(one[name] for one in theirs)
        assert min(counts[truth] for truth in (True, False, None)) >= 1, (name, counts)


def test_a_bare_sort_by_effective_is_noticed(bench, bundles, theirs, tmp_path: Path):
    """The obvious CQL takes wrong results without a word: a comparison that misses it is none."""
    home = tmp_path / "cql"
    shutil.copytree(cql_oracle.HOME, home)
    text = (home / "eight.cql").read_text("utf-8")
    bare = text.replace("sort by (effective as FHIR.dateTime).value, id.value", "sort by effective")
    assert bare != text
    (home / "eight.cql").write_text(bare, "utf-8")
    wrong = cql_oracle.ask(bundles[:60], bench.mappings.by_name, CQL_AS_OF, home=home).verdicts
    assert differences(wrong, theirs[:60]) != []
