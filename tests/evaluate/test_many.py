"""Many studies on one index: the same answers as each study alone."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.evaluate.many import ManyStudies
from fhir_adapter.evaluate.record import CompiledStudy, compile_study, gates_fit
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.model.study import Gate

import worlds
from facts_for_tests import AS_OF, born, fact, lab, record

LABS = tree.Events(kind=(Kind.OBSERVATION,), codes="marker")
NODES = (
    tree.Any(of=LABS),
    tree.Age(min=18),
    tree.Not(of=tree.Any(of=tree.Events(kind=(Kind.CONDITION,), codes="disease"))),
    tree.Any(of=tree.Events(kind=(Kind.STUDY_PARTICIPATION,))),
)


def gated(node: tree.Node, **more: object) -> CompiledStudy:
    study = worlds.study_of(node)
    gate = Gate(if_open="hold")
    criteria = tuple(msgspec.structs.replace(one, gate=gate) for one in study.criteria)
    return compile_study(
        msgspec.structs.replace(study, criteria=criteria),
        worlds.MAPPINGS,
        **more,  # type: ignore[arg-type]
    )


STUDIES = [gated(node) for node in NODES]


def alone(studies: list[CompiledStudy], of: PatientRecord, own: list[frozenset[str]]) -> list[bool]:
    pairs = zip(studies, own, strict=True)
    return [gates_fit(study, study.case(of, AS_OF, names)) for study, names in pairs]


@pytest.mark.property
@given(of=worlds.records(), mine=st.booleans())
def test_sharing_an_index_changes_no_answer(of: PatientRecord, mine: bool) -> None:  # noqa: FBT001
    own = [frozenset(("ResearchStudy/own",) if mine else ())] * len(STUDIES)
    assert ManyStudies(STUDIES).gates_fit(of, AS_OF, own) == alone(STUDIES, of, own)


def test_taking_part_in_a_study_itself_is_no_other_trial() -> None:
    taking_part = fact(Kind.STUDY_PARTICIPATION, None, "2026-11-01", study="ResearchStudy/own")
    of = record(born("1980-01-01"), taking_part)
    own = [frozenset(("ResearchStudy/own",))] * 4
    strangers = [frozenset[str]()] * 4
    many = ManyStudies(STUDIES)
    assert many.gates_fit(of, AS_OF, own) == alone(STUDIES, of, own)
    assert many.gates_fit(of, AS_OF, strangers) == alone(STUDIES, of, strangers)
    assert many.gates_fit(of, AS_OF, own)[3] != many.gates_fit(of, AS_OF, strangers)[3]


def test_studies_that_mean_different_codes_by_one_name_keep_apart() -> None:
    sets = dict(worlds.MAPPINGS.by_name)
    other = gated(tree.Any(of=LABS), code_sets={**sets, "marker": sets["disease"]})
    studies = [STUDIES[0], other]
    of = record(born("1980-01-01"), lab(worlds.MARKER, "5", "2026-11-20", unit="mg/dL"))
    none = [frozenset[str]()] * 2
    found = ManyStudies(studies).gates_fit(of, AS_OF, none)
    assert found == alone(studies, of, none) == [True, False]
