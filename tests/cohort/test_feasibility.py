"""The feasibility report's counts: brute force over the record lane's decisions is the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.feasibility import StoreCount, tally_decisions, tally_of
from fhir_adapter.bootstrap.sites import generate
from fhir_adapter.decide.outcome import outcome_of
from fhir_adapter.errors import CountsDisagree, SettingInvalid
from fhir_adapter.evaluate.cohort import compile_cohort
from fhir_adapter.evaluate.feasibility import tally
from fhir_adapter.model.dates import local_date
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.feasibility import Counted, Tally
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.population import Spoken, count_decisions
from fhir_adapter.ports import Moment
from fhir_adapter.screening import AsOf, screen_everyone
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse.answers import PartAnswers
from fhir_adapter.warehouse.duckdb import Engine

import batches
import lanes
import worlds
from cohort_store import loaded
from facts_for_tests import AS_OF
from story.cohort_for_tests import COHORT

AT = "2026-11-22T07:40"
ORDER = "E3a, I2c"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plausible patients as files."""
    folder = tmp_path_factory.mktemp("generated") / "records"
    list(generate(60, folder, seed=7))
    return folder


def moment_of(bench: bootstrap.Bench) -> AsOf:
    return bootstrap.parse_as_of(AT, bench.zone, bench.clock)


def decided(folder: Path) -> tuple[Any, list[Decision]]:
    """Every decision of the record lane."""
    bench = bootstrap.bench(Settings())
    source = bootstrap.folder_records(folder, bench.mappings)
    found = screen_everyone(bench.screener, source, moment_of(bench))
    return bench.package.study, [one.decision for one in found if one.decision is not None]


def sums(results: Sequence[CriterionResult]) -> str:
    """The colour of some results together."""
    effects = {one.effect for one in results}
    if Effect.AGAINST in effects:
        return "against"
    return "open" if Effect.OPEN in effects else "fits"


def oracle(study: Any, decisions: Sequence[Decision], orders: dict[str, Any]) -> dict[str, Any]:
    """Everything that a report says, by looking at one patient after the other."""
    judged = [one for one in decisions if not one.stops]
    by_name = [{r.criterion: r for r in one.results} for one in judged]
    said: dict[str, Any] = {
        "everyone": len(decisions),
        "stops": Counter(one.stops[0] for one in decisions if one.stops),
        "outcomes": Counter(one.outcome for one in judged),
        "candidates_fitting": sum(sums(one.results) == "fits" for one in judged),
        "shut": sum(
            one.outcome is Outcome.NOT_PROPOSED and sums(one.results) == "against" for one in judged
        ),
    }
    for name in (c.id for c in study.criteria):
        here = [results[name] for results in by_name]
        rest = [[r for r in one.results if r.criterion != name] for one in judged]
        without = [outcome_of(study, others) for others in rest]
        alone = [
            r.effect is Effect.AGAINST and sums(others) != "against"
            for r, others in zip(here, rest, strict=True)
        ]
        before = [one.outcome for one in judged]
        held = [
            o is Outcome.NOT_PROPOSED and sums(one.results) != "against"
            for o, one in zip(before, judged, strict=True)
        ]

        def gain(who: list[bool], what: Outcome, without: list[Outcome] = without) -> int:
            return sum(a and o is what for a, o in zip(who, without, strict=True))

        needs = [o is Outcome.NEEDS_DATA for o in before]
        said[name] = {
            "fits": sum(r.effect is Effect.FITS and not r.assumed for r in here),
            "assumed": sum(r.effect is Effect.FITS and r.assumed for r in here),
            "not_applicable": sum(r.effect is Effect.NOT_APPLICABLE for r in here),
            "against": sum(r.effect is Effect.AGAINST and not r.assumed for r in here),
            "against_assumed": sum(r.effect is Effect.AGAINST and r.assumed for r in here),
            "open": Counter(r.reason.code for r in here if r.reason and r.effect is Effect.OPEN),
            "sole": sum(alone),
            "sole_to_candidate": gain(alone, Outcome.CANDIDATE),
            "sole_to_needs_data": gain(alone, Outcome.NEEDS_DATA),
            "held_to_candidate": gain(held, Outcome.CANDIDATE),
            "held_to_needs_data": gain(held, Outcome.NEEDS_DATA),
            "settled": gain(needs, Outcome.CANDIDATE),
        }
    for name, order in orders.items():
        said[name] = [
            Counter(sums([results[c] for c in order[: place + 1]]) for results in by_name)
            for place in range(len(order))
        ]
    return said


def told(found: Tally) -> dict[str, Any]:
    """A report in the oracle's form."""
    said: dict[str, Any] = {
        "everyone": found.everyone,
        "stops": Counter(dict(found.stops)),
        "outcomes": +Counter(
            {
                Outcome.NOT_PROPOSED: found.shut + found.held,
                Outcome.NOT_ELIGIBLE: found.not_eligible,
                Outcome.NOT_NOW: found.not_now,
                Outcome.NEEDS_DATA: found.needs_data,
                Outcome.CANDIDATE: found.candidates,
            }
        ),
        "candidates_fitting": found.candidates_fitting,
        "shut": found.shut,
    }
    for one in found.criteria:
        names = [n for n in one.__slots__ if n not in ("criterion", "open")]
        said[one.criterion] = {n: getattr(one, n) for n in names} | {
            "open": Counter(dict(one.open))
        }
    for attrition in found.attritions:
        said[attrition.name] = [
            +Counter({"fits": s.fits, "open": s.open, "against": s.against})
            for s in attrition.steps
        ]
    return said


def assert_as_one_by_one(found: Tally, study: Any, decisions: Sequence[Decision]) -> None:
    orders = {one.name: [s.criterion for s in one.steps] for one in found.attritions}
    assert told(found) == oracle(study, decisions, orders)


@pytest.mark.deep
def test_every_number_is_what_counting_one_by_one_gives_of_a_store(
    generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_adapter.warehouse.cohort.PART_FACTS", 1500)
    loaded(generated, tmp_path / "store", bucket_bytes=100_000)
    bench = bootstrap.bench(Settings())
    asked = StoreCount(bench, tmp_path / "store", moment_of(bench), Spoken())
    assert asked.total > 1
    found = asked.tally(list(asked.parts), ORDER)
    study, decisions = decided(generated)
    assert_as_one_by_one(found, study, decisions)
    assert tally_decisions(study, decisions, ORDER, failed=0)[0] == found


@pytest.mark.untraced
def test_every_number_is_what_counting_one_by_one_gives_of_the_teaching_cohort() -> None:
    study, decisions = decided(COHORT)
    found, _ = tally_decisions(study, decisions, ORDER, failed=0)
    assert_as_one_by_one(found, study, decisions)
    protocol, asked_for, most = ([s.criterion for s in one.steps] for one in found.attritions)
    assert protocol == [c.id for c in study.criteria]
    assert asked_for[:2] == ["E3a", "I2c"]
    against = {one.criterion: one.against_total for one in found.criteria}
    assert sorted(against.values(), reverse=True) == [against[name] for name in most]


def by_sql(study: Any, records: Sequence[Any]) -> Counted:
    """Generated records, counted by SQL."""
    statement = compile_cohort(
        study,
        worlds.MAPPINGS,
        calculators={batches.SCORE.name: batches.SCORE},
        own_studies=batches.OWN,
        counting=True,
    )
    tables, dictionary = lanes.tables_of(records)
    engine = Engine()
    engine.tables(tables)
    day = local_date(AS_OF, worlds.MAPPINGS.site.zone)
    engine.moments(Moment(n, AS_OF, day) for n in range(1, len(records) + 1))
    return PartAnswers(engine.run(statement, dictionary)[0], {}, statement.criteria[0]).counted()


def by_closures(study: Any, records: Sequence[Any]) -> Iterator[Decision]:
    """The same by the record lane."""
    calculators = {batches.SCORE.name: batches.SCORE}
    compiled = lanes.compile_study(study, worlds.MAPPINGS, calculators=calculators)
    for record in records:
        judged = lanes.judge(compiled, compiled.case(record, AS_OF, batches.OWN))
        standing = lanes.standing_of(record, batches.OWN, as_of=AS_OF)
        stops = lanes.stops_of(
            record,
            as_of=AS_OF,
            basis=True,
            on_study=standing.on_study,
            opted_out=False,
            silence_refuses=worlds.MAPPINGS.site.no_consent_means == "refusal",
        )
        outcome = Outcome.NOT_SCREENED if stops else outcome_of(study, judged.results)
        yield Decision(
            patient=record.patient, study=study.id, study_version="", as_of=AS_OF,
            outcome=outcome, stops=stops, results=() if stops else judged.results,
        )  # fmt: skip


@pytest.mark.parametrize("number", [3, *(pytest.param(n, marks=pytest.mark.deep) for n in (4, 5))])
@pytest.mark.slow
def test_generated_trees_call_for_the_same_outcomes_in_both_lanes(number: int) -> None:
    study, records = batches.study(number, 6), batches.records(number, 60)
    decisions = list(by_closures(study, records))
    found = by_sql(study, records)
    assert found == count_decisions(study, decisions)
    made = tally_of(study, [found], "C3", everyone=len(records))
    assert_as_one_by_one(made, study, decisions)


def test_counts_that_do_not_add_up_are_an_error_and_no_report() -> None:
    counted = Counted(combinations={b"\x00\x01": 3})
    assert tally(("a", "b"), [counted], everyone=3, orders={}).candidates == 3
    with pytest.raises(CountsDisagree, match="do not add up"):
        tally(("a", "b"), [counted], everyone=4, orders={})
    with pytest.raises(CountsDisagree):
        tally(("a", "b"), [counted], everyone=3, failed=1, orders={})


def test_a_store_with_nobody_in_it_has_a_report_of_noughts() -> None:
    made = tally(("a",), [Counted()], everyone=0, orders={})
    assert made.judged == 0
    assert made.criteria[0].fits_total == 0


def test_an_order_names_criteria_of_the_study() -> None:
    study = bootstrap.bench(Settings()).package.study
    with pytest.raises(SettingInvalid, match="no criterion X9"):
        tally_of(study, [], "I1, X9", everyone=0)
    shorter = msgspec.structs.replace(study, criteria=study.criteria[:2])
    assert len(tally_of(shorter, [], "I1", everyone=0).attritions) == 2
