"""What holds for every tree and every record, as the style lists it; at length in test-deep."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.evaluate.record import CompiledStudy
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Standing
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.truth import Reason, Truth

import worlds
from facts_for_tests import record

pytestmark = pytest.mark.property

POLICIES = st.sampled_from(("unknown", "assume-absent", "assume-absent-if-known-here"))
PLAIN_POLICIES = st.sampled_from(("unknown", "assume-absent"))
RECORDED_DIFFERENTLY = (Reason.CODE_NOT_MAPPED, Reason.OUTSIDE)


def result(of: CompiledStudy, patient: PatientRecord) -> CriterionResult:
    return worlds.judged(of, patient).results[0]


def answer(found: CriterionResult) -> tuple[Any, ...]:
    return found.truth, found.reason, found.assumed, found.opens


def with_facts(patient: PatientRecord, *more: Fact) -> PatientRecord:
    ordered = sorted((*patient.facts, *more), key=lambda f: (f.kind.value, f.start_lo, f.source))
    return msgspec.structs.replace(patient, facts=tuple(ordered))


@given(worlds.nodes(), worlds.records(), POLICIES, st.integers())
def test_the_order_of_the_record_never_matters(
    node: tree.Node, patient: PatientRecord, policy: str, seed: int
) -> None:
    of = worlds.compiled(node, policy=policy)
    shuffled = list(patient.facts)
    random.Random(seed).shuffle(shuffled)
    other = msgspec.structs.replace(patient, facts=tuple(shuffled))
    assert worlds.judged(of, patient) == worlds.judged(of, other)


@given(worlds.nodes(), worlds.records(), POLICIES, worlds.facts(usable=True, kind=Kind.OBSERVATION))
def test_a_fact_of_a_kind_that_no_criterion_reads_changes_nothing(
    node: tree.Node, patient: PatientRecord, policy: str, extra: Fact
) -> None:
    of = worlds.compiled(node, policy=policy)
    unread = msgspec.structs.replace(extra, kind=Kind.IMMUNIZATION, source="Immunization/1")
    assert worlds.judged(of, patient) == worlds.judged(of, with_facts(patient, unread))


@pytest.mark.slow
@given(worlds.nodes(), worlds.records(), PLAIN_POLICIES, worlds.unmatched(), st.booleans())
def test_a_fact_that_matches_no_value_set_changes_nothing_but_not_mapped_and_outside(
    node: tree.Node,
    patient: PatientRecord,
    policy: str,
    extra: Fact,
    reopens: bool,  # noqa: FBT001 - drawn
) -> None:
    """Silence may turn into one of the two reasons, or back; nothing else may change."""
    of = worlds.compiled(node, policy=policy, outside="reopen" if reopens else "ignore")
    before, after = result(of, patient), result(of, with_facts(patient, extra))
    assert {before.truth, after.truth} != {Truth.TRUE, Truth.FALSE}
    assert extra not in [item.fact for item in after.evidence if item.why == ""]
    if answer(before) != answer(after):
        # of two leaves one may have been not mapped before: the next test holds one leaf to more
        both = {o.reason for o in (*before.opens, *after.opens)}
        assert both & set(RECORDED_DIFFERENTLY)


@given(worlds.counts(), worlds.records(), PLAIN_POLICIES, worlds.unmatched())
def test_on_one_leaf_a_fact_of_no_value_set_only_brings_or_takes_not_mapped(
    node: tree.Node, patient: PatientRecord, policy: str, extra: Fact
) -> None:
    if _moves_anchor(node, extra):
        return  # the episode's own results may be what is not mapped: its window is then not known
    of = worlds.compiled(node, policy=policy)
    before, after = result(of, patient), result(of, with_facts(patient, extra))
    if answer(before) != answer(after):
        assert Reason.CODE_NOT_MAPPED in (before.reason, after.reason)


@given(worlds.counts(), worlds.records(), POLICIES, worlds.facts(usable=True))
def test_one_more_usable_event_never_makes_a_true_count_less(
    node: tree.Node, patient: PatientRecord, policy: str, extra: Fact
) -> None:
    of = worlds.compiled(node, policy=policy)
    if result(of, patient).truth is Truth.TRUE and not _moves_anchor(node, extra):
        more = msgspec.structs.replace(extra, source="x/more")
        assert result(of, with_facts(patient, more)).truth is Truth.TRUE


SHOWN = 3
"""At most so many values of a leaf stand as its evidence."""


def _moves_anchor(node: Any, extra: Fact) -> bool:
    """A marker value may move the episode, and with it a window that hangs on it."""
    window = node.of.window
    text = f"{window.from_} {window.to}" if window is not None else ""
    text += str(node.of.not_in_earlier)
    return (extra.kind is Kind.OBSERVATION and "bout" in text) or "drug-start" in text


@given(
    worlds.selections(),
    worlds.records(),
    PLAIN_POLICIES,
    worlds.facts(usable=True, kind=Kind.OBSERVATION),
)
def test_a_changed_latest_or_earliest_names_the_fact_that_displaced(
    node: tree.Node, patient: PatientRecord, policy: str, extra: Fact
) -> None:
    if isinstance(node, tree.Lowest | tree.Highest) or _moves_anchor(node, extra):
        return
    of = worlds.compiled(node, policy=policy)
    more = msgspec.structs.replace(extra, source="x/more")
    before, after = result(of, patient), result(of, with_facts(patient, more))
    if before.truth is not after.truth and before.reason is not Reason.CODE_NOT_MAPPED:
        shown = [item.fact.source for item in after.evidence]
        assert "x/more" in shown or len(shown) == SHOWN, "of more candidates than are shown, three"


@given(worlds.leaves(), worlds.records(), POLICIES)
def test_without_every_fact_that_is_read_the_answer_is_what_the_policy_says(
    node: tree.Node, patient: PatientRecord, policy: str
) -> None:
    """Nobody is known here of whom no fact is left: that policy says *unknown* too."""
    of = worlds.compiled(node, policy=policy)
    whole = record(*(f for f in patient.facts if f.kind is Kind.PATIENT))
    found = result(of, whole)
    if isinstance(node, tree.InEpisode) or policy != "assume-absent":
        assert found.truth is Truth.UNKNOWN
        assert {o.reason for o in found.opens} == {Reason.NEVER_RECORDED}
    else:
        assert found.truth is Truth.FALSE
        assert found.assumed


@pytest.mark.slow
@given(worlds.nodes(), worlds.records(), POLICIES, worlds.narrowings())
def test_knowing_a_date_or_value_better_never_turns_true_into_false_or_back(
    node: tree.Node, patient: PatientRecord, policy: str, pair: worlds.Narrowed
) -> None:
    of = worlds.compiled(node, policy=policy)
    wide = msgspec.structs.replace(pair.wide, source="x/uncertain")
    narrow = msgspec.structs.replace(pair.narrow, source="x/uncertain")
    before = result(of, with_facts(patient, wide)).truth
    after = result(of, with_facts(patient, narrow)).truth
    assert {before, after} != {Truth.TRUE, Truth.FALSE}


@given(worlds.nodes(), POLICIES, st.sampled_from(("inclusion", "exclusion")))
def test_what_was_not_retrieved_never_fits_where_an_empty_record_does_not(
    node: tree.Node, policy: str, kind: str
) -> None:
    of = worlds.compiled(node, policy=policy, kind=kind)
    empty = result(of, record())
    clinical = tuple(k for k in Kind if k not in (Kind.ANSWER, Kind.ENTERED))
    not_there = result(of, record(missing=clinical))
    if not_there.effect is Effect.FITS:
        assert empty.effect is Effect.FITS


@pytest.mark.slow
@given(worlds.nodes(), worlds.records(), POLICIES, st.sampled_from(tuple(worlds.CODES)))
def test_pulling_a_kind_less_whole_never_decides_more(
    node: tree.Node, patient: PatientRecord, policy: str, kind: Kind
) -> None:
    """Answers apart: newer data that contradict one make a conflict, and without them it stands."""
    of = worlds.compiled(node, policy=policy)
    facts = tuple(fact for fact in patient.facts if fact.kind is not Kind.ANSWER)
    patient = msgspec.structs.replace(patient, facts=facts)
    rows = tuple(
        msgspec.structs.replace(row, complete=row.complete and row.kind is not kind)
        for row in patient.retrieved
    )
    less = result(of, msgspec.structs.replace(patient, retrieved=rows)).truth
    assert less in (Truth.UNKNOWN, result(of, patient).truth)


@given(worlds.nodes(), worlds.records(), POLICIES)
def test_every_unknown_has_a_reason_and_every_other_answer_has_none(
    node: tree.Node, patient: PatientRecord, policy: str
) -> None:
    found = result(worlds.compiled(node, policy=policy), patient)
    assert (found.reason is not None) is (found.truth is Truth.UNKNOWN)
    assert bool(found.opens) is (found.truth is Truth.UNKNOWN)


@given(worlds.nodes(), worlds.records(), POLICIES)
def test_ignored_facts_and_facts_about_others_decide_nothing(
    node: tree.Node, patient: PatientRecord, policy: str
) -> None:
    of = worlds.compiled(node, policy=policy)
    counted = tuple(
        f for f in patient.facts if f.standing is not Standing.IGNORED and not f.about_other
    )
    without = msgspec.structs.replace(patient, facts=counted)
    assert answer(result(of, patient)) == answer(result(of, without))
