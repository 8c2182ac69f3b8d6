"""What generated studies seldom have, once each: both lanes agree on it too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_adapter.errors import StudyInvalid
from fhir_adapter.evaluate.cohort import compile_cohort
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.calculator import Calculator, Item
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, EARLIEST, LATEST
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.study import Gate, Pair

import batches
import lanes
import worlds
from facts_for_tests import AS_OF, answer, lab, record

LABS = tree.Events(kind=(Kind.OBSERVATION,), codes="marker")
DISEASE = tree.Events(kind=(Kind.CONDITION,), codes="disease")
DRUG = tree.Events(kind=(Kind.MEDICATION,), codes="drug")
HIGH = tree.ValueTest(at_least=("5 mg/dL",))
OTHER = Calculator(
    name="other", version="1", title="Other", source="invented",
    items=(Item(name="a", lo=0, hi=2), Item(name="b", lo=1, hi=1)),
)  # fmt: skip
CALCULATORS = {batches.SCORE.name: batches.SCORE, "other": OTHER}


def confounded(doubts: str, window: tree.Window | None, by: tree.Events = DRUG) -> tree.Node:
    held = msgspec.structs.replace(by, window=window)
    confounder = tree.Confounder(name="c", by=held, doubts=doubts)  # type: ignore[arg-type] # stands for the real one
    return tree.UnlessConfounded(test=tree.Latest(of=LABS, test=HIGH), by=(confounder,))


def score(test: tree.ValueTest, **more: Any) -> tree.Node:
    inputs = (tree.ScoreInput(item="marker", of=(LABS,)),)
    return tree.Score(calculator="toy-score", inputs=inputs, test=test, **more)


AROUND = tree.Window(match="overlaps", from_="value - 3 days", to="value + 1 month")
NODES: dict[str, tree.Node] = {
    "hours": tree.Lasts(of=DRUG, at_least="36 hours"),
    "alive": tree.Alive(),
    "unsupported": tree.Unsupported(text="?", why="?"),
    "at least two": tree.AtLeast(n=2, of=(tree.Any(of=DRUG), tree.Any(of=DISEASE))),
    "no age": tree.Age(),
    "only young": tree.Age(min=50),
    "only old": tree.Age(max=40),
    "a man": tree.Sex(is_="male"),
    "nothing of": tree.AllOf(of=()),
    "any of none": tree.AnyOf(of=()),
    "doubts true": confounded("true", AROUND),
    "doubts false": confounded("false", AROUND),
    "around both": confounded("both", tree.Window(from_="value - 48 hours")),
    "nothing decides": tree.UnlessConfounded(
        test=tree.InEpisode(anchor="bout"), by=(tree.Confounder(name="c", by=DRUG),)
    ),
    "no window": confounded("both", None),
    "same day, own window": tree.Any(
        of=tree.Events(
            kind=(Kind.OBSERVATION,),
            codes="marker",
            same_day_as=tree.Events(
                kind=(Kind.MEDICATION,), codes="drug", window=tree.Window(from_="bout.start")
            ),
        )
    ),
    "not in an episode's earlier runs": tree.Any(
        of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker", not_in_earlier="bout")
    ),
    "not in an event's earlier runs": tree.Any(
        of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker", not_in_earlier="drug-start")
    ),
    "open start": tree.Any(
        of=tree.Events(
            kind=(Kind.OBSERVATION,),
            codes="marker",
            window=tree.Window(
                from_="bout.start - 2 days", or_from="bout.end - 36 hours", to="bout",
                or_to="bout.end + 1 week",
            ),
        )
    ),
    "from as-of on": tree.Any(
        of=tree.Events(kind=(Kind.MEDICATION,), codes="drug",
                       window=tree.Window(match="overlaps", from_="as-of"))
    ),
    "up to as-of": tree.Any(
        of=tree.Events(kind=(Kind.MEDICATION,), codes="drug", window=tree.Window(to="as-of"))
    ),
    "every code": tree.Any(of=tree.Events(kind=(Kind.CONDITION, Kind.PROCEDURE))),
    "of a severity": tree.Any(
        of=tree.Events(kind=(Kind.CONDITION,), codes="disease", severity="severe", stage="x",
                       criticality="high", coded_as="sister")
    ),
    "coded": tree.Latest(of=LABS, test=tree.ValueTest(coded_in="severe")),
    "below the lower limit": tree.Any(
        of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker",
                       value=tree.ValueTest(below_lower_limit="0.5", coded_in="severe"))
    ),
    "score at most": score(tree.ValueTest(at_most=("4",))),
    "score less than": score(tree.ValueTest(less_than=("5",)), spread="10 days"),
    "score of nothing": tree.Score(
        calculator="other", inputs=(), test=tree.ValueTest(at_least=("1",)), spread="2 days"
    ),
    "score without steps": tree.Score(
        calculator="other", inputs=(tree.ScoreInput(item="a", of=(LABS,)),),
        test=tree.ValueTest(more_than=("2",)),
    ),
    "score beside a recorded one": tree.Score(
        calculator="toy-score",
        inputs=(
            tree.ScoreInput(item="marker", of=(LABS,)),
            tree.ScoreInput(item="disease", of=(DISEASE,)),
        ),
        test=tree.ValueTest(more_than=("4",)),
        recorded=tree.Events(kind=(Kind.OBSERVATION,), codes="sister"),
    ),
    "score without test": score(tree.ValueTest()),
    "typed in": tree.Any(of=tree.Events(kind=(Kind.ENTERED,), codes="marker")),
    "only a question": tree.Ask(question="r"),
    "factor and distance": tree.Rise(of=LABS, by="0.5 mg/dL", factor="1.5", within="3 weeks"),
}  # fmt: skip


ONE_ANSWER = frozenset(("unsupported", "nothing of", "any of none", "score of nothing",
                        "score without steps", "score without test"))  # fmt: skip
"""Nodes that answer alike whatever the record holds."""
EVERY_ANSWER = ("a man", "only young", "only old", "of a severity", "below the lower limit",
                "coded", "around both", "doubts true", "score beside a recorded one", "hours",
                "factor and distance", "only a question")  # fmt: skip


@pytest.mark.slow
def test_the_records_make_special_nodes_answer_differently() -> None:
    """Two lanes that both say unknown to everybody agree about nothing."""
    study = with_question(worlds.study_of(*NODES.values(), policy="assume-absent-if-known-here"))
    given: dict[str, Any] = {"calculators": CALCULATORS, "own_studies": batches.OWN}
    answers = lanes.by_closures(study, worlds.MAPPINGS, batches.records(7, 400), AS_OF, **given)
    found = {
        name: {answer[f"C{number}"]["truth"] for answer in answers}
        for number, name in enumerate(NODES, 1)
    }
    assert {name for name, truths in found.items() if len(truths) == 1} == ONE_ANSWER
    assert [name for name in EVERY_ANSWER if len(found[name]) < len(lanes.TRUTHS)] == []


def lanes_differ(study: Any, records: Any, engine: Any = None) -> list[str]:
    given: dict[str, Any] = {"calculators": CALCULATORS, "own_studies": batches.OWN}
    ours = lanes.by_sql(study, worlds.MAPPINGS, records, AS_OF, engine=engine, **given)
    theirs = lanes.by_closures(study, worlds.MAPPINGS, records, AS_OF, **given)
    return lanes.differences(ours, theirs)


def with_question(study: Any, **more: Any) -> Any:
    questions = (*study.questions, msgspec.structs.replace(study.questions[0], id="r"))
    return msgspec.structs.replace(study, questions=questions, **more)


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("unknown", marks=pytest.mark.deep),
        pytest.param("assume-absent", marks=pytest.mark.deep),
        "assume-absent-if-known-here",
    ],
)
@pytest.mark.slow
def test_the_lanes_agree_on_every_special_node(policy: str) -> None:
    study = with_question(worlds.study_of(*NODES.values(), policy=policy))
    assert lanes_differ(study, batches.records(7, 80)) == []


def test_an_anchor_may_be_bounded_by_a_code() -> None:
    bound = tree.ValueTest(coded_in="severe")
    anchors = (msgspec.structs.replace(worlds.EPISODE, bound=bound), worlds.DRUG_START)
    study = worlds.study_of(tree.InEpisode(anchor="bout"))
    study = msgspec.structs.replace(study, anchors=anchors)
    assert lanes_differ(study, batches.records(8, 60)) == []


def test_an_undated_value_before_an_episode_may_be_newer_than_an_answer() -> None:
    """An episode shows two values; the later of them, whichever it is, can contradict a person."""
    undated = {"start_lo": EARLIEST, "start_hi": LATEST, "start_date_lo": DATE_EARLIEST,
               "start_date_hi": DATE_LATEST, "end_lo": EARLIEST, "end_hi": LATEST}  # fmt: skip
    given = record(
        lab(worlds.MARKER, "0.5", "2026-11-01", unit="mg/dL", **undated),
        lab(worlds.MARKER, "6", "2026-11-10", unit="mg/dL"),
        answer("toy", "q", yes=False, when="2026-11-20T07:00"),
    )
    study = worlds.study_of(tree.Ask(question="q", yes_if=tree.InEpisode(anchor="bout")))
    ours = lanes.by_sql(study, worlds.MAPPINGS, [given], AS_OF)
    assert ours[0]["C1"]["reason"] == "conflict"
    assert lanes.differences(ours, lanes.by_closures(study, worlds.MAPPINGS, [given], AS_OF)) == []


@pytest.mark.slow
def test_the_same_number_gives_the_same_batch_in_any_process() -> None:
    """A difference between the lanes must be found again when its batch runs alone."""
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/cohort']\n"
        "if sys.argv[1:]: import fhir_adapter.cli.app, fhir_adapter.web.app\n"
        "import batches, hashlib\n"
        "said = repr((batches.study(3, 5), batches.records(3, 40)))\n"
        "print(hashlib.sha256(said.encode()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    run = [sys.executable, "-c", code]
    said = {
        subprocess.run(words, cwd=root, check=True, capture_output=True, text=True).stdout
        for words in (run, [*run, "more"])
    }
    assert len(said) == 1


@pytest.mark.slow
def test_a_study_that_asks_little_makes_few_tables() -> None:
    study = worlds.study_of(tree.Unsupported(text="?", why="?"))
    statement = compile_cohort(study, worlds.MAPPINGS)
    assert {"kinds", "pulls", "stay", "denials", "papers"}.isdisjoint(
        one.alias for one in statement.tree.ctes
    )
    given = {"calculators": CALCULATORS}
    ours = lanes.by_sql(study, worlds.MAPPINGS, batches.records(9, 30), AS_OF, **given)
    theirs = lanes.by_closures(study, worlds.MAPPINGS, batches.records(9, 30), AS_OF, **given)
    assert lanes.differences(ours, theirs) == []


@pytest.mark.slow
def test_a_pair_may_reopen_a_gate() -> None:
    study = worlds.study_of(tree.Any(of=DISEASE), tree.Any(of=DRUG), policy="assume-absent",
                            kind="exclusion")  # fmt: skip
    gate = Gate(if_open="hold", list_when=("r",))
    first, second = study.criteria
    pair = Pair(id="p", criteria=("C1", "C2"), when=tree.Alive(), reopens_assumed=("C1",),
                note="both", question="r")  # fmt: skip
    criteria = (msgspec.structs.replace(first, gate=gate), second)
    study = with_question(study, criteria=criteria, pairs=(pair,))
    assert lanes_differ(study, batches.records(10, 60)) == []


def test_what_has_no_sql_is_refused_by_name() -> None:
    by = msgspec.structs.replace(DRUG, also=DISEASE)
    study = worlds.study_of(confounded("both", AROUND, by))
    with pytest.raises(StudyInvalid, match="confounder"):
        compile_cohort(study, worlds.MAPPINGS)
