"""`cohort screen`: everyone in a store, by SQL, as `screen` answers them one by one."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import msgspec
import pytest

from fhir_adapter import bootstrap
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap import SystemClock
from fhir_adapter.bootstrap.cohorts import open_store, statement_of
from fhir_adapter.bootstrap.writing import WritingDesk
from fhir_adapter.errors import LanesDisagree, ServerUnreachable, WarehouseFault
from fhir_adapter.evaluate.cohort import compile_cohort
from fhir_adapter.ledger import open_ledger
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.vocabulary import YES, question_code
from fhir_adapter.population import Question, screen
from fhir_adapter.ports import Moment, Written
from fhir_adapter.present.json_form import result_schema
from fhir_adapter.screening import Screened
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse.cohort import CohortStore
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.duckdb import Engine

from cli.cli_for_tests import AS_OF, run, sandbox
from cohort_store import loaded
from small_study import write_small_study
from story.cohort_for_tests import COHORT

STUDY = "NCT05985863"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teaching cohort in several buckets."""
    made = tmp_path_factory.mktemp("tables") / "store"
    loaded(COHORT, made)
    return made


@pytest.fixture(scope="module")
def in_buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in two buckets."""
    made = tmp_path_factory.mktemp("tables") / "store"
    counts = loaded(COHORT, made, bucket_bytes=600_000)
    assert counts.buckets > 1
    return made


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.untraced
@pytest.mark.slow
def test_everyone_is_counted_and_who_is_listed_is_answered_as_by_screen(
    in_buckets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_adapter.warehouse.cohort.PART_FACTS", 100)  # two parts
    cohort = run("cohort", "screen", str(in_buckets), "--as-of", AS_OF, "--json").json
    one_by_one = run("screen", str(COHORT), "--as-of", AS_OF, "--json").json
    assert cohort["counts"] == one_by_one["counts"]
    assert cohort["patients"] == one_by_one["patients"]
    listed = {one["patient"]: one for one in one_by_one["decisions"]}
    assert cohort["decisions"]
    for decision in cohort["decisions"]:
        assert decision == listed[decision["patient"]]
    wanted = {"candidate", "needs-data"}
    answered = sum(one["outcome"] in wanted for one in cohort["decisions"])
    counted = sum(cohort["counts"][outcome] for outcome in wanted)
    assert cohort["unlisted"] == counted - answered > 0
    assert cohort["not_retrieved"] == {}


@pytest.mark.usefixtures("with_small_study")
def test_who_is_counted_and_not_listed_is_said(store: Path) -> None:
    ran = run("cohort", "screen", str(store), "--as-of", AS_OF)
    assert "Candidates or needs data, but not in the list:" in ran.flat
    assert "(--out FOLDER has them)" in ran.flat


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_what_was_not_retrieved_whole_is_said_at_every_question(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "Patient.ndjson").write_text('{"resourceType": "Patient", "id": "1"}\n')
    loading = run("cohort", "load", str(folder), "--store", "s", "--workers", "1")
    asked = run("cohort", "screen", "s", "--as-of", AS_OF)
    for ran in (loading, asked):
        said = " ".join(ran.err.split())
        assert "Not retrieved whole:" in said
        assert "condition (Condition) for everybody" in said
        assert "patient (Patient) for" not in said
    found = run("cohort", "screen", "s", "--as-of", AS_OF, "--json").json
    assert found["not_retrieved"]["condition"] == 1


@pytest.mark.usefixtures("with_small_study")
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_broken_file_of_the_store_is_no_mistake_of_ours(tmp_path: Path, damage: str) -> None:
    loaded(COHORT, tmp_path / "s")
    fact = next((tmp_path / "s").glob("bucket=*/load=*/fact.parquet"))
    if damage == "cut":
        fact.write_bytes(fact.read_bytes()[:5000])
    else:
        fact.unlink()
    ran = run("cohort", "screen", "s", "--as-of", AS_OF)
    assert (ran.status, "store-missing" in ran.err) == (2, True)


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_the_files_hold_everybody_in_words_and_two_runs_are_not_mixed(
    store: Path, tmp_path: Path
) -> None:
    args = ("cohort", "screen", str(store), "--as-of", AS_OF, "--out", "answers", "--quiet")
    assert "everyone in the store" in run(*args).out
    assert (tmp_path / "answers").stat().st_mode & 0o077 == 0, "patients: their owner's alone"
    files = f"{tmp_path}/answers/*.parquet"
    found = duckdb.sql(f"SELECT outcome, count(*) FROM '{files}' GROUP BY 1").fetchall()
    assert sum(count for _, count in found) == 43
    assert {outcome for outcome, _ in found} <= {outcome.value for outcome in Outcome}
    against = duckdb.sql(f"SELECT count(*) FROM '{files}' WHERE E3a = 'against'").fetchall()
    assert against[0][0] > 0
    stopped = f'SELECT outcome, I1, "I1 reason", "I1 assumed" FROM \'{files}\' WHERE stops > 0'
    assert set(duckdb.sql(stopped).fetchall()) == {("not-screened", None, None, None)}
    again = run(*args)
    assert again.status == 2
    assert "not empty" in again.err


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_the_worklist_is_printed_as_csv_without_identifiers(store: Path) -> None:
    out = run("cohort", "screen", str(store), "--as-of", AS_OF, "--csv", "--quiet").out
    assert "candidate" in out.casefold()
    assert "42-all-answered" not in out
    named = run("cohort", "screen", str(store), "--as-of", AS_OF, "--csv", "--identifiers")
    assert "42-all-answered" in named.out


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_every_patient_may_have_a_moment_of_its_own(store: Path) -> None:
    cohort = run("cohort", "screen", str(store), "--as-of", "last-fact", "--json").json
    one_by_one = run("screen", str(COHORT), "--as-of", "last-fact", "--json").json
    assert cohort["counts"] == one_by_one["counts"]


def answer_encephalopathy() -> None:
    """For the first study; the ledger is made anew in this folder."""
    zone = bootstrap.bench(Settings()).zone
    path = Path(Settings().ledger)
    path.parent.mkdir()
    ledger = open_ledger(path, SystemClock())
    ledger.add_answer(
        patient="01-whole-umol",
        study=STUDY,
        question=question_code(STUDY, "encephalopathy-grade"),
        value=YES,
        who="A. Nurse",
        role="treating-team",
        at=datetime(2026, 11, 22, 7, 0, tzinfo=zone),
    )
    ledger.close()


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_what_people_have_answered_since_the_load_is_read(store: Path) -> None:
    answer_encephalopathy()
    cohort = run("cohort", "screen", str(store), "--as-of", AS_OF, "--json").json
    one_by_one = run("screen", str(COHORT), "--as-of", AS_OF, "--json").json
    before = {one["patient"] for one in cohort["decisions"]}
    assert cohort["counts"] == one_by_one["counts"]
    assert "01-whole-umol" not in before, "grade II today: not now"


@pytest.mark.parametrize("form", ["--json", "--csv", "--quiet"])
@pytest.mark.usefixtures("with_small_study")
@pytest.mark.slow
def test_what_could_not_be_written_is_in_the_exit_status_whatever_the_form(
    store: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: WritingDesk, one: Screened) -> Written:
        raise ServerUnreachable("no answer", remedy="Try again.")

    monkeypatch.setattr(WritingDesk, "send", gone)
    with sandbox(patients=("nobody",)) as server:
        args = ("cohort", "screen", str(store), "--as-of", AS_OF, "--write-server", server.base_url)
        ran = run(*args, form)
    assert ran.status == 3
    if form == "--quiet":
        assert "server-unreachable" in ran.out


def test_tables_are_nowhere_to_write_to(store: Path) -> None:
    ran = run("cohort", "screen", str(store), "--write")
    assert ran.status == 2
    assert "--write-server" in ran.err


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_the_statement_is_printed_for_an_auditor() -> None:
    out = run("cohort", "sql", "--spark").out
    assert "criterion_" in out
    assert "concept_set" in out
    assert "MATERIALIZED" not in out, "Spark decides by itself"
    assert "1975-2" not in out, "codes never stand in the statement"


def _parts(study: str) -> tuple[Any, Any]:
    bench = bootstrap.bench(Settings(study=study))
    return bench, statement_of(bench)


class Lying(CohortStore):
    """Tables whose SQL says something else of everybody."""

    def judge(self, *args: Any) -> Any:
        for asked, (found,) in super().judge(*args):
            yield asked, (Liar(found.table, found.ids, found.criteria),)


class Liar:
    def __init__(self, table: Any, ids: Any, criteria: Any) -> None:
        self.outcomes = {Outcome.CANDIDATE: len(ids)}
        self.ids = ids

    def listed(self) -> tuple[int, ...]:
        return tuple(sorted(self.ids))

    def answers(self, records: Any) -> Any:
        return {}


def test_a_difference_between_the_lanes_stops_the_run_loudly(store: Path, small_study: str) -> None:
    bench, statement = _parts(small_study)
    tables = Lying(open_store(store, bench.mappings))
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    with pytest.raises(LanesDisagree, match="differently"):
        list(screen(tables, statement, [Question(screener=bench.screener)], moment))


@pytest.mark.slow
def test_one_other_answer_is_a_difference_too(store: Path, small_study: str) -> None:
    bench, statement = _parts(small_study)
    moment = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    criteria = (*bench.screener.compiled.study.criteria[:-1],)
    shorter = msgspec.structs.replace(bench.screener.compiled.study, criteria=criteria)
    other = compile_cohort(
        shorter,
        bench.mappings,
        calculators={item.name: item for item in bench.package.calculators},
    )
    del statement
    tables = CohortStore(open_store(store, bench.mappings))
    with pytest.raises(LanesDisagree):
        list(screen(tables, other, [Question(screener=bench.screener)], moment))


def test_the_engine_s_own_words_are_not_passed_on(small_study: str) -> None:
    bench, statement = _parts(small_study)
    del bench
    engine = Engine(memory_limit="1GB", threads=1)
    engine.moments([Moment(1, 0, 0)])
    with pytest.raises(WarehouseFault) as raised:
        engine.run(statement, Dictionary())
    assert "fact" not in str(raised.value).replace("statement", "")
    engine.close()


# -- several studies in one pass ---------------------------------------------------------------


@pytest.fixture(scope="module")
def another_study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A second study over the same value sets, with other criteria."""
    folder = tmp_path_factory.mktemp("study") / "other"
    return str(write_small_study(folder, kept=("I1", "I2c", "E1c", "E4"), called="OTHER-1"))


@pytest.fixture
def site(tmp_path: Path) -> str:
    """The demonstration's site, with a basis for the second study too."""
    text = (mappings_dir() / "sites" / "demo.toml").read_text("utf-8")
    basis = text[text.index("[[basis]]\nstudy") :]
    made = tmp_path / "demo.toml"  # the name under which the store was made
    made.write_text(f"{text}\n{basis.replace(STUDY, 'OTHER-1')}", "utf-8")
    return str(made)


_ARGS = ("--as-of", AS_OF)


@pytest.mark.slow
def test_studies_of_one_pass_answer_as_each_of_them_alone(
    store: Path, small_study: str, another_study: str, site: str
) -> None:
    asked = ("cohort", "screen", str(store), *_ARGS, "--site", site, "--json")
    ran = run(*asked, "--study", f"{small_study}, {another_study}")
    jsonschema.validate(ran.json, result_schema())
    alone = [run(*asked, "--study", one).json for one in (small_study, another_study)]
    assert ran.json["studies"] == alone
    assert [one["study"] for one in alone] == [STUDY, "OTHER-1"]
    assert all(one["decisions"] for one in alone)
    assert alone[0]["counts"] != alone[1]["counts"]


@pytest.mark.slow
def test_what_people_said_for_one_study_is_not_heard_in_another(
    store: Path, small_study: str, another_study: str, site: str
) -> None:
    answer_encephalopathy()
    asked = (*_ARGS, "--site", site, "--json", "--study")
    both = f"{another_study},{small_study}"
    found = run("cohort", "screen", str(store), *asked, both).json["studies"]
    for study, cohort in zip((another_study, small_study), found, strict=True):
        one_by_one = run("screen", str(COHORT), *asked, study).json
        assert cohort["counts"] == one_by_one["counts"]
        listed = {one["patient"]: one for one in one_by_one["decisions"]}
        assert all(one == listed[one["patient"]] for one in cohort["decisions"])


@pytest.mark.slow
def test_a_study_without_a_basis_stops_for_itself_alone(
    store: Path, small_study: str, another_study: str
) -> None:
    """The demonstration's site states a basis for the first study only."""
    both = f"{another_study},{small_study}"
    asked = ("cohort", "screen", str(store), *_ARGS, "--study", both)
    other, first = run(*asked, "--json").json["studies"]
    assert first["counts"]["candidate"] > 0
    assert other["decisions"] == []
    said = run(*asked).flat
    assert "43 patients by study and outcome" in said
    assert "records no basis for this study (OTHER-1)" in said
    assert said.count("records no basis") == 1


@pytest.mark.slow
def test_each_study_has_a_folder_of_answers_and_its_name_in_the_csv(
    store: Path, tmp_path: Path, small_study: str, another_study: str, site: str
) -> None:
    both = ("--study", f"{another_study},{small_study}", "--site", site)
    ran = run("cohort", "screen", str(store), *_ARGS, *both, "--csv", "--out", "answers")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert {row["study"] for row in rows} == {STUDY, "OTHER-1"}
    assert "patient" not in rows[0]
    for study in (STUDY, "OTHER-1"):
        files = f"{tmp_path}/answers/{study}/answers-*.parquet"
        assert duckdb.sql(f"SELECT count(*) FROM '{files}'").fetchall() == [(43,)]


@pytest.mark.slow
def test_the_statement_of_several_studies_is_printed_as_it_is_run(
    small_study: str, another_study: str
) -> None:
    both = f"{small_study},{another_study}"
    one = run("cohort", "sql", "--study", small_study, "--json").json
    two = run("cohort", "sql", "--study", both, "--json").json
    assert (one["study"], [asked["study"] for asked in two["studies"]]) == (
        STUDY,
        [STUDY, "OTHER-1"],
    )
    assert two["statement"] != one["statement"]
    assert run("cohort", "sql", "--study", both).out.strip() == two["statement"].strip()


@pytest.mark.parametrize("command", [("cohort", "report"), ("screen",), ("explain", "p")])
def test_a_command_for_one_study_says_so(command: tuple[str, ...]) -> None:
    ran = run(*command, str(COHORT), "--study", f"{STUDY},B")
    assert (ran.status, "here only one can be" in " ".join(ran.err.split())) == (4, True)


@pytest.mark.parametrize("named", [f"{STUDY},", f"{STUDY},{STUDY}", ","])
def test_a_name_that_is_missing_or_there_twice_is_refused(store: Path, named: str) -> None:
    ran = run("cohort", "screen", str(store), "--study", named)
    assert (ran.status, "named twice" in ran.err) == (2, True)


@pytest.mark.slow
def test_a_copy_of_the_site_file_may_ask_its_tables_if_it_says_whose_it_is(
    store: Path, small_study: str, tmp_path: Path
) -> None:
    text = (mappings_dir() / "sites" / "demo.toml").read_text("utf-8")
    copy = tmp_path / "with-another-basis.toml"
    asked = ("cohort", "screen", str(store), *_ARGS, "--study", small_study, "--site", str(copy))
    copy.write_text(text)
    ran = run(*asked)
    assert (ran.status, 'name = "demo"' in ran.flat) == (2, True)
    copy.write_text(text.replace("format = 1", 'format = 1\nname = "demo"'))
    assert run(*asked).status == 0


@pytest.mark.parametrize(
    ("as_of", "named", "said"),
    [
        ("last-fact:total-bilirubin", "{0},{1}", "moment of its own"),
        (AS_OF, "{0},{1},{0}/", "named twice"),
    ],
)
def test_what_several_studies_cannot_share_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    store: Path, small_study: str, another_study: str, as_of: str, named: str, said: str
) -> None:
    both = named.format(small_study, another_study)
    ran = run("cohort", "screen", str(store), "--as-of", as_of, "--study", both)
    assert (ran.status, said in ran.err) == (2, True)
