"""Several studies in one pass answer as each of them alone."""

from __future__ import annotations

import msgspec
import pytest

from fhir_adapter.evaluate.cohort import ForStudy, compile_cohort, compile_cohorts
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.criterion import Events, Window
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.mapping import CodeSet

import batches
import lanes
import worlds
from facts_for_tests import AS_OF

OTHER = frozenset(("ResearchStudy/another",))


def asked(number: int, own: frozenset[str], trees: int = 5) -> ForStudy:
    return ForStudy(
        study=batches.study(number, trees),
        mappings=worlds.MAPPINGS,
        calculators={batches.SCORE.name: batches.SCORE},
        own_studies=own,
    )


def alone(one: ForStudy, records: list) -> list[lanes.Answer]:
    return lanes.by_closures(
        one.study,
        one.mappings,
        records,
        AS_OF,
        own_studies=one.own_studies,
        calculators=one.calculators,
    )


@pytest.mark.slow
def test_studies_of_one_pass_answer_as_the_record_lane_does_for_each() -> None:
    studies = [asked(1, batches.OWN), asked(2, frozenset()), asked(3, OTHER), asked(1, OTHER)]
    records = batches.records(5, 80)
    found = lanes.by_one_pass(studies, records, AS_OF)
    for one, answers in zip(studies, found, strict=True):
        assert lanes.differences(answers, alone(one, records)) == []


@pytest.mark.slow
def test_what_two_studies_read_alike_is_one_table() -> None:
    one, other = asked(1, batches.OWN), asked(2, batches.OWN)
    together = compile_cohorts([one, other, one])
    twice = compile_cohorts([one, other])
    assert list(together.parts.tables) == list(twice.parts.tables)
    assert len(together.parts.finals) == 3
    given = {"calculators": one.calculators, "own_studies": batches.OWN}
    lonely = [compile_cohort(each.study, each.mappings, **given) for each in (one, other)]
    assert len(twice.parts.tables) < sum(len(each.parts.tables) for each in lonely)


def test_a_value_set_that_two_studies_know_differently_stays_two() -> None:
    name, known = next(iter(worlds.MAPPINGS.by_name.items()))
    other = CodeSet(name=known.name, url=known.url, version="other", codes=())
    inputs = compile_cohorts([asked(1, batches.OWN)]).inputs
    first = inputs.number(name)
    inputs.begin({name: other})
    assert inputs.number(name) != first
    inputs.begin({name: known})
    assert inputs.number(name) == first


@pytest.mark.parametrize(
    "test",
    [
        tree.Unsupported(text="?", why="?"),
        tree.Any(of=Events(kind=(Kind.STUDY_PARTICIPATION,))),
        tree.Any(
            of=Events(
                kind=(Kind.OBSERVATION,),
                codes="marker",
                window=Window(from_="as-of - 7 days"),
                also=Events(
                    kind=(Kind.OBSERVATION,),
                    codes="marker",
                    window=Window(from_="as-of - 90 days", to="as-of - 30 days"),
                ),
            )
        ),
    ],
)
@pytest.mark.slow
def test_one_node_alone_is_answered_as_by_the_record_lane(test: tree.Node) -> None:
    one = ForStudy(
        study=worlds.study_of(test, policy="assume-absent-if-known-here"),
        mappings=worlds.MAPPINGS,
        own_studies=batches.OWN,
    )
    records = batches.records(9, 60)
    (found,) = lanes.by_one_pass([one], records, AS_OF)
    assert lanes.differences(found, alone(one, records)) == []


def test_a_study_that_asks_nothing_of_the_record_is_answered_too() -> None:
    plain = worlds.study_of(tree.Unsupported(text="?", why="?"))
    study = msgspec.structs.replace(plain, anchors=())
    one = ForStudy(study=study, mappings=worlds.MAPPINGS)
    records = batches.records(9, 20)
    (found,) = lanes.by_one_pass([one], records, AS_OF)
    assert lanes.differences(found, alone(one, records)) == []
