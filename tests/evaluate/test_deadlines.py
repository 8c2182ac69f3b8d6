"""Until when what an open answer waits for can still happen."""

from __future__ import annotations

import msgspec
import pytest

from fhir_adapter.evaluate.record import compile_study, judge
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.fact import Kind

import worlds
from facts_for_tests import AS_OF, fact, record

MARKED = tree.Any(of=tree.Events(kind=(Kind.OBSERVATION,), codes="marker"))


@pytest.mark.parametrize(
    ("edge", "said"),
    [
        ("drug-start + 30 days", "can still happen until 2026-12-01"),
        ("drug-start + 2 days", "could only have happened before 2026-11-04"),
    ],
)
def test_an_open_answer_says_its_deadline(edge: str, said: str) -> None:
    study = worlds.study_of(MARKED)
    (criterion,) = (msgspec.structs.replace(one, deadline=edge) for one in study.criteria)
    compiled = compile_study(msgspec.structs.replace(study, criteria=(criterion,)), worlds.MAPPINGS)
    started = record(fact(Kind.MEDICATION, worlds.DRUG, "2026-11-01"))
    (found,) = judge(compiled, compiled.case(started, AS_OF)).results
    assert said in found.notes
    (without,) = judge(compiled, compiled.case(record(), AS_OF)).results
    assert not any("happen" in note for note in without.notes)
