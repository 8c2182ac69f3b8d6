"""Node by node: truth, reason and evidence on records made by hand."""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.evaluate.record import compile_study, judge
from fhir_adapter.evaluate.score import points, total
from fhir_adapter.evaluate.values import to_canonical
from fhir_adapter.evaluate.windows import Edge
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.calculator import Calculator, CodedPoints, Item, Step, StepTable
from fhir_adapter.model.code import SNOMED, Code
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Standing
from fhir_adapter.model.quantity import Quantity
from fhir_adapter.model.result import CriterionResult, Effect, Verdict
from fhir_adapter.model.study import SignOff, Study
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.model.vocabulary import (
    ACT_CODE,
    BIRTH_DATE,
    DECEASED,
    FEMALE,
    MALE,
    NO,
    NOT_KNOWN,
    YES,
    anchor_code,
    question_code,
)
from fhir_adapter.terminology import load_calculators

import worlds
from facts_for_tests import AS_OF, born, condition, fact, lab, record, sex

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
LABS = tree.Events(kind=(Kind.OBSERVATION,), codes="marker")
SICK = tree.Events(kind=(Kind.CONDITION,), codes="disease")
DRUGS = tree.Events(kind=(Kind.MEDICATION,), codes="drug")
HIGH = tree.ValueTest(at_least=("5 mg/dL",))


def marker(value: str, when: str, **more: Any) -> Fact:
    return lab(worlds.MARKER, value, when, unit="mg/dL", **more)


def result(node: tree.Node, patient: PatientRecord, **more: Any) -> CriterionResult:
    return worlds.judged(worlds.compiled(node, **more), patient).results[0]


def judged(node: tree.Node, *facts: Fact, **more: Any) -> tuple[Truth, Reason | None]:
    found = result(node, record(*facts), **more)
    return found.truth, found.reason


def of(events: tree.Events, **more: Any) -> tree.Events:
    return msgspec.structs.replace(events, **more)


# ------------------------------------------------------------------------------ the patient


AGE = tree.Age(min=18, max=70)
AGES = {
    "inside": ([born("1980-05-01")], (T, None)),
    "too young": ([born("2010-05-01")], (F, None)),
    "too old": ([born("1940-05-01")], (F, None)),
    "70 until tomorrow": ([born("1955-11-23")], (T, None)),
    "71 today": ([born("1955-11-22")], (F, None)),
    "year only, at the upper bound": ([born("1955")], (U, Reason.DATE_MISSING_OR_TOO_COARSE)),
    "year only, at the lower bound": ([born("2008")], (U, Reason.DATE_MISSING_OR_TOO_COARSE)),
    "unusable": (
        [fact(Kind.PATIENT, BIRTH_DATE, "1980-05-01", known_from=-(2**62),
              standing=Standing.MAKES_UNKNOWN)],
        (U, Reason.DATE_MISSING_OR_TOO_COARSE),
    ),
    "none": ([], (U, Reason.NEVER_RECORDED)),
}  # fmt: skip


@pytest.mark.parametrize("name", AGES)
def test_age_counts_completed_years_by_local_dates(name: str) -> None:
    facts, expected = AGES[name]
    assert judged(AGE, *facts) == expected


def test_who_is_too_young_is_so_until_the_day_before_the_birthday() -> None:
    found = worlds.judged(worlds.compiled(AGE), record(born("2009-01-10")))
    assert found.results[0].until is not None
    assert found.next_date == found.results[0].until + 1
    only_max = worlds.judged(worlds.compiled(tree.Age(max=10)), record(born("2009-01-10")))
    assert only_max.results[0].until is None
    coarse = [born("1980-05-01")]
    assert worlds.judged(worlds.compiled(tree.Age(min=18)), record(*coarse)).next_date is None


def test_what_was_not_pulled_is_not_never_recorded() -> None:
    patient = record(missing=(Kind.PATIENT,))
    for node in (AGE, tree.Sex(is_="female"), tree.Alive()):
        assert result(node, patient).reason is Reason.NOT_RETRIEVED


def test_sex_is_female_male_or_open() -> None:
    node = tree.Sex(is_="female")
    assert judged(node, sex(FEMALE)) == (T, None)
    assert judged(node, sex(MALE)) == (F, None)
    assert judged(node, sex(Code("urn:x", "other"))) == (U, Reason.RECORDED_UNUSABLE)
    assert judged(node) == (U, Reason.NEVER_RECORDED)


def test_alive_is_what_no_death_says() -> None:
    assert judged(tree.Alive()) == (T, None)
    assert judged(tree.Alive(), fact(Kind.PATIENT, DECEASED, "2026-11-01")) == (F, None)


def test_what_is_not_understood_is_open() -> None:
    node = tree.Unsupported(text="x", why="y")
    assert judged(node, born("1980-05-01")) == (U, Reason.UNSUPPORTED)


# ----------------------------------------------------------------------------- value tests


VALUES: dict[str, tuple[tree.ValueTest, dict[str, Any], Truth]] = {
    "at the bound": (HIGH, {"value": "5"}, T),
    "below it": (HIGH, {"value": "4.99"}, F),
    "printed bound decides in its unit": (
        tree.ValueTest(at_least=("5 mg/dL", "85 umol/L")),
        {"value": "4.9708", "reported": ("85", "umol/L")}, T,
    ),
    "at most 85 may be 85": (
        tree.ValueTest(at_least=("5 mg/dL", "85 umol/L")),
        {"value": "4.9708", "reported": ("85", "umol/L"), "value_lo": None, "reported_lo": None}, U,
    ),
    "above a limit of normal": (
        tree.ValueTest(above_upper_limit="3"), {"value": "4", "ref_high": Decimal(1)}, T,
    ),
    "not above it": (
        tree.ValueTest(above_upper_limit="3"), {"value": "3", "ref_high": Decimal(1)}, F,
    ),
    "no limit sent": (tree.ValueTest(above_upper_limit="3"), {"value": "4"}, U),
    "below a limit of normal": (
        tree.ValueTest(below_lower_limit="0.5"), {"value": "1", "ref_low": Decimal(4)}, T,
    ),
    "both parts must hold": (
        tree.ValueTest(at_least=("2 mg/dL",), above_upper_limit="3"),
        {"value": "2.5", "ref_high": Decimal(1)}, F,
    ),
    "one part open": (
        tree.ValueTest(at_least=("2 mg/dL",), above_upper_limit="3"), {"value": "2.5"}, U,
    ),
    "coded": (
        tree.ValueTest(coded_in="severe"), {"value": "1", "value_concepts": (worlds.SEVERE,)}, T,
    ),
    "coded otherwise": (
        tree.ValueTest(coded_in="severe"), {"value": "1", "value_concepts": (worlds.DRUG,)}, F,
    ),
    "not coded": (tree.ValueTest(coded_in="severe"), {"value": "1"}, U),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_are_intervals_against_printed_bounds(name: str) -> None:
    test, fields, expected = VALUES[name]
    given = dict(fields)
    one = marker(given.pop("value"), "2026-11-20", **given)
    assert judged(tree.Latest(of=LABS, test=test), one)[0] is expected


def test_a_unit_that_the_table_does_not_have_is_refused_when_compiling() -> None:
    with pytest.raises(ValueError, match="not in the table of marker"):
        worlds.compiled(tree.Latest(of=LABS, test=tree.ValueTest(at_least=("5 furlong",))))
    assert to_canonical(Quantity.parse("5 g"), None) == 5
    assert worlds.compiled(
        tree.Latest(of=tree.Events(kind=(Kind.OBSERVATION,)), test=tree.ValueTest(at_most=("3",)))
    )


# ------------------------------------------------------------------- selections and changes


def test_the_latest_is_every_fact_that_may_be_the_latest() -> None:
    node = tree.Latest(of=LABS, test=HIGH)
    assert judged(node, marker("4", "2026-11-01"), marker("6", "2026-11-20")) == (T, None)
    same = (marker("4", "2026-11-20"), marker("6", "2026-11-20"))
    assert judged(node, *same) == (U, Reason.CONFLICT)
    coarse = (marker("4", "2026-11"), marker("6", "2026-11-05"))
    assert judged(node, *coarse) == (U, Reason.DATE_MISSING_OR_TOO_COARSE)


def test_lowest_and_highest_go_by_value() -> None:
    facts = (marker("4", "2026-11-20"), marker("6", "2026-11-01"))
    assert judged(tree.Highest(of=LABS, test=HIGH), *facts) == (T, None)
    assert judged(tree.Lowest(of=LABS, test=HIGH), *facts) == (F, None)
    assert judged(tree.Earliest(of=LABS, test=HIGH), *facts) == (T, None)


def test_of_the_last_two_one_sure_failure_is_enough() -> None:
    node = tree.Latest(of=LABS, test=HIGH, n=2)
    facts = (marker("4", "2026-11-20"), marker("6", "2026-11-10"), marker("7", "2026-11-10"))
    assert judged(node, *facts) == (F, None)


def test_an_unusable_latest_is_open_and_the_older_one_is_shown_not_used() -> None:
    node = tree.Latest(of=LABS, test=HIGH)
    unusable = fact(
        Kind.OBSERVATION, worlds.MARKER, "2026-11-20",
        standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.PENDING,
    )  # fmt: skip
    found = result(node, record(unusable, marker("6", "2026-11-01")))
    assert (found.truth, found.reason) == (U, Reason.PENDING)
    assert [item.why for item in found.evidence] == ["pending", "older, not used"]


def test_freshness_is_a_limit_in_days_or_hours() -> None:
    for limit, when, expected in (
        ("7 days", "2026-11-15", (T, None)),
        ("7 days", "2026-11-14", (U, Reason.STALE)),
        ("7 days", "2026-11", (U, Reason.DATE_MISSING_OR_TOO_COARSE)),
        ("24 hours", "2026-11-21T08:00", (T, None)),
        ("24 hours", "2026-11-21T07:00", (U, Reason.STALE)),
        ("24 hours", "2026-11-21", (U, Reason.DATE_MISSING_OR_TOO_COARSE)),
    ):
        node = tree.Latest(of=LABS, test=HIGH, fresh=limit)
        assert judged(node, marker("6", when)) == expected


def test_a_stale_value_waits_for_what_was_ordered() -> None:
    order = fact(Kind.SERVICE_REQUEST, worlds.MARKER, "2026-11-21", end="running", status="active")
    node = tree.Latest(of=LABS, test=HIGH, fresh="7 days")
    assert judged(node, marker("6", "2026-11-01"), order) == (U, Reason.PENDING)
    assert judged(node, order) == (U, Reason.PENDING)
    anything = tree.Any(of=tree.Events(kind=(Kind.OBSERVATION,)))
    assert judged(anything, order) == (U, Reason.NEVER_RECORDED)


RISE = tree.Rise(of=LABS, by="0.5 mg/dL", within="48 hours")
CHANGES: dict[str, tuple[tree.Node, list[Fact], tuple[Truth, Reason | None]]] = {
    "enough": (
        RISE, [marker("1", "2026-11-20T08:00"), marker("1.5", "2026-11-21T08:00")], (T, None),
    ),
    "too little": (
        RISE, [marker("1", "2026-11-20T08:00"), marker("1.4", "2026-11-21T08:00")], (F, None),
    ),
    "too slow": (
        RISE, [marker("1", "2026-11-10T08:00"), marker("1.5", "2026-11-21T08:00")],
        (U, Reason.NEVER_RECORDED),
    ),
    "of a number and none": (
        RISE, [fact(Kind.OBSERVATION, worlds.MARKER, "2026-11-21T07:00"),
               marker("1.5", "2026-11-21T08:00")],
        (U, Reason.RECORDED_UNUSABLE),
    ),
    "on one day": (
        RISE, [marker("1", "2026-11-20"), marker("1.5", "2026-11-20", source="x")],
        (U, Reason.DATE_MISSING_OR_TOO_COARSE),
    ),
    "by a factor": (
        tree.Rise(of=LABS, factor="1.5", within="7 days"),
        [marker("1", "2026-11-18"), marker("1.5", "2026-11-21")], (T, None),
    ),
    "a fall": (
        tree.Fall(of=LABS, factor="2", within="7 days"),
        [marker("4", "2026-11-18"), marker("2", "2026-11-21")], (T, None),
    ),
    "of a pending one": (
        RISE, [marker("1", "2026-11-21T07:00", standing=Standing.MAKES_UNKNOWN,
                      standing_reason=Reason.PENDING), marker("1.5", "2026-11-21T08:00")],
        (U, Reason.PENDING),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_changes_compare_pairs_in_reach(name: str) -> None:
    node, facts, expected = CHANGES[name]
    assert judged(node, *facts) == expected


def test_a_running_event_lasts_until_now() -> None:
    node = tree.Lasts(of=SICK, at_least="6 months")
    assert judged(node, condition(worlds.DISEASE, "2026-01-01")) == (T, None)
    assert judged(node, condition(worlds.DISEASE, "2026-10-01")) == (F, None)
    assert judged(node, condition(worlds.DISEASE, "2026")) == (U, Reason.DATE_MISSING_OR_TOO_COARSE)
    ended = condition(worlds.DISEASE, "2026-01-01", end="2026-08-01")
    assert judged(node, ended) == (T, None)
    assert judged(node, condition(worlds.DISEASE, "2026-01-01", end="2026-02-01")) == (F, None)
    hours = tree.Lasts(of=SICK, at_least="48 hours")
    assert judged(hours, condition(worlds.DISEASE, "2026-11-19")) == (T, None)
    assert judged(hours, condition(worlds.DISEASE, "2026-11-21")) == (F, None)


# ---------------------------------------------------------------------------- retrieves


def test_fields_of_a_condition_are_tests_and_not_silence() -> None:
    for field, value in (("severity", "x"), ("stage", "x"), ("criticality", "x")):
        node = tree.Any(of=of(SICK, **{field: value}))
        assert judged(node, condition(worlds.DISEASE, "2026-01-01", **{field: value})) == (T, None)
        assert judged(node, condition(worlds.DISEASE, "2026-01-01")) == (F, None)


def test_coded_as_is_a_test_beside_the_codes() -> None:
    node = tree.Any(of=of(SICK, coded_as="severe"))
    both = condition(worlds.DISEASE, "2026-01-01", concepts=(worlds.DISEASE, worlds.SEVERE))
    assert judged(node, both) == (T, None)
    assert judged(node, condition(worlds.DISEASE, "2026-01-01")) == (F, None)


def test_same_day_keeps_only_facts_of_those_days() -> None:
    node = tree.Any(of=of(LABS, same_day_as=DRUGS))
    drug = fact(Kind.MEDICATION, worlds.DRUG, "2026-11-20")
    assert judged(node, marker("5", "2026-11-20"), drug) == (T, None)
    assert judged(node, marker("5", "2026-11-19"), drug) == (U, Reason.NEVER_RECORDED)
    assert judged(node, marker("5", "2026-11"), drug) == (U, Reason.DATE_MISSING_OR_TOO_COARSE)
    unknown = record(marker("5", "2026-11-19"), incomplete=(Kind.MEDICATION,))
    assert result(node, unknown).truth is U


def test_a_second_retrieve_counts_as_well_and_must_be_pulled_too() -> None:
    node = tree.Any(of=of(SICK, also=DRUGS))
    assert judged(node, fact(Kind.MEDICATION, worlds.DRUG, "2026-11-20")) == (T, None)
    missing = record(missing=(Kind.MEDICATION,))
    assert result(node, missing, policy="assume-absent").reason is Reason.NOT_RETRIEVED
    twice = tree.CountAtLeast(n=2, of=of(LABS, also=of(LABS, window=tree.Window(to="as-of"))))
    assert judged(twice, marker("5", "2026-11-20")) == (F, None)
    recent = tree.Window(from_="as-of - 7 days")
    coarse = tree.Any(of=of(LABS, window=recent, also=of(LABS, window=recent)))
    assert judged(coarse, marker("5", "2026-11")) == (U, Reason.DATE_MISSING_OR_TOO_COARSE)


def test_a_score_nobody_can_reach_is_false_and_one_that_may_be_is_open() -> None:
    node = tree.CountAtLeast(n=2, of=SICK)
    sure, maybe = condition(worlds.DISEASE, "2026-01-01"), condition(
        worlds.DISEASE, "2026-02-01", standing=Standing.MAKES_UNKNOWN,
        standing_reason=Reason.UNCONFIRMED,
    )  # fmt: skip
    assert judged(node, sure) == (F, None)
    assert judged(node, sure, maybe) == (U, Reason.UNCONFIRMED)
    assert judged(node, sure, condition(worlds.DISEASE, "2026-03-01")) == (T, None)
    half = record(sure, incomplete=(Kind.CONDITION,))
    assert result(node, half).reason is Reason.NOT_RETRIEVED


def test_two_unknowns_of_one_fact_give_the_first_reason() -> None:
    test = tree.ValueTest(at_least=("5 mg/dL",), above_upper_limit="1")
    node = tree.Any(of=of(LABS, value=test))
    assert judged(node, marker("6", "2026-11-20")) == (U, Reason.RECORDED_UNUSABLE)


def test_an_event_that_certainly_is_in_the_window_says_until_when() -> None:
    for window, last in (
        (tree.Window(from_="as-of - 7 days"), "2026-11-27"),
        (tree.Window(match="ends-in", from_="as-of - 24 hours"), "2026-11-21"),
        (tree.Window(from_="as-of - 1 month"), "2026-12-20"),
    ):
        node = tree.Any(of=of(LABS, window=window))
        when = "2026-11-20" if "day" in str(window.from_) or "month" in str(window.from_) else ""
        one = marker("5", when or "2026-11-21T08:00")
        found = result(node, record(one), kind="exclusion")
        assert found.effect is Effect.AGAINST
        assert found.until is not None
        shown = date.fromordinal(found.until).isoformat()
        assert shown >= last


def test_a_window_with_a_running_event_never_ends_by_time() -> None:
    window = tree.Window(match="overlaps", from_="as-of - 7 days")
    node = tree.Any(of=of(SICK, window=window))
    found = result(node, record(condition(worlds.DISEASE, "2026-01-01")), kind="exclusion")
    assert found.until is None
    hours = tree.Window(match="overlaps", from_="as-of - 24 hours")
    found = result(
        tree.Any(of=of(SICK, window=hours)),
        record(condition(worlds.DISEASE, "2026-01-01")),
        kind="exclusion",
    )
    assert found.until is None


def test_edges_are_read_or_refused() -> None:
    assert Edge.parse("onset.start + 14 days").point == "start"
    with pytest.raises(ValueError, match="not an edge"):
        Edge.parse("Onset")


def test_month_ends_are_counted_as_the_window_counts_them() -> None:
    node = tree.Any(of=of(LABS, window=tree.Window(from_="as-of - 9 months")))
    found = result(node, record(marker("5", "2026-02-28")), kind="exclusion")
    assert found.until == date(2026, 11, 30).toordinal()


def test_a_span_that_ended_before_the_window_counts_as_pulled() -> None:
    node = tree.Any(of=of(LABS, window=tree.Window(from_="as-of - 7 days")))
    whole = record(incomplete=(Kind.OBSERVATION,))
    rows = tuple(msgspec.structs.replace(row, date_to=worlds.TODAY - 30) for row in whole.retrieved)
    patient = msgspec.structs.replace(whole, retrieved=rows)
    assert result(node, patient).reason is Reason.NEVER_RECORDED
    far = tree.Any(of=of(LABS, window=tree.Window(from_="as-of - 60 days")))
    assert result(far, patient).reason is Reason.NOT_RETRIEVED


def test_a_change_in_a_window_that_cannot_be_is_none() -> None:
    window = tree.Window(from_="bout.start", without_anchor="empty")
    node = tree.Rise(of=of(LABS, window=window), by="0.5 mg/dL", within="48 hours")
    assert judged(node, marker("1", "2026-11-20")) == (F, None)
    latest = tree.Latest(of=of(LABS, window=window), test=HIGH)
    assert judged(latest, marker("1", "2026-11-20")) == (F, None)


def test_a_change_of_an_unbounded_value_is_open() -> None:
    facts = (
        marker("1", "2026-11-20T08:00", value_lo=None),
        marker("1.2", "2026-11-21T07:00", value_hi=None),
    )
    assert judged(RISE, *facts) == (U, Reason.DATE_MISSING_OR_TOO_COARSE)


def test_of_the_first_two_a_sure_failure_is_enough() -> None:
    node = tree.Earliest(of=LABS, test=HIGH, n=2)
    facts = (marker("4", "2026-11-01"), marker("6", "2026-11-10"), marker("7", "2026-11-10"))
    assert judged(node, *facts) == (F, None)


def test_pairs_of_doubtful_events_give_the_first_reason() -> None:
    node = tree.Paired(first=SICK, second=DRUGS, within="7 days")
    doubtful = msgspec.structs.replace(
        ILL, standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.UNCONFIRMED
    )
    assert judged(node, doubtful, DRUG) == (U, Reason.UNCONFIRMED)
    far = fact(Kind.MEDICATION, worlds.DRUG, "2026-01-01")
    assert judged(node, doubtful, far) == (F, None)
    assert judged(node, ILL, far) == (F, None)
    assert judged(node, ILL, DRUG) == (T, None)


def test_where_a_reason_is_settled_may_be_said_by_reason_or_by_question() -> None:
    study = worlds.study_of(tree.Any(of=SICK))
    by_reason = with_first(study, settled_when={"never-recorded": "bedside"})
    assert judged_study(by_reason).settled == "bedside"
    asks = with_first(worlds.study_of(ASK), settled_when={"q": "investigator"})
    assert judged_study(asks).settled == "investigator"
    late = with_first(study, settled="consent-visit")
    unsure = msgspec.structs.replace(
        ILL, standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.UNCONFIRMED
    )
    assert judged_study(late, unsure).settled == "record"


def test_what_was_not_pulled_whole_keeps_every_node_open() -> None:
    one = marker("6", "2026-11-20")
    nodes: tuple[tree.Node, ...] = (
        RISE,
        tree.Lasts(of=LABS, at_least="2 days"),
        tree.Latest(of=LABS, test=HIGH),
        tree.Any(of=of(LABS, window=tree.Window(to="as-of - 60 days"))),
    )
    for node in nodes:
        assert result(node, record(one, incomplete=(Kind.OBSERVATION,))).reason is (
            Reason.NOT_RETRIEVED
        )


def test_an_empty_pull_that_was_cut_short_is_not_silence() -> None:
    nothing = record(incomplete=(Kind.OBSERVATION,))
    assert result(tree.Latest(of=LABS, test=HIGH), nothing).reason is Reason.NOT_RETRIEVED


def test_what_only_may_be_in_the_window_keeps_a_selection_open() -> None:
    recent = of(LABS, window=tree.Window(from_="as-of - 7 days"))
    node = tree.Latest(of=recent, test=HIGH)
    assert judged(node, marker("6", "2026-11")) == (U, Reason.DATE_MISSING_OR_TOO_COARSE)
    assert judged(node, marker("6", "2026-10")) == (U, Reason.NEVER_RECORDED)
    unusable = marker(
        "6", "2026-11", standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.PENDING
    )
    assert judged(node, unusable) == (U, Reason.PENDING)


def test_something_lasting_that_is_nowhere_recorded_is_silence() -> None:
    node = tree.Lasts(of=SICK, at_least="2 days")
    assert judged(node) == (U, Reason.NEVER_RECORDED)
    assert judged(node, policy="assume-absent") == (F, None)
    strange = condition(worlds.STRANGE, "2026-01-01")
    assert judged(node, strange) == (U, Reason.CODE_NOT_MAPPED)


def test_where_the_episodes_are_not_known_earlier_ones_may_be_meant() -> None:
    node = tree.Any(of=of(SICK, not_in_earlier="bout"))
    patient = record(ILL, incomplete=(Kind.OBSERVATION,))
    assert result(node, patient).reason is Reason.DATE_MISSING_OR_TOO_COARSE


def test_who_is_known_here_for_how_long_ends_with_time() -> None:
    node = tree.Any(of=of(SICK, window=tree.Window(from_="as-of - 7 days")))
    visits = (
        condition(worlds.SISTER, "2026-01-01", encounter="Encounter/a"),
        condition(worlds.SISTER, "2026-11-10", encounter="Encounter/b"),
    )
    of_two = worlds.judged(
        worlds.compiled(node, policy="assume-absent-if-known-here"), record(*visits)
    )
    assert (of_two.results[0].truth, of_two.results[0].assumed) == (F, True)
    one = worlds.judged(
        worlds.compiled(node, policy="assume-absent-if-known-here"), record(visits[1])
    )
    assert one.results[0].reason is Reason.NEVER_RECORDED
    assert one.next_date == date(2026, 12, 11).toordinal()


def test_stays_that_touch_are_one_admission() -> None:
    def stay(start: str, end: str) -> Fact:
        return fact(Kind.ENCOUNTER, Code(ACT_CODE, "IMP"), start, end=end)

    node = tree.Any(of=of(LABS, window=tree.Window(from_="admission")))
    one = marker("5", "2026-11-05")
    joined = (stay("2026-11-01", "2026-11-10"), stay("2026-11-10", "running"))
    assert judged(node, one, *joined) == (T, None)
    apart = (stay("2026-11-01", "2026-11-06"), stay("2026-11-10", "running"))
    assert judged(node, one, *apart) == (U, Reason.NEVER_RECORDED)
    over = (stay("2026-11-01", "2026-11-06"),)
    assert judged(node, one, *over) == (U, Reason.NEVER_RECORDED)


# -------------------------------------------------------------------------------- anchors


def around(name: str, **more: Any) -> tree.Node:
    return tree.Any(of=of(SICK, window=tree.Window(from_=name, **more)))


def test_an_event_anchor_is_the_earliest_event_or_the_latest() -> None:
    drugs = (
        fact(Kind.MEDICATION, worlds.DRUG, "2026-10-01"),
        fact(Kind.MEDICATION, worlds.DRUG, "2026-11-01"),
    )
    node = around("drug-start")
    assert judged(node, *drugs, condition(worlds.DISEASE, "2026-10-15")) == (T, None)
    latest = msgspec.structs.replace(worlds.DRUG_START, pick="latest")
    study = msgspec.structs.replace(worlds.study_of(node), anchors=(worlds.EPISODE, latest))
    compiled = compile_study(study, worlds.MAPPINGS)
    patient = record(*drugs, condition(worlds.DISEASE, "2026-10-15"))
    found = judge(compiled, compiled.case(patient, AS_OF)).results[0]
    assert found.truth is U


def test_an_anchor_that_only_may_have_happened_is_open() -> None:
    doubtful = fact(
        Kind.MEDICATION, worlds.DRUG, "2026-10-01",
        standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.PENDING,
    )  # fmt: skip
    found = judged(around("drug-start"), doubtful, condition(worlds.DISEASE, "2026-10-15"))
    assert found == (U, Reason.DATE_MISSING_OR_TOO_COARSE)


def test_an_anchor_that_was_not_pulled_or_stated_absent() -> None:
    sick = condition(worlds.DISEASE, "2026-10-15")
    missing = record(sick, missing=(Kind.MEDICATION,))
    assert result(around("drug-start"), missing).reason is Reason.NOT_RETRIEVED
    denied = fact(Kind.MEDICATION, Code(SNOMED, "x"), "2026-10-01", recorded_absence=True)
    empty = around("drug-start", without_anchor="empty")
    assert judged(empty, sick, denied) == (F, None)


def test_an_anchor_of_events_that_all_fail_their_test_never_happened() -> None:
    anchor = msgspec.structs.replace(worlds.DRUG_START, of=of(SICK, clinical_status=("inactive",)))
    node = around("drug-start", without_anchor="empty")
    study = msgspec.structs.replace(worlds.study_of(node), anchors=(worlds.EPISODE, anchor))
    compiled = compile_study(study, worlds.MAPPINGS)
    patient = record(condition(worlds.DISEASE, "2026-10-15"))
    assert judge(compiled, compiled.case(patient, AS_OF)).results[0].truth is F


def test_a_person_sets_an_anchor() -> None:
    said = fact(Kind.ANSWER, anchor_code("toy", "drug-start"), "2026-10-10")
    sick = condition(worlds.DISEASE, "2026-10-15")
    assert judged(around("drug-start"), sick, said) == (T, None)
    bout = fact(Kind.ANSWER, anchor_code("toy", "bout"), "2026-10-10")
    assert judged(around("bout"), sick, bout) == (T, None)
    found = judged(tree.InEpisode(anchor="bout"), bout)
    assert found == (T, None)


def test_an_episode_ends_only_when_low_values_last() -> None:
    run = (
        marker("6", "2026-07-01"), marker("1", "2026-08-01"), marker("1", "2026-09-05"),
        marker("1", "2026-10-10"),
    )  # fmt: skip
    node = tree.InEpisode(anchor="bout")
    assert judged(node, *run) == (F, None)
    assert judged(node, *run[:2]) == (T, None)
    again = (*run, marker("6", "2026-11-20"))
    earlier = tree.Any(of=of(LABS, value=HIGH, not_in_earlier="bout"))
    assert judged(earlier, *again) == (T, None)
    coarse = marker("6", "2026", source="x/coarse")
    assert judged(earlier, *run, coarse)[0] is U


# ------------------------------------------------------------------------------ questions


def said(code: Code, when: str, **more: Any) -> Fact:
    return fact(
        Kind.ANSWER,
        question_code("toy", "q"),
        when,
        value_concepts=(code,),
        set_by="person",
        **more,
    )


ASK = tree.Ask(question="q")
BY_DATA = tree.Ask(
    question="q", yes_if=tree.Any(of=SICK), no_if=tree.Any(of=DRUGS), raised_by=tree.Any(of=LABS)
)
DRUG = fact(Kind.MEDICATION, worlds.DRUG, "2026-11-20")
ILL = condition(worlds.DISEASE, "2026-11-20")
ANSWERS: dict[str, tuple[tree.Node, list[Fact], tuple[Truth, Reason | None]]] = {
    "nobody asked": (ASK, [], (U, Reason.NEEDS_HUMAN)),
    "yes": (ASK, [said(YES, "2026-11-20")], (T, None)),
    "no": (ASK, [said(NO, "2026-11-20")], (F, None)),
    "not known": (ASK, [said(NOT_KNOWN, "2026-11-20")], (U, Reason.NEEDS_HUMAN)),
    "the newest counts": (ASK, [said(NO, "2026-11-20"), said(YES, "2026-11-21")], (T, None)),
    "two at once": (
        ASK, [said(NO, "2026-11-20"), said(YES, "2026-11-20", source="x")], (U, Reason.CONFLICT),
    ),
    "newer data against it": (
        BY_DATA, [said(NO, "2026-11-01"), ILL], (U, Reason.CONFLICT),
    ),
    "older data against it": (BY_DATA, [said(NO, "2026-11-21"), ILL], (F, None)),
    "data say yes": (BY_DATA, [ILL], (T, None)),
    "data say no": (BY_DATA, [DRUG], (F, None)),
    "data say both": (BY_DATA, [ILL, DRUG], (U, Reason.CONFLICT)),
    "raised": (BY_DATA, [marker("1", "2026-11-20")], (U, Reason.NEEDS_HUMAN)),
    "silence": (BY_DATA, [], (U, Reason.NEVER_RECORDED)),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_persons_answer_comes_first_then_what_data_may_say(name: str) -> None:
    node, facts, expected = ANSWERS[name]
    assert judged(node, *facts) == expected


@pytest.mark.parametrize(
    ("valid", "when", "truth"),
    [
        ("7 days", "2026-11-15", T), ("7 days", "2026-11-14", U),
        ("24 hours", "2026-11-21T08:00", T), ("24 hours", "2026-11-21T07:00", U),
    ],
)  # fmt: skip
def test_an_answer_holds_as_long_as_its_question_says(valid: str, when: str, truth: Truth) -> None:
    study = worlds.study_of(ASK)
    question = msgspec.structs.replace(study.questions[0], valid_for=valid)
    compiled = compile_study(msgspec.structs.replace(study, questions=(question,)), worlds.MAPPINGS)
    found = judge(compiled, compiled.case(record(said(YES, when)), AS_OF))
    assert found.results[0].truth is truth
    assert found.results[0].reason is (None if truth is T else Reason.STALE)
    assert (found.next_date is None) is (truth is U)


# ----------------------------------------------------------------------- logic, application


def test_at_least_counts_kleene_truths() -> None:
    yes, no, open_ = tree.Any(of=SICK), tree.Not(of=tree.Any(of=SICK)), ASK
    assert judged(tree.AtLeast(n=1, of=(yes, open_)), ILL) == (T, None)
    assert judged(tree.AtLeast(n=2, of=(yes, open_)), ILL) == (U, Reason.NEEDS_HUMAN)
    assert judged(tree.AtLeast(n=2, of=(yes, no)), ILL) == (F, None)


def with_first(study: Study, **more: Any) -> Study:
    first = msgspec.structs.replace(study.criteria[0], **more)
    return msgspec.structs.replace(study, criteria=(first, *study.criteria[1:]))


def judged_study(study: Study, *facts: Fact) -> CriterionResult:
    compiled = compile_study(study, worlds.MAPPINGS)
    return judge(compiled, compiled.case(record(*facts), AS_OF)).results[0]


@pytest.mark.parametrize(
    ("kind", "facts", "effect"),
    [
        ("inclusion", [], Effect.OPEN),
        ("inclusion", [sex(MALE)], Effect.NOT_APPLICABLE),
        ("exclusion", [sex(MALE)], Effect.NOT_APPLICABLE),
        ("exclusion", [sex(FEMALE), ILL], Effect.AGAINST),
        ("exclusion", [ILL], Effect.OPEN),
        ("inclusion", [ILL], Effect.FITS),
    ],
)
def test_a_criterion_applies_or_not_or_perhaps(
    kind: str, facts: list[Fact], effect: Effect
) -> None:
    study = with_first(
        worlds.study_of(tree.Any(of=SICK), kind=kind), applies_if=tree.Sex(is_="female")
    )
    assert judged_study(study, *facts).effect is effect


def test_passing_if_makes_an_answer_against_pass() -> None:
    study = worlds.study_of(tree.Any(of=SICK), kind="exclusion")
    lasting = with_first(study, lasts="lasting", passing_if=tree.Any(of=DRUGS))
    assert judged_study(lasting, ILL).lasting
    assert not judged_study(lasting, ILL, DRUG).lasting


def test_facts_beside_never_decide() -> None:
    study = with_first(worlds.study_of(tree.Any(of=SICK)), beside=(DRUGS,))
    found = judged_study(study, ILL, DRUG)
    assert [item.why for item in found.evidence] == ["", "beside"]


def test_a_signed_reading_is_confirmed_while_its_hash_holds() -> None:
    sign = SignOff(name="A", role="investigator", date="2026-01-01", hash="h")
    study = with_first(worlds.study_of(tree.Any(of=SICK)), sign_off=sign)
    for hash_, confirmed in (("h", True), ("x", False), ("", False)):
        compiled = compile_study(study, worlds.MAPPINGS, hashes={"C1": hash_})
        found = judge(compiled, compiled.case(record(ILL), AS_OF)).results[0]
        assert found.confirmed is confirmed


def test_an_open_criterion_of_a_person_says_so() -> None:
    assert result(ASK, record()).verdict is Verdict.PERSON


def test_an_entered_value_counts_like_one_of_the_record() -> None:
    typed = msgspec.structs.replace(marker("6", "2026-11-20"), kind=Kind.ENTERED, set_by="person")
    assert judged(tree.Latest(of=LABS, test=HIGH), typed) == (T, None)


# --------------------------------------------------------------------------------- scores


def holds(name: str, key: str) -> bool:
    return any(item.name == name and item.holds(key) for item in worlds.CODE_SETS)


ITEM = Item(
    name="marker", lo=1, hi=3,
    tables=(
        StepTable(printed="p", unit="mg/dL", steps=(
            Step(upper=Decimal(2), closed=False, points=1),
            Step(upper=Decimal(3), closed=True, points=2),
            Step(upper=None, closed=False, points=3))),
        StepTable(printed="p", unit="umol/L", steps=(
            Step(upper=Decimal(35), closed=False, points=1),
            Step(upper=Decimal(50), closed=False, points=2))),
    ),
    coded=(CodedPoints(codes="severe", lo=3, hi=3), CodedPoints(codes="disease", lo=2, hi=3)),
)  # fmt: skip
POINTS: dict[str, tuple[Fact, tuple[int, int] | None]] = {
    "below": (marker("1.9", "2026-11-20"), (1, 1)),
    "at a closed step": (marker("3", "2026-11-20"), (2, 2)),
    "above": (marker("3.1", "2026-11-20"), (3, 3)),
    "in the printed unit": (marker("2", "2026-11-20", reported=("34", "umol/L")), (1, 1)),
    "in no printed unit": (marker("1.9", "2026-11-20", reported=("19", "mg/L")), (1, 1)),
    "beyond the last step": (marker("9", "2026-11-20", reported=("90", "umol/L")), (2, 2)),
    "less than": (marker("2.5", "2026-11-20", value_lo=None, reported_lo=None), (1, 2)),
    "more than": (marker("2.5", "2026-11-20", value_hi=None, reported_hi=None), (2, 3)),
    "coded exactly": (condition(worlds.SEVERE, "2026-11-20"), (3, 3)),
    "the first line that fits": (
        condition(worlds.DISEASE, "2026-11-20", value_concepts=(worlds.SEVERE,)), (3, 3),
    ),
    "coded widely": (condition(worlds.DISEASE, "2026-11-20"), (2, 3)),
    "neither": (condition(worlds.SISTER, "2026-11-20"), None),
    "a foreign unit": (lab(worlds.MARKER, "3", "2026-11-20", unit="g"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_points_are_the_range_of_what_a_fact_may_be(name: str) -> None:
    one, expected = POINTS[name]
    assert points(ITEM, one, holds) == expected


SCORE = Calculator(
    name="s", version="1", title="Score", source="invented",
    items=(ITEM, Item(name="other", lo=1, hi=3, coded=(CodedPoints(codes="disease", lo=2, hi=2),))),
)  # fmt: skip


def score(**more: Any) -> tree.Score:
    fields: dict[str, Any] = {
        "calculator": "s",
        "inputs": (
            tree.ScoreInput(item="marker", of=(LABS, DRUGS)),
            tree.ScoreInput(item="other", of=(SICK,)),
        ),
        "test": tree.ValueTest(more_than=("4",)),
    }
    return tree.Score(**{**fields, **more})


def scored(node: tree.Score, patient: PatientRecord) -> CriterionResult:
    compiled = compile_study(worlds.study_of(node), worlds.MAPPINGS, calculators={"s": SCORE})
    return judge(compiled, compiled.case(patient, AS_OF)).results[0]


RECORDED = tree.Events(kind=(Kind.OBSERVATION,), codes="sister")


def said_score(value: str, **more: Any) -> Fact:
    return lab(worlds.SISTER, value, "2026-11-20", unit="1", **more)


SCORES: dict[str, tuple[dict[str, Any], list[Fact], tuple[Truth, Reason | None]]] = {
    "all there": ({}, [marker("3.5", "2026-11-20"), ILL], (T, None)),
    "too low": ({}, [marker("1", "2026-11-20"), ILL], (F, None)),
    "one missing and in doubt": ({}, [ILL], (U, Reason.NEVER_RECORDED)),
    "one missing, decided all the same": (
        {"test": tree.ValueTest(more_than=("1",))}, [ILL], (T, None),
    ),
    "too old beside the newest": (
        {"spread": "7 days"}, [marker("3.5", "2026-10-01"), ILL], (U, Reason.STALE),
    ),
    "close together": ({"spread": "7 days"}, [marker("3.5", "2026-11-18"), ILL], (T, None)),
    "nothing at all": ({"spread": "7 days"}, [], (U, Reason.NEVER_RECORDED)),
    "an unusable item": (
        {}, [marker("3.5", "2026-11-20", standing=Standing.MAKES_UNKNOWN,
                    standing_reason=Reason.PENDING), ILL],
        (U, Reason.PENDING),
    ),
    "an item of no points": (
        {}, [lab(worlds.MARKER, "3", "2026-11-20", unit="g"), ILL],
        (U, Reason.RECORDED_UNUSABLE),
    ),
    "recorded and alone": ({"recorded": RECORDED}, [said_score("5")], (T, None)),
    "recorded and agreeing": (
        {"recorded": RECORDED}, [said_score("5"), marker("3.5", "2026-11-20"), ILL], (T, None),
    ),
    "recorded and contradicting": (
        {"recorded": RECORDED}, [said_score("2"), marker("3.5", "2026-11-20"), ILL],
        (U, Reason.CONFLICT),
    ),
    "recorded and pending": (
        {"recorded": RECORDED},
        [said_score("2", standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.PENDING),
         marker("3.5", "2026-11-20"), ILL],
        (T, None),
    ),
    "recorded twice": (
        {"recorded": RECORDED}, [said_score("2"), said_score("5", source="x")],
        (U, Reason.CONFLICT),
    ),
    "recorded on no sure date": (
        {"recorded": of(RECORDED, window=tree.Window(from_="as-of - 7 days"))},
        [lab(worlds.SISTER, "5", "2026-11", unit="1"), ILL], (U, Reason.CODE_NOT_MAPPED),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_an_interval_over_all_completions(name: str) -> None:
    fields, facts, expected = SCORES[name]
    found = scored(score(**fields), record(*facts))
    assert (found.truth, found.reason) == expected


def test_an_item_of_a_kind_that_was_not_pulled_says_so() -> None:
    patient = record(ILL, missing=(Kind.OBSERVATION, Kind.MEDICATION))
    assert scored(score(), patient).reason is Reason.NOT_RETRIEVED


@pytest.mark.parametrize("name", ["child-pugh", "child-pugh-cholestatic"])
def test_child_pugh_over_all_completions_is_the_sum_of_its_ranges(name: str) -> None:
    found = {c.name: c for c in load_calculators(mappings_dir() / "calculators")}[name]
    names = [item.name for item in found.items]
    assert len(names) == 5
    for mask in itertools.product((None, 1, 2, 3), repeat=5):
        given = {n: None if p is None else (p, p) for n, p in zip(names, mask, strict=True)}
        completions = [
            sum(choice)
            for choice in itertools.product(*((1, 2, 3) if p is None else (p,) for p in mask))
        ]
        made = total(found, given)
        assert (made.lo, made.hi) == (min(completions), max(completions))


def test_a_pair_is_false_where_one_side_is_recorded_and_none_of_it_a_member() -> None:
    """Found by a property: the other side's silence made it unknown, less data made it false."""
    low = of(LABS, value=tree.ValueTest(less_than=("5 mg/dL",)))
    node = tree.Paired(first=SICK, second=low, within="7 days")
    assert judged(node, marker("6", "2026-11-20")) == (F, None)
