"""criterion_hash and study_hash (design section 5): what signatures cover and decisions name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fhir_adapter.criteria.walk import reach
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.code import Code
from fhir_adapter.model.hashing import digest
from fhir_adapter.model.mapping import CodeSet, Family
from fhir_adapter.model.study import Criterion, Study


def criterion_hash(
    criterion: Criterion,
    study: Study,
    code_sets: Sequence[CodeSet],
    calculators: Sequence[Calculator],
) -> str:
    """Hash of one reading: sentence, tree, and the expansions, anchors and calculators it uses.

    The signature itself is not in it; nothing that the criterion does not use is.
    """
    unsigned = msgspec.structs.replace(criterion, sign_off=None)
    sentences = [s.text for s in study.protocol if s.id == criterion.sentence]
    return digest(sentences, unsigned, *_used(unsigned, study, code_sets, calculators))


def study_hash(
    study: Study,
    code_sets: Sequence[CodeSet],
    calculators: Sequence[Calculator],
    *,
    known: Mapping[str, str] | None = None,
) -> str:
    """Hash of all that decides an outcome: criteria in order, gates, settings, pairs, pointers.

    Of the questions only the ids and how long an answer holds; titles and texts do not count.
    ``known`` are the criterion hashes by id, where they have been worked out already.
    """
    hashes = known or {
        c.id: criterion_hash(c, study, code_sets, calculators) for c in study.criteria
    }
    criteria = [(c.id, hashes[c.id]) for c in study.criteria]
    gates = [(c.id, c.gate) for c in study.criteria]
    questions = [(question.id, question.valid_for) for question in study.questions]
    rest = (study.pointers, study.pairs)
    settings = {"writes-potential-candidate": study.writes_potential_candidate}
    used = _used(rest, study, code_sets, calculators)
    return digest(study.id, criteria, gates, settings, rest, questions, *used)


def _used(
    part: object, study: Study, code_sets: Sequence[CodeSet], calculators: Sequence[Calculator]
) -> tuple[object, object, object]:
    names = reach(part, study.anchors, calculators)
    return (
        [expansion(item) for item in _ordered(code_sets) if item.name in names.value_sets],
        [anchor for anchor in study.anchors if anchor.name in names.anchors],
        [c for c in sorted(calculators, key=_name) if c.name in names.calculators],
    )


def _ordered(code_sets: Sequence[CodeSet]) -> list[CodeSet]:
    return sorted(code_sets, key=lambda code_set: code_set.name)


def _name(calculator: Calculator) -> str:
    return calculator.name


def expansion(code_set: CodeSet) -> dict[str, object]:
    """Members of a value set in a fixed order; not its url, version or wording."""
    return {
        "name": code_set.name,
        "codes": _codes(code_set.codes),
        "families": _families(code_set.families),
        "partial-systems": sorted(code_set.partial_systems),
        "without-codes": _codes(code_set.without_codes),
        "without-families": _families(code_set.without_families),
    }


def _codes(codes: Iterable[Code]) -> list[Code]:
    return sorted(set(codes))


def _families(families: Iterable[Family]) -> list[tuple[str, str]]:
    return sorted({(family.system, family.prefix) for family in families})
