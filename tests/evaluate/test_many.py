"""Many studies at once: the same outcomes as each study alone, and only what can matter judged."""

from __future__ import annotations

import pytest
import site_worlds
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.decide.outcome import outcome_of
from fhir_adapter.evaluate.many import ManyStudies, SiteStudy
from fhir_adapter.evaluate.record import judge
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.screening import OUTCOMES, outcomes

from facts_for_tests import AS_OF

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


@pytest.mark.property
@given(site_worlds.sites(), site_worlds.records(), st.integers(0, 6))
def test_all_studies_at_once_are_each_study_alone(
    studies: list[SiteStudy], of: PatientRecord, mine: int
) -> None:
    own = [frozenset((site_worlds.OWN,) if number < mine else ()) for number in range(len(studies))]
    assert together(studies, of, own) == alone(studies, of, own)


@pytest.mark.property
@given(site_worlds.sites(), st.lists(site_worlds.records(), min_size=2, max_size=4))
def test_what_one_patient_taught_about_silence_holds_for_the_next(
    studies: list[SiteStudy], patients: list[PatientRecord]
) -> None:
    many = ManyStudies(studies, OUTCOMES)
    for of in patients:
        assert outcomes(many.judge(of, AS_OF)) == alone(studies, of)


@pytest.mark.property
@given(site_worlds.sites(), site_worlds.records(), st.data())
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
