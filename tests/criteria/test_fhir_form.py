"""YAML -> FHIR -> the identical tree and hashes; what others wrote is visible, never dropped."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from conftest import World

from fhir_adapter import bootstrap, publishing
from fhir_adapter.bootstrap import studies
from fhir_adapter.criteria.fhir_form import from_fhir, to_fhir
from fhir_adapter.criteria.fhir_form.publication import publication
from fhir_adapter.criteria.hashes import study_hash
from fhir_adapter.criteria.names import library_name
from fhir_adapter.criteria.schema import study_schema
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.fhir.resources import validated
from fhir_adapter.model.criterion import Unsupported
from fhir_adapter.model.study import SignOff, Study

Resource = dict[str, Any]
DAY = "2026-11-22"


def published(world: World, study: Study | None = None) -> list[Resource]:
    made = to_fhir(
        study or world.study, world.code_sets, world.resources, DAY, calculators=world.calculators
    )
    return [deepcopy(resource) for resource in made]


def only(resources: list[Resource], resource_type: str, **like: Any) -> Resource:
    found = [
        r
        for r in resources
        if r["resourceType"] == resource_type and all(r.get(k) == v for k, v in like.items())
    ]
    assert found
    return found[0]


def algebra(resources: list[Resource]) -> Resource:
    return next(r for r in resources if r["resourceType"] == "Library" and "content" in r)


def test_the_sample_comes_back_identical(world: World) -> None:
    read = from_fhir(published(world))
    assert read.study == world.study
    used = {item.name for item in read.code_sets}
    assert set(read.code_sets) == {i for i in world.code_sets if i.name in used}
    assert study_hash(read.study, read.code_sets, read.calculators) == study_hash(*world.used)


@pytest.mark.untraced
def test_the_first_study_comes_back_identical() -> None:
    package = bootstrap.package_from_folder("NCT05985863")
    made = publishing.build(package, studies.value_set_resources(package), published=DAY)
    read = publishing.from_fhir(made)
    assert read.study == package.study
    assert publishing.hash_of(read) == publishing.hash_of(package)
    assert publishing.criterion_hashes(read) == publishing.criterion_hashes(package)
    assert len(read.study.criteria) == 32


def test_every_resource_is_valid_r4(world: World) -> None:
    for resource in published(world):
        assert validated(resource, fault=StudyInvalid)


def test_every_resource_can_be_found_again_on_a_server_that_gives_its_own_ids(world: World) -> None:
    without = [
        r["resourceType"] for r in published(world) if not (r.keys() & {"url", "identifier"})
    ]
    assert without == []


def test_two_runs_give_the_same_bytes(world: World) -> None:
    assert json.dumps(published(world)) == json.dumps(published(world))


def test_a_signed_study_is_active_and_an_unsigned_one_a_draft(world: World) -> None:
    assert only(published(world), "PlanDefinition")["status"] == "draft"
    sign = SignOff(name="A", role="investigator", date="2026-01-01", hash="0")
    criteria = tuple(
        msgspec.structs.replace(c, sign_off=sign if c.readings else None)
        for c in world.study.criteria
    )
    signed = msgspec.structs.replace(world.study, criteria=criteria)
    plan = only(published(world, signed), "PlanDefinition")
    assert plan["status"] == "active"
    assert any(e["url"].endswith("sign-off") for e in plan["action"][1]["extension"])


def test_the_arms_stand_in_the_study_and_nowhere_else(world: World) -> None:
    made = published(world)
    assert only(made, "ResearchStudy")["arm"][0]["name"] == "Control"
    others = [r for r in made if r["resourceType"] not in ("ResearchStudy", "Library")]
    assert "placebo" not in json.dumps(others).lower()


# ------------------------------------------------------------------- what no longer agrees


def rewrite(resources: list[Resource], change: Any) -> None:
    content = algebra(resources)["content"][0]
    body = json.loads(base64.b64decode(content["data"]))
    change(body)
    content["data"] = base64.b64encode(json.dumps(body).encode()).decode()


def _prefix(made: list[Resource]) -> None:
    only(made, "PlanDefinition")["action"][0]["prefix"] = "I9"


def _kind(made: list[Resource]) -> None:
    only(made, "PlanDefinition")["action"][0]["code"][0]["coding"][0]["code"] = "exclusion"


def _text(made: list[Resource]) -> None:
    only(made, "PlanDefinition")["action"][0]["textEquivalent"] = "Other words."


def _drop(made: list[Resource]) -> None:
    only(made, "PlanDefinition")["action"].pop()


def _member(made: list[Resource]) -> None:
    found = next(r for r in made if r["resourceType"] == "ValueSet" and "dialysis" in r["url"])
    found["compose"]["include"][0]["concept"][0]["code"] = "1"


def _lost_set(made: list[Resource]) -> None:
    made[:] = [r for r in made if "dialysis" not in r.get("url", "")]


def _filter(made: list[Resource]) -> None:
    found = next(r for r in made if r["resourceType"] == "ValueSet" and "cancer" in r["url"])
    found["compose"]["include"][-1]["filter"] = [{"property": "x", "op": "=", "value": "y"}]


def _damage(made: list[Resource]) -> None:
    algebra(made)["content"][0]["data"] = base64.b64encode(b"{").decode()


def _format(made: list[Resource]) -> None:
    rewrite(made, lambda body: body.update(format=2))


def _study(made: list[Resource]) -> None:
    rewrite(made, lambda body: body["study"]["questions"].pop())


def _two_plans(made: list[Resource]) -> None:
    other = deepcopy(only(made, "PlanDefinition"))
    other["id"] = "other"
    only(made, "ResearchStudy")["protocol"] = []
    made.append(other)


BROKEN = {
    "another number": (_prefix, "its number"),
    "another kind": (_kind, "its kind"),
    "another sentence": (_text, "its sentence"),
    "an action less": (_drop, "4 actions stand against 5"),
    "another member": (_member, "its tree, value sets or calculators changed"),
    "a value set less": (_lost_set, "did not come with the study"),
    "a filter of another sort": (_filter, "composed in a way that is not read here"),
    "damaged content": (_damage, "damaged"),
    "a newer format": (_format, "format 2"),
    "another question": (_study, "not the one that was published"),
    "two plans": (_two_plans, "2 PlanDefinitions"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_parts_that_disagree_are_refused(world: World, name: str) -> None:
    change, message = BROKEN[name]
    made = published(world)
    change(made)
    with pytest.raises(StudyInvalid, match=message) as caught:
        from_fhir(made)
    assert caught.value.remedy


def test_the_study_points_at_the_plan_that_is_meant(world: World) -> None:
    made = published(world)
    other = deepcopy(only(made, "PlanDefinition")) | {"id": "other"}
    assert from_fhir([other, *made]).study == world.study


# --------------------------------------------------------------------- what others wrote


FOREIGN: Resource = {
    "resourceType": "PlanDefinition",
    "id": "theirs",
    "status": "active",
    "title": "Their study",
    "action": [
        {
            "title": "Adults",
            "description": "18 or older",
            "code": [{"text": "inclusion"}],
            "condition": [
                {
                    "kind": "applicability",
                    "expression": {"language": "text/cql", "expression": "Adult"},
                }
            ],
            "action": [
                {"id": "inner", "textEquivalent": "No cancer", "code": [{"coding": [
                    {"system": "urn:x", "code": "exclusion"}]}]},
                {"id": "inner"},
            ],
        },
    ],
}  # fmt: skip


def test_a_plan_of_others_becomes_one_open_criterion_per_action() -> None:
    study = from_fhir([deepcopy(FOREIGN)]).study
    assert [(c.id, c.kind) for c in study.criteria] == [
        ("A1", "inclusion"),
        ("inner", "exclusion"),
        ("inner-A3", "inclusion"),
    ]
    assert all(isinstance(c.test, Unsupported) for c in study.criteria)
    tests = [c.test for c in study.criteria if isinstance(c.test, Unsupported)]
    assert "text/cql" in tests[0].why
    assert "no condition" in tests[1].why
    assert "inclusion is assumed" in tests[2].why
    assert study.protocol[0].text == "18 or older"


def test_a_library_of_others_is_no_algebra(world: World) -> None:
    made = published(world)
    algebra(made)["content"] = [{"contentType": "text/cql", "data": "AAAA"}]
    study = from_fhir(made).study
    assert all(isinstance(c.test, Unsupported) for c in study.criteria)
    assert study.identity.title == world.study.identity.title


def test_without_a_plan_there_is_no_study() -> None:
    with pytest.raises(StudyInvalid, match="0 PlanDefinitions"):
        from_fhir([])


# ------------------------------------------------------------------------- names, schema


def test_a_study_that_names_what_is_not_given_cannot_be_published(world: World) -> None:
    with pytest.raises(StudyInvalid, match="calculator that was not given: points"):
        publication(world.study, world.code_sets, (), (), DAY)
    with pytest.raises(StudyInvalid, match="value set that was not given"):
        publication(world.study, (), world.calculators, (), DAY)


@pytest.mark.parametrize(
    ("id_", "version", "message"),
    [("A B", "1", "no library name"), ("A", "one", "no library name"), ("A" * 40, "1", "longer")],
)
def test_names_that_no_engine_could_look_up_are_refused(
    world: World, id_: str, version: str, message: str
) -> None:
    study = msgspec.structs.replace(world.study, id=id_, version=version)
    with pytest.raises(StudyInvalid, match=message):
        library_name(study)


def test_the_schema_holds_for_the_sample_and_refuses_a_wrong_word(
    sample_files: dict[str, str],
) -> None:
    schema = jsonschema.Draft202012Validator(study_schema())
    for name in ("study.yaml", "criteria.yaml"):
        loaded = json.loads(json.dumps(yaml.safe_load(sample_files[name]), default=str))
        assert not list(schema.iter_errors(loaded))
    broken = json.loads(json.dumps(yaml.safe_load(sample_files["criteria.yaml"]), default=str))
    broken["criteria"][0]["settled"] = "somewhere"
    assert list(schema.iter_errors(broken))


def test_values_sets_keep_what_was_taken_out(world: World) -> None:
    read = from_fhir(published(world))
    cancer = next(item for item in read.code_sets if item.name == "liver-cancer")
    original = next(item for item in world.code_sets if item.name == "liver-cancer")
    assert cancer == replace(original, codes=cancer.codes)
    assert set(cancer.codes) == set(original.codes)
