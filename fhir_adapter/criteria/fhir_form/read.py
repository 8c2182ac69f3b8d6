"""from_fhir: resources -> the identical study; what others wrote becomes visible, never dropped.

R4 Group characteristics and R5 eligibility are not read here yet; they join at ``_study_of`` as
further ways to a Study when no PlanDefinition was sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.criteria.fhir_form.foreign import foreign_study
from fhir_adapter.criteria.fhir_form.library import Algebra, algebra_from
from fhir_adapter.criteria.fhir_form.plan_definition import sentence_of
from fhir_adapter.criteria.fhir_form.systems import (
    CRITERION_KIND,
    ELIGIBILITY,
    HASH,
    PLAN_TYPE,
    extension_text,
)
from fhir_adapter.criteria.fhir_form.value_set import code_set_from
from fhir_adapter.criteria.hashes import criterion_hash, study_hash
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.fhir.resources import validated
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.study import Criterion
from fhir_adapter.ports import Resource, StudyPackage


def from_fhir(resources: Sequence[Resource]) -> StudyPackage:
    """The study of one PlanDefinition with the code sets and calculators that travel with it.

    With our Library: the identical tree; StudyInvalid when PlanDefinition, Library and ValueSets
    no longer agree. Without it: one criterion per action, each ``unsupported``.
    """
    plan = validated(_plan_of(resources), fault=StudyInvalid)
    return _study_of(plan, resources)


def _study_of(plan: Resource, resources: Sequence[Resource]) -> StudyPackage:
    content = _content_of(plan, resources)
    if content is None:
        study = foreign_study(plan, _of_type(resources, "ResearchStudy"))
        return StudyPackage(study=study, code_sets=(), calculators=())
    code_sets = tuple(
        code_set_from(_value_set(resources, pin.url, pin.version), pin.name)
        for pin in content.value_sets
    )
    _refuse_other_hashes(content, code_sets)
    _refuse_other_actions(plan, content)
    return StudyPackage(study=content.study, code_sets=code_sets, calculators=content.calculators)


def _of_type(resources: Sequence[Resource], name: str) -> list[Resource]:
    return [resource for resource in resources if resource.get("resourceType") == name]


def _plan_of(resources: Sequence[Resource]) -> Resource:
    """The one PlanDefinition that is meant: ours before others, then what the study points at."""
    plans = _of_type(resources, "PlanDefinition")
    chosen = [plan for plan in plans if _is_ours(plan)] or plans
    pointed = _protocols(resources)
    chosen = [plan for plan in chosen if f"PlanDefinition/{plan.get('id')}" in pointed] or chosen
    if len(chosen) != 1:
        raise StudyInvalid(
            f"{len(chosen)} PlanDefinitions could hold the criteria",
            where="PlanDefinition",
            remedy="Send exactly one, or point ResearchStudy.protocol at one.",
        )
    return chosen[0]


def _protocols(resources: Sequence[Resource]) -> frozenset[str]:
    studies = _of_type(resources, "ResearchStudy")
    return frozenset(
        str(item.get("reference")) for study in studies for item in study.get("protocol", ())
    )


def _is_ours(plan: Resource) -> bool:
    codings = plan.get("type", {}).get("coding", ())
    return any((c.get("system"), c.get("code")) == (PLAN_TYPE, ELIGIBILITY) for c in codings)


def _content_of(plan: Resource, resources: Sequence[Resource]) -> Algebra | None:
    wanted = set(plan.get("library", ()))
    for resource in _of_type(resources, "Library"):
        url = resource.get("url")
        if url in wanted or f"{url}|{resource.get('version')}" in wanted:
            content = algebra_from(validated(resource, fault=StudyInvalid))
            if content is not None:
                return content
    return None


def _value_set(resources: Sequence[Resource], url: str, version: str) -> Resource:
    for resource in _of_type(resources, "ValueSet"):
        if (resource.get("url"), resource.get("version")) == (url, version):
            return resource
    raise StudyInvalid(
        f"the value set {url}|{version} did not come with the study",
        where=f"ValueSet {url}",
        remedy="Send every ValueSet that the package names.",
    )


def _refuse_other_hashes(content: Algebra, code_sets: tuple[CodeSet, ...]) -> None:
    used = (content.study, code_sets, content.calculators)
    for criterion in content.study.criteria:
        if content.hashes.criteria.get(criterion.id) != criterion_hash(criterion, *used):
            raise _disagreement(criterion, "its tree, value sets or calculators changed")
    if content.hashes.study != study_hash(*used):
        raise StudyInvalid(
            "the study is not the one that was published",
            where="Library",
            remedy="Publish the study again from its files.",
        )


def _refuse_other_actions(plan: Resource, content: Algebra) -> None:
    actions = plan.get("action", ())
    criteria = content.study.criteria
    if len(actions) != len(criteria):
        raise StudyInvalid(
            f"{len(actions)} actions stand against {len(criteria)} criteria in the Library",
            where="PlanDefinition",
            remedy="Publish the study again from its files.",
        )
    for action, criterion in zip(actions, criteria, strict=True):
        _refuse_other_action(action, criterion, content)


def _refuse_other_action(action: Resource, criterion: Criterion, content: Algebra) -> None:
    expected = {
        "number": (action.get("prefix"), criterion.id),
        "kind": (_kind(action), criterion.kind),
        "sentence": (action.get("textEquivalent"), sentence_of(criterion, content.study)),
        "hash": (extension_text(action, HASH), content.hashes.criteria[criterion.id]),
    }
    for what, (written, meant) in expected.items():
        if written != meant:
            raise _disagreement(criterion, f"its {what} in the PlanDefinition is another")


def _kind(action: Resource) -> str:
    codings = [c for concept in action.get("code", ()) for c in concept.get("coding", ())]
    ours = [str(c.get("code")) for c in codings if c.get("system") == CRITERION_KIND]
    return ours[0] if len(ours) == 1 else ""


def _disagreement(criterion: Criterion, message: str) -> StudyInvalid:
    return StudyInvalid(
        f"PlanDefinition, Library and ValueSets do not agree: {message}",
        where=f"criterion {criterion.id}",
        remedy="Publish the study again from its files.",
    )
