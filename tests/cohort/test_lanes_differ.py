"""Whatever SQL says otherwise than the record lane stops the run, and leaves no file of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.cohorts import open_store, statement_of
from fhir_adapter.errors import LanesDisagree, StoreUnwritable
from fhir_adapter.model.decision import Outcome, Stop
from fhir_adapter.model.lane import LaneAnswer, LaneResult
from fhir_adapter.model.result import Effect
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.population import Question, Spoken, screen
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse import answers as answers_module
from fhir_adapter.warehouse.answers import PartAnswers
from fhir_adapter.warehouse.cohort import CohortStore

from cli.cli_for_tests import AS_OF, run
from cohort_store import loaded
from story.cohort_for_tests import COHORT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teaching cohort in several buckets."""
    made = tmp_path_factory.mktemp("tables") / "store"
    assert loaded(COHORT, made, bucket_bytes=600_000).buckets > 1
    return made


@pytest.fixture(scope="module")
def judged(store: Path, small_study: str) -> Any:
    """Bench, moment, tables and the answers of everybody: the statement is run once."""
    bench = bootstrap.bench(Settings(study=small_study))
    tables = CohortStore(open_store(store, bench.mappings))
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    kept: list[Any] = []
    judge = tables.judge

    def once(statements: Any, asked: Any) -> Iterator[Any]:
        if not kept:
            kept.extend(judge(statements, asked))
        yield from kept

    tables.judge = once  # type: ignore[method-assign] # one method replaced
    return bench, tables, moment


def screened(judged: Any) -> list[Any]:
    """Everybody who was not stopped at once is shown, as if all had been proposed before."""
    bench, tables, moment = judged
    everyone = frozenset(one for part in tables.parts for one in tables.ids(part))
    asked = Question(screener=bench.screener, spoken=Spoken(proposed=everyone))
    return list(screen(tables, statement_of(bench), [asked], moment))


def other(value: Any, values: Any) -> Any:
    return next(one for one in values if one is not value)


RESULT: dict[str, Callable[[LaneResult], Any]] = {
    "criterion": lambda one: f"{one.criterion} or another",
    "truth": lambda one: other(one.truth, Truth),
    "reason": lambda one: other(one.reason, (None, *Reason)),
    "effect": lambda one: other(one.effect, Effect),
    "assumed": lambda one: not one.assumed,
    "settled": lambda one: "today" if one.settled is None else None,
    "evidence": lambda one: (*one.evidence, "Observation/one-more"),
}
ANSWER: dict[str, Callable[[LaneAnswer], Any]] = {
    "patient": lambda one: f"{one.patient}-another",
    "outcome": lambda one: other(one.outcome, Outcome),
    "stops": lambda one: (*one.stops, Stop.ON_STUDY),
    "pointers": lambda one: one.pointers + 1,
    "results": lambda one: one.results[:-1],
}


def test_every_field_that_is_compared_is_flipped_here() -> None:
    assert set(RESULT) == set(LaneResult.__struct_fields__)
    assert set(ANSWER) == set(LaneAnswer.__struct_fields__)


def test_as_it_is_the_lanes_agree_on_everybody(judged: Any) -> None:
    shown = [one for part in screened(judged) for one in part.studies[0].shown]
    assert len(shown) == 43


def lying(monkeypatch: pytest.MonkeyPatch, lie: Callable[[LaneAnswer], LaneAnswer]) -> list[str]:
    """SQL says one thing otherwise, of one patient with evidence alone; returns of whom."""
    told: list[str] = []
    true = PartAnswers.answers

    def answers(self: PartAnswers, records: Any) -> Any:
        found = dict(true(self, records))
        for number, one in found.items():
            if not told and one.results and one.results[-1].evidence:
                told.append(one.patient)
                found[number] = lie(one)
        return found

    monkeypatch.setattr(PartAnswers, "answers", answers)
    return told


@pytest.mark.parametrize("field", RESULT)
def test_one_field_of_one_criterion_of_one_patient_stops_the_run(
    judged: Any, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    def lie(answer: LaneAnswer) -> LaneAnswer:
        *rest, last = answer.results
        changed = msgspec.structs.replace(last, **{field: RESULT[field](last)})
        return msgspec.structs.replace(answer, results=(*rest, changed))

    told = lying(monkeypatch, lie)
    with pytest.raises(LanesDisagree, match="differently") as caught:
        screened(judged)
    assert caught.value.where == judged[0].package.study.criteria[-1].id
    assert told[0] not in str(caught.value)


@pytest.mark.parametrize("field", ANSWER)
def test_one_field_of_one_patient_stops_the_run(
    judged: Any, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    told = lying(
        monkeypatch, lambda one: msgspec.structs.replace(one, **{field: ANSWER[field](one)})
    )
    with pytest.raises(LanesDisagree, match="differently") as caught:
        screened(judged)
    assert told[0] not in str(caught.value)


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("there_before", [True, False])
def test_files_of_parts_before_a_difference_do_not_stay(
    store: Path,
    small_study: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    there_before: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fhir_adapter.warehouse.cohort.PART_FACTS", 100)
    out, written = tmp_path / "answers", list[Path]()
    if there_before:
        out.mkdir()
    write, true = PartAnswers.write, PartAnswers.answers

    def noted(self: PartAnswers, path: Path) -> None:
        write(self, path)
        written.append(path)

    def answers(self: PartAnswers, records: Any) -> Any:
        return {} if written else true(self, records)

    monkeypatch.setattr(PartAnswers, "write", noted)
    monkeypatch.setattr(PartAnswers, "answers", answers)
    asked = ("cohort", "screen", str(store), "--as-of", AS_OF, "--study", small_study)
    ran = run(*asked, "--out", str(out), "--quiet")
    assert (ran.status, "lanes-disagree" in ran.err) == (LanesDisagree.exit_status, True)
    assert [path.name for path in written] == ["answers-0001.parquet"]
    assert list(tmp_path.rglob("*.parquet")) == []
    assert out.exists() is there_before


def test_no_room_for_the_files_is_said_and_leaves_none(
    store: Path, small_study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def full(_table: Any, path: Path, **_more: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/Jane_Doe")

    monkeypatch.setattr(answers_module.pq, "write_table", full)
    asked = ("cohort", "screen", str(store), "--as-of", AS_OF, "--study", small_study)
    ran = run(*asked, "--out", "answers", "--quiet")
    assert (ran.status, "the disk is full" in ran.flat) == (StoreUnwritable.exit_status, True)
    assert "Jane" not in ran.flat
    assert list(tmp_path.rglob("*.parquet")) == []


def test_some_of_those_who_are_not_shown_are_judged_again_too(
    judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and the files of --out hold everybody: a difference about others is seen as well."""
    bench, tables, moment = judged
    records, asked = tables.records, list[int]()

    def seen(part: int, numbers: Any) -> Any:
        asked.extend(numbers or ())
        return records(part, numbers)

    monkeypatch.setattr(tables, "records", seen)
    parts = list(screen(tables, statement_of(bench), [Question(screener=bench.screener)], moment))
    shown = sum(len(study.shown) for part in parts for study in part.studies)
    assert len(asked) >= shown + 10
