"""The cohort lane on Spark: the statement that DuckDB runs, with the record lane's answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.cohorts import cohort_engine, open_store, screen_cohort, statement_of
from fhir_adapter.errors import ServerUnreachable, SettingInvalid, WarehouseFault
from fhir_adapter.model.dates import local_date
from fhir_adapter.population import Spoken
from fhir_adapter.ports import Asked, Instead, Moment
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse.cohort import CohortStore
from fhir_adapter.warehouse.spark import SparkEngine, connect

import batches
import spark_sessions
import test_lanes_agree
import test_special_nodes as special
import worlds
from cli.cli_for_tests import AS_OF, run
from cohort_store import loaded
from story.cohort_for_tests import COHORT

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(1500),
    pytest.mark.untraced,
    # pyspark's own toArrow leaves the socket to its JVM to the collector
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

BATCHES = range(200, 205) if spark_sessions.SAIL else range(200, 201)
"""Five on Sail; one on Spark, whose planner takes minutes for each."""

on_sail = pytest.mark.skipif(not spark_sessions.SAIL, reason="minutes of a JVM's planning: on Sail")


@pytest.fixture(scope="module")
def remote() -> Iterator[str]:
    why_not = spark_sessions.missing()
    if why_not and os.environ.get("NEED_ENGINES") != "true":
        pytest.skip(why_not)
    assert not why_not
    with spark_sessions.remote() as address:
        yield address


@pytest.fixture(scope="module")
def session(remote: str) -> Iterator[Any]:
    with spark_sessions.session(remote) as made:
        yield made


@pytest.fixture
def engine(session: Any) -> Iterator[SparkEngine]:
    made = SparkEngine(session)
    yield made
    made.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teaching cohort in several buckets."""
    made = tmp_path_factory.mktemp("tables") / "store"
    assert loaded(COHORT, made, bucket_bytes=600_000).buckets > 1
    return made


@pytest.fixture(scope="module")
def in_one_bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in one."""
    made = tmp_path_factory.mktemp("tables") / "store"
    assert loaded(COHORT, made).buckets == 1
    return made


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", BATCHES)
def test_a_batch_of_50_trees_and_200_patients_is_answered_as_by_the_record_lane(
    number: int, engine: SparkEngine, record_property: Callable[[str, object], None]
) -> None:
    record_property(test_lanes_agree.COMPARED, test_lanes_agree.check(number, engine=engine))


@on_sail
def test_every_special_node_is_answered_as_by_the_record_lane(engine: SparkEngine) -> None:
    study = special.with_question(
        worlds.study_of(*special.NODES.values(), policy="assume-absent-if-known-here")
    )
    assert special.lanes_differ(study, batches.records(7, 80), engine) == []


@on_sail
def test_the_seed_study_is_answered_as_by_duckdb(in_one_bucket: Path, engine: SparkEngine) -> None:
    assert_as_duckdb(in_one_bucket, "NCT05985863", engine)


@on_sail
def test_parts_are_answered_as_by_duckdb(
    store: Path, small_study: str, engine: SparkEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_adapter.warehouse.cohort.PART_FACTS", 100)
    assert_as_duckdb(store, small_study, engine)


def assert_as_duckdb(store: Path, study: str, engine: SparkEngine) -> None:
    """Truth, reason, effect, policy, place and evidence of everybody, part by part."""
    bench = bootstrap.bench(Settings(study=study))
    found = open_store(store, bench.mappings)
    spark, duckdb = CohortStore(found, engine=engine), CohortStore(found)
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    assert isinstance(moment, int)
    statement, everyone = statement_of(bench), 0
    day = local_date(moment, bench.zone)
    asked = [
        Asked(part, [Moment(number, moment, day) for number in spark.patients(part)], {})
        for part in spark.parts
    ]
    assert spark.parts == duckdb.parts
    pairs = zip(spark.judge(statement, asked), duckdb.judge(statement, asked), strict=True)
    for (_, (ours,)), (_, (theirs,)) in pairs:
        assert ours.table.to_pylist() == theirs.table.to_pylist()
        everyone += ours.table.num_rows
    assert everyone == found.manifest.patients == 43


def test_several_buckets_may_be_asked_at_once(
    store: Path, small_study: str, engine: SparkEngine
) -> None:
    """Patient numbers are unique over a store."""
    bench = bootstrap.bench(Settings(study=small_study))
    found = open_store(store, bench.mappings)
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    assert isinstance(moment, int)
    numbers = [n for bucket in found.buckets for n in found.numbers(bucket)]
    assert len(set(numbers)) == len(numbers) == 43
    day = local_date(moment, bench.zone)
    names = ("fact", "fact_concept", "retrieved")
    engine.files({name: [str(path) for path in found.paths(name)] for name in names})
    engine.moments(Moment(number, moment, day) for number in numbers)
    (at_once,) = engine.run(statement_of(bench), found.dictionary)
    asked = screen_cohort([bench], store, moment, lambda _study: Spoken())
    alone = [part.studies[0] for _, part in asked.parts]
    ours = {row["patient"]: row for row in at_once.to_pylist()}
    assert ours == {row["patient"]: row for one in alone for row in one.answers.table.to_pylist()}


@on_sail
@pytest.mark.usefixtures("with_small_study", "session")
def test_the_command_takes_spark_by_its_address(store: Path, remote: str) -> None:
    args = ("cohort", "screen", str(store), "--as-of", AS_OF, "--json")
    spark = run(*args, "--engine", "spark", "--spark-remote", remote).json
    assert spark == run(*args).json
    report = ("cohort", "report", str(store), "--as-of", AS_OF, "--json")
    counted = run(*report, FHIR_ADAPTER_ENGINE="spark", FHIR_ADAPTER_SPARK_REMOTE=remote).json
    assert counted == run(*report).json


@pytest.mark.usefixtures("session")
def test_what_people_have_said_since_is_judged_beside(
    store: Path, small_study: str, engine: SparkEngine
) -> None:
    """Who has spoken is judged in this process: both kinds of answers stand in one table."""
    bench = bootstrap.bench(Settings(study=small_study))
    found = open_store(store, bench.mappings)
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    assert isinstance(moment, int)
    spark, duckdb = CohortStore(found, engine=engine), CohortStore(found)
    day = local_date(moment, bench.zone)
    moments = [Moment(number, moment, day) for number in spark.patients(0)]
    one = moments[0].patient
    instead = {0: Instead([moments[0]], dict(spark.records(0, [one])))}
    asked = [Asked(0, moments, instead)]
    ((_, (ours,)),) = spark.judge(statement_of(bench), asked)
    ((_, (theirs,)),) = duckdb.judge(statement_of(bench), asked)
    assert ours.table.to_pylist() == theirs.table.to_pylist()


def test_the_engine_s_own_words_are_not_passed_on(
    small_study: str, store: Path, engine: SparkEngine
) -> None:
    bench = bootstrap.bench(Settings(study=small_study))
    engine.moments([Moment(7654321, 0, 0)])
    with pytest.raises(WarehouseFault) as raised:
        engine.run(statement_of(bench), open_store(store, bench.mappings).dictionary)
    assert "Exception" in str(raised.value)
    assert "7654321" not in str(raised.value)
    assert "fact_concept" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_where_nobody_answers_it_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ServerUnreachable, match="no Spark Connect server"):
            connect(f"sc://127.0.0.1:{port}")


def test_an_address_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(SettingInvalid, match="cannot be read"):
        connect("sc:/127.0.0.1")
    settings = Settings(engine="spark")
    with pytest.raises(SettingInvalid, match="where Spark is"), cohort_engine(settings):
        pass
