"""Many studies at once: the same outcomes as each study alone, and only what can matter judged."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import site_worlds
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapter.decide.outcome import outcome_of
from fhir_adapter.evaluate.many import ManyStudies, SiteStudy
from fhir_adapter.evaluate.record import judge
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.code import Code
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import Kind, PatientRecord, Retrieved
from fhir_adapter.model.study import Gate
from fhir_adapter.model.vocabulary import ACT_CODE
from fhir_adapter.screening import GATES, OUTCOMES, outcomes

import worlds
from facts_for_tests import AS_OF, born, fact, lab, record

LABS = tree.Events(kind=(Kind.OBSERVATION,), codes="marker")
DISEASE = tree.Any(of=tree.Events(kind=(Kind.CONDITION,), codes="disease"))


def alone(
    studies: list[SiteStudy], of: PatientRecord, own: list[frozenset[str]] | None = None
) -> list[Outcome]:
    """Each study compiled, judged and decided by itself."""
    found: list[Outcome] = []
    for number, study in enumerate(studies):
        names = own[number] if own else frozenset[str]()
        case = study.compiled.case(of, AS_OF, names)
        found.append(outcome_of(study.study, judge(study.compiled, case).results))
    return found


def together(
    studies: list[SiteStudy], of: PatientRecord, own: list[frozenset[str]] | None = None
) -> list[Outcome]:
    return outcomes(ManyStudies(studies, OUTCOMES).judge(of, AS_OF, own or ()))


FEWER = settings(max_examples=settings().max_examples // 4)
"""An example is a site with several studies: worth many of the others."""


@pytest.mark.property
@FEWER
@given(site_worlds.sites(), site_worlds.records(), st.integers(0, 6))
@pytest.mark.slow
def test_all_studies_at_once_are_each_study_alone(
    studies: list[SiteStudy], of: PatientRecord, mine: int
) -> None:
    own = [frozenset((site_worlds.OWN,) if number < mine else ()) for number in range(len(studies))]
    assert together(studies, of, own) == alone(studies, of, own)


@pytest.mark.property
@FEWER
@given(site_worlds.sites(), st.lists(site_worlds.records(), min_size=2, max_size=4))
@pytest.mark.slow
def test_what_one_patient_taught_about_silence_holds_for_the_next(
    studies: list[SiteStudy], patients: list[PatientRecord]
) -> None:
    many = ManyStudies(studies, OUTCOMES)
    for of in patients:
        assert outcomes(many.judge(of, AS_OF)) == alone(studies, of)


@pytest.mark.property
@FEWER
@given(site_worlds.sites(), site_worlds.records(), st.data())
@pytest.mark.slow
def test_judging_only_what_a_change_can_touch_is_judging_everything(
    studies: list[SiteStudy], of: PatientRecord, data: st.DataObject
) -> None:
    many = ManyStudies(studies, OUTCOMES)
    before = many.judge(of, AS_OF)
    for _ in range(2):
        after = data.draw(site_worlds.changes(before.case.record))
        again = many.again(before, after)
        assert outcomes(again) == outcomes(many.judge(after, AS_OF)) == alone(studies, after)
        was, now = outcomes(before), outcomes(again)
        changed = {number for number, outcome in enumerate(now) if outcome is not was[number]}
        assert changed <= set(many.touched(before, after))
        before = again


@pytest.mark.property
@FEWER
@given(site_worlds.sites(), site_worlds.records(), st.integers(0, 6))
@pytest.mark.slow
def test_the_bound_of_a_study_is_never_below_what_judging_it_gives(
    studies: list[SiteStudy], of: PatientRecord, mine: int
) -> None:
    own = [frozenset((site_worlds.OWN,) if number < mine else ()) for number in range(len(studies))]
    for rule in (OUTCOMES, GATES):
        many = ManyStudies(studies, rule)
        assert (many.at_most(of, AS_OF, own).lowest >= many.judge(of, AS_OF, own).lowest).all()


@pytest.mark.property
@FEWER
@given(site_worlds.sites(), site_worlds.records(), st.integers(0, 6))
@pytest.mark.slow
def test_a_study_judged_in_the_case_of_all_is_judged_as_in_its_own(
    studies: list[SiteStudy], of: PatientRecord, mine: int
) -> None:
    own = [frozenset((site_worlds.OWN,) if number < mine else ()) for number in range(len(studies))]
    bounds = ManyStudies(studies, OUTCOMES).at_most(of, AS_OF, own)
    for number, study in enumerate(studies):
        shared = bounds.case_of(number)
        alone = study.compiled.case(of, AS_OF, own[number])
        assert shared is None or judge(study.compiled, shared) == judge(study.compiled, alone)


def gated(node: tree.Node, *, policy: str = "unknown", **more: object) -> SiteStudy:
    study = worlds.study_of(node, policy=policy)
    gate = Gate(if_open="hold")
    criteria = tuple(msgspec.structs.replace(one, gate=gate) for one in study.criteria)
    study = msgspec.structs.replace(study, criteria=criteria)
    return SiteStudy(study, worlds.MAPPINGS, **more)  # type: ignore[arg-type] # what each test gives


def test_equal_criteria_of_two_studies_are_one_line() -> None:
    named = gated(DISEASE)
    study = msgspec.structs.replace(named.study, id="other")
    many = ManyStudies([named, SiteStudy(study, worlds.MAPPINGS), gated(tree.Any(of=LABS))], GATES)
    assert many.distinct == 2


def test_a_compiled_study_is_taken_as_it_is() -> None:
    compiled = gated(DISEASE).compiled
    taken = SiteStudy.of(compiled)
    assert taken.compiled is compiled
    assert together([taken], record(born("1980-01-01"))) == [Outcome.NOT_PROPOSED]


def test_silence_is_negated_where_a_line_negates_it() -> None:
    studies = [
        gated(tree.Not(of=DISEASE), policy=policy) for policy in ("assume-absent", "unknown")
    ]
    of = record(born("1980-01-01"))
    assert together(studies, of) == alone(studies, of) == [Outcome.CANDIDATE, Outcome.NOT_PROPOSED]


def test_a_window_with_values_is_not_answered_by_the_silence_of_another() -> None:
    def at_least(days: int) -> SiteStudy:
        of = tree.Events(kind=(Kind.OBSERVATION,), codes="marker",
                         window=tree.Window(from_=f"as-of - {days} days"))  # fmt: skip
        return gated(tree.Latest(of=of, test=tree.ValueTest(at_least=("5 mg/dL",))))

    studies = [at_least(2), at_least(30)]
    many = ManyStudies(studies, OUTCOMES)
    recent, old, none = (
        record(born("1980-01-01"), *(lab(worlds.MARKER, "6", day, unit="mg/dL") for day in days))
        for days in (("2026-11-21",), ("2026-11-01",), ())
    )
    for of in (old, recent, none, old):
        assert outcomes(many.judge(of, AS_OF)) == alone(studies, of)


def test_becoming_known_here_touches_what_rests_on_it() -> None:
    studies = [gated(tree.Not(of=DISEASE), policy="assume-absent-if-known-here"), gated(DISEASE)]
    many = ManyStudies(studies, OUTCOMES)
    stranger = record(born("1980-01-01"), fact(Kind.CONDITION, worlds.SISTER, "2026-01-01"))
    known = record(
        *stranger.facts, fact(Kind.CONDITION, worlds.SISTER, "2025-01-01", encounter="Encounter/1")
    )
    before = many.judge(stranger, AS_OF)
    assert outcomes(before) == alone(studies, stranger)
    assert many.touched(before, known) == [0]
    assert outcomes(many.again(before, known)) == alone(studies, known)
    assert outcomes(before) != alone(studies, known)


def test_a_fact_that_no_line_reads_touches_no_study() -> None:
    many = ManyStudies([gated(DISEASE)], OUTCOMES)
    of = record(born("1980-01-01"))
    more = record(*of.facts, fact(Kind.IMMUNIZATION, worlds.STRANGE, "2026-01-01"))
    assert many.touched(many.judge(of, AS_OF), more) == []


def test_studies_that_mean_different_codes_by_one_name_keep_apart() -> None:
    sets = dict(worlds.MAPPINGS.by_name)
    other = gated(tree.Any(of=LABS), code_sets={**sets, "marker": sets["disease"]})
    studies = [gated(tree.Any(of=LABS)), other]
    of = record(born("1980-01-01"), lab(worlds.MARKER, "5", "2026-11-20", unit="mg/dL"))
    found = together(studies, of)
    assert found == alone(studies, of) == [Outcome.CANDIDATE, Outcome.NOT_PROPOSED]


def test_taking_part_in_a_study_itself_is_no_other_trial() -> None:
    node = tree.Any(of=tree.Events(kind=(Kind.STUDY_PARTICIPATION,)))
    taking_part = fact(Kind.STUDY_PARTICIPATION, None, "2026-11-01", study=site_worlds.OWN)
    of = record(born("1980-01-01"), taking_part)
    studies = [gated(node), gated(node)]
    own = [frozenset((site_worlds.OWN,)), frozenset[str]()]
    found = together(studies, of, own)
    assert found == alone(studies, of, own) == [Outcome.NOT_PROPOSED, Outcome.CANDIDATE]
    bounds = ManyStudies(studies, OUTCOMES).at_most(of, AS_OF, own)
    assert bounds.case_of(0) is None, "its own study means something else to it"
    assert bounds.case_of(1) is not None


def test_another_admission_touches_what_hangs_on_it() -> None:
    since = tree.Window(from_="admission - 1 day")
    of = tree.Events(
        kind=(Kind.OBSERVATION,), codes="marker", window=since,
        if_absent="assume-absent-if-known-here",
    )  # fmt: skip
    studies = [gated(tree.Any(of=of)), gated(DISEASE)]
    many = ManyStudies(studies, OUTCOMES)
    at_home = record(
        born("1980-01-01"),
        lab(worlds.MARKER, "5", "2026-11-18", unit="mg/dL"),
        fact(Kind.ENCOUNTER, None, "2026-11-18"),
    )
    stay = fact(Kind.ENCOUNTER, Code(ACT_CODE, "IMP"), "2026-11-18", end="running")
    inside = record(*at_home.facts, stay)
    before = many.judge(at_home, AS_OF)
    assert many.touched(before, inside) == [0]
    assert outcomes(many.again(before, inside)) == alone(studies, inside)
    assert outcomes(before) != alone(studies, inside)


def test_a_pull_that_is_cut_short_speaks_differently_of_each_window() -> None:
    def drug(days: int) -> SiteStudy:
        window = tree.Window(match="overlaps", from_=f"as-of - {days} days")
        of = tree.Events(kind=(Kind.MEDICATION,), codes="drug", window=window)
        return gated(tree.Any(of=of), policy="assume-absent")

    studies = [drug(7), drug(300)]
    of = record(born("1980-01-01"), incomplete=(Kind.MEDICATION,))
    cut = Retrieved(patient="p", kind=Kind.MEDICATION, complete=False, date_to=worlds.TODAY - 100)
    rest = tuple(row for row in of.retrieved if row.kind is not Kind.MEDICATION)
    of = msgspec.structs.replace(of, retrieved=(*rest, cut))
    assert together(studies, of) == alone(studies, of)


def test_studies_that_define_an_anchor_differently_share_no_line_over_it() -> None:
    window = tree.Window(from_="bout.start", to="bout.start + 10 days")
    node = tree.Any(of=tree.Events(kind=(Kind.CONDITION,), codes="disease", window=window))
    one = gated(node)
    study = msgspec.structs.replace(
        one.study, anchors=(site_worlds.OTHER_BOUT, worlds.DRUG_START), id="other"
    )
    studies = [one, SiteStudy(study, worlds.MAPPINGS), gated(node)]
    of = record(
        born("1980-01-01"),
        lab(worlds.MARKER, "1", "2026-10-01", unit="mg/dL"),
        lab(worlds.MARKER, "9", "2026-11-01", unit="mg/dL"),
        fact(Kind.CONDITION, worlds.DISEASE, "2026-11-05", end="running"),
    )
    many = ManyStudies(studies, OUTCOMES)
    assert many.distinct == 2
    assert outcomes(many.judge(of, AS_OF)) == alone(studies, of)
    earlier = record(*of.facts, lab(worlds.MARKER, "6", "2026-10-20", unit="mg/dL"))
    assert many.touched(many.judge(of, AS_OF), earlier) == [0, 1, 2]


def one_of_each() -> list[SiteStudy]:
    """Every sort of line, alone in its study; and one study with a pair that reopens."""
    (base,) = gated(tree.Not(of=DISEASE), policy="assume-absent").study.criteria
    rules = [msgspec.structs.replace(base, id="C0", test=node) for node in site_worlds.PLAIN]
    more: tuple[dict[str, Any], ...] = (
        {"applies_if": DISEASE}, {"gate": "none", "lasts": "passing"}, {"gate": "none"},
        {"outside_documents": "reopen"}, {"passing_if": tree.Alive(), "gate": "none"},
    )  # fmt: skip
    rules += [msgspec.structs.replace(base, id="C0", **fields) for fields in more]
    studies = [gated(DISEASE).study for _ in rules]
    made = [
        SiteStudy(msgspec.structs.replace(one, criteria=(rule,), id=f"toy/{n}"), worlds.MAPPINGS)
        for n, (one, rule) in enumerate(zip(studies, rules, strict=True))
    ]
    criteria = (msgspec.structs.replace(base, id="C0"),)
    paired = msgspec.structs.replace(
        studies[0], criteria=criteria, pairs=(site_worlds.REOPENS,), id="toy"
    )
    return [*made, SiteStudy(paired, worlds.MAPPINGS)]


def test_every_sort_of_line_and_of_fact_gives_what_it_gives_alone() -> None:
    studies = one_of_each()
    many = ManyStudies(studies, OUTCOMES)
    facts = [born("1980-05-01")]
    before = many.judge(record(*facts), AS_OF)
    for extra in site_worlds.EXTRAS:
        facts.append(extra)
        after = record(*facts)
        again = many.again(before, after)
        assert outcomes(again) == outcomes(many.judge(after, AS_OF)) == alone(studies, after)
        assert (many.at_most(after, AS_OF).lowest >= again.lowest).all()
        before = again
