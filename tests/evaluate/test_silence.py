"""What one patient taught about silence holds for the next: a used study answers like a new one."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fhir_adapter import load_study
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.evaluate import silence
from fhir_adapter.evaluate.record import CompiledStudy, compile_study, judge
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.sandbox import generator
from fhir_adapter.screening import last_fact

import worlds

POLICIES = st.sampled_from(("unknown", "assume-absent", "assume-absent-if-known-here"))
FEWER = settings(max_examples=settings().max_examples // 4)


@pytest.mark.property
@FEWER
@given(
    st.lists(worlds.nodes(), min_size=1, max_size=3),
    st.lists(worlds.records(), min_size=2, max_size=4),
    POLICIES,
    st.sampled_from(("reopen", "ignore")),
)
def test_a_study_that_has_judged_others_answers_like_one_that_has_judged_nobody(
    nodes: list[tree.Node], patients: list[PatientRecord], policy: str, outside: str
) -> None:
    used = worlds.compiled(*nodes, policy=policy, outside=outside)
    for patient in patients:
        new = worlds.compiled(*nodes, policy=policy, outside=outside)
        assert worlds.judged(used, patient) == worlds.judged(new, patient)


@cache
def seed() -> CompiledStudy:
    """The bundled study: deadlines, facts beside, pairs, scores, anchors."""
    return load_study().bench.screener.compiled


def anew() -> CompiledStudy:
    old = seed()
    compiler = old.compiler
    return compile_study(
        old.study,
        old.mappings,
        code_sets=compiler.membership.code_sets,
        calculators=compiler.calculators,
    )


@cache
def records() -> tuple[PatientRecord, ...]:
    screener = load_study().bench.screener
    files = sorted(mappings_dir().glob("studies/*/cohort/*.json"))
    texts = [file.read_bytes() for file in files]
    texts += [encode(chart.bundle()) for chart in generator.patients(5, seed=11)]
    whole: list[PatientRecord] = []
    for text in texts:
        source = BundleRecord(decode(text) or {})
        patient = next(iter(source.patients()))
        whole.append(screener.normalise(source.pull(patient, screener.needs)))
    return (*whole, *(_with_gap(one, n) for n, one in enumerate(whole)))


def _with_gap(record: PatientRecord, number: int) -> PatientRecord:
    """The same without what was pulled of one kind, or with that kind cut short."""
    kind = tuple(Kind)[number % len(Kind)]
    rows = tuple(
        replace(row, complete=False) if row.kind is kind else row for row in record.retrieved
    )
    facts = tuple(fact for fact in record.facts if fact.kind is not kind)
    return replace(record, retrieved=rows, facts=facts if number % 2 else record.facts)


def answers(study: CompiledStudy, record: PatientRecord) -> Any:
    return judge(study, study.case(record, last_fact(record)))


@pytest.mark.slow
def test_the_bundled_study_answers_alike_however_many_it_has_judged() -> None:
    used = anew()
    for record in records():
        answers(used, record)
    for record in records()[::-4]:
        assert answers(used, record) == answers(anew(), record)


def test_a_memory_that_starts_anew_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    used, some = anew(), records()[:20]
    expected = [answers(used, record) for record in some]
    monkeypatch.setattr(silence, "MOST_REMEMBERED", 7)
    forgetful = anew()

    assert [answers(forgetful, record) for record in some] == expected
    kept = forgetful.compiler.silence._classes
    assert sum(1 + len(known) for known in kept.values()) <= 7 + 1
