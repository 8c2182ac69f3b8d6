"""to_fhir: one version of a study as valid R4 resources, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.criteria.fhir_form.group import group
from fhir_adapter.criteria.fhir_form.library import algebra, library
from fhir_adapter.criteria.fhir_form.package import package
from fhir_adapter.criteria.fhir_form.plan_definition import plan_definition
from fhir_adapter.criteria.fhir_form.publication import publication
from fhir_adapter.criteria.fhir_form.questionnaire import questionnaire
from fhir_adapter.criteria.fhir_form.research_study import research_study
from fhir_adapter.criteria.fhir_form.value_set import value_set
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.fhir.resources import validated
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Resource


def to_fhir(
    study: Study,
    code_sets: Sequence[CodeSet],
    value_set_resources: Sequence[Resource],
    published: str,
    *,
    calculators: Sequence[Calculator] = (),
) -> tuple[Resource, ...]:
    """ValueSets, Library, PlanDefinition, Group, Questionnaire, ResearchStudy, package.

    What is referred to comes first: writing in this order never refers to what is not there.
    ``published`` is a FHIR date. Only value sets and calculators that the study uses are sent.
    """
    made = publication(study, code_sets, calculators, value_set_resources, published)
    content = algebra(made)
    found = (
        *(value_set(code_set, made) for code_set in made.code_sets),
        library(made, content),
        plan_definition(made, content.hashes.criteria),
        group(made),
        questionnaire(made),
        research_study(made),
        package(made),
    )
    return tuple(validated(resource, fault=StudyInvalid) for resource in found)
