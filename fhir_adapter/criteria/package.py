"""A study with what it names: put together from files, hashed, and what it needs of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_adapter.criteria.hashes import criterion_hash, study_hash
from fhir_adapter.criteria.walk import needs_of, reach
from fhir_adapter.criteria.yaml_form import study_from_yaml
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.ports import Need, StudyPackage


def package_of(
    files: Mapping[str, str], code_sets: Sequence[CodeSet], calculators: Sequence[Calculator]
) -> StudyPackage:
    """The study of protocol.md, study.yaml and criteria.yaml with what it names of the rest.

    Names that do not exist are left to ``checked``.
    """
    study = study_from_yaml(files)
    names = reach(study, study.anchors, calculators)
    wanted = names.value_sets | {study.identity.condition}
    return StudyPackage(
        study=study,
        code_sets=tuple(item for item in code_sets if item.name in wanted),
        calculators=tuple(item for item in calculators if item.name in names.calculators),
    )


def needs(package: StudyPackage) -> tuple[Need, ...]:
    """What a pull must ask for."""
    return needs_of(package.study)


def hash_of(package: StudyPackage, known: Mapping[str, str] | None = None) -> str:
    """study_hash; ``known`` are the criterion hashes, where somebody has them."""
    return study_hash(package.study, package.code_sets, package.calculators, known=known)


def criterion_hashes(package: StudyPackage) -> dict[str, str]:
    """criterion_hash by criterion id."""
    return {
        criterion.id: criterion_hash(
            criterion, package.study, package.code_sets, package.calculators
        )
        for criterion in package.study.criteria
    }
