"""The record lane gives the verdicts of HAPI's own CQL engine, on a server that holds the patients.

The criteria stand twice: in YAML for us, in CQL by hand for `Library/$evaluate` (benchmarks/eight).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from benchmarks import by_hand, cql_oracle
from benchmarks.against_cql import CQL_AS_OF, RecordLane, differences, patients
from benchmarks.cql_oracle import Verdicts
from benchmarks.eight_tables import eight

import clinical_reasoning
from clinical_reasoning import ONE_KEY, TWO_KEYS, Reasoner

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

LOOKED_AT = 240
OFTEN_ENOUGH = 2
_READ = frozenset(("Patient", "Condition", "Procedure"))


@dataclass(frozen=True, kw_only=True)
class World:
    """The chosen patients, what we say of them, and the server that holds them."""

    ids: Sequence[str]
    ours: Sequence[Verdicts]
    reasoner: Reasoner

    def theirs(self, library: str, most: int | None = None) -> list[Verdicts]:
        return [self.reasoner.evaluate(library, patient) for patient in self.ids[:most]]


def patient_of(bundle: Any) -> str:
    (found,) = (one["id"] for one in resources(bundle) if one["resourceType"] == "Patient")
    return str(found)


def resources(bundle: Any) -> list[Any]:
    return [entry["resource"] for entry in bundle["entry"]]


def telling(bundles: Sequence[Any], verdicts: Sequence[Verdicts]) -> list[int]:
    """Who has a verdict, or a type of resource, that fewer than OFTEN_ENOUGH before them had."""
    had: Counter[object] = Counter()
    chosen = []
    for number, (bundle, said) in enumerate(zip(bundles, verdicts, strict=True)):
        traits = {*said.items(), *(one["resourceType"] for one in resources(bundle))}
        if any(had[trait] < OFTEN_ENOUGH for trait in traits):
            chosen.append(number)
            had.update(traits)
    return chosen


def read_by_the_criteria(bundle: Any, sets: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Any]:
    """Patient, diagnoses, procedures, and results of the four laboratory sets: loading is slow."""
    codes = {(one["system"], one["code"]) for found in sets.values() for one in found}
    return [one for one in resources(bundle) if one["resourceType"] in _READ or _has(one, codes)]


def _has(resource: Any, codes: set[tuple[str, str]]) -> bool:
    if resource["resourceType"] != "Observation":
        return False
    return any((one["system"], one["code"]) in codes for one in resource["code"]["coding"])


@pytest.fixture(scope="module")
def world(hapi_all_on: str) -> World:
    bench, everybody = eight(), patients(LOOKED_AT)
    verdicts = RecordLane(bench, everybody).from_resources()
    chosen = telling(everybody, verdicts)
    sets = cql_oracle.expansions(everybody, bench.mappings.by_name)
    reasoner = Reasoner(base=hapi_all_on, as_of=CQL_AS_OF)
    reasoner.put(
        [
            *(clinical_reasoning.value_set(name, codes) for name, codes in sets.items()),
            clinical_reasoning.helpers(),
            clinical_reasoning.eight("EightByOneKey", ONE_KEY),
            clinical_reasoning.eight("EightByTwoKeys", TWO_KEYS),
            clinical_reasoning.plan("eight", "EightByOneKey"),
        ]
    )
    for number in chosen:
        reasoner.put(read_by_the_criteria(everybody[number], sets))
    return World(
        ids=[patient_of(everybody[number]) for number in chosen],
        ours=[verdicts[number] for number in chosen],
        reasoner=reasoner,
    )


def test_the_server_says_that_it_reasons(hapi_all_on: str) -> None:
    (rest,) = requests.get(f"{hapi_all_on}/metadata", timeout=120).json()["rest"]
    offered = {
        (one["type"], operation["name"])
        for one in rest["resource"]
        for operation in one.get("operation", ())
    }
    assert {("Library", "evaluate"), ("PlanDefinition", "apply")} <= offered


def test_evaluate_says_what_the_record_lane_says(world: World) -> None:
    assert differences(world.ours, world.theirs("EightByOneKey")) == []


def test_all_three_are_said_of_every_criterion(world: World) -> None:
    for name in by_hand.NAMES:
        counts = Counter(one[name] for one in world.ours)
        assert min(counts[truth] for truth in (True, False, None)) >= 1, (name, counts)


def test_a_second_sort_key_is_noticed(world: World) -> None:
    """The engine sorts by the last key alone and takes wrong results without a word."""
    assert differences(world.ours[:10], world.theirs("EightByTwoKeys", 10)) != []


def test_apply_leaves_the_actions_of_the_criteria_that_are_true(world: World) -> None:
    for patient, said in list(zip(world.ids, world.ours, strict=True))[:5]:
        left = clinical_reasoning.titles(world.reasoner.apply("eight", patient))
        assert left == [name for name in by_hand.NAMES if said[name] is True]
