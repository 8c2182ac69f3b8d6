"""`study check`: every finding has its code, place and remedy, and a sound study has no error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from conftest import UNITS, World

from fhir_adapter.criteria.check import check
from fhir_adapter.criteria.hashes import criterion_hash, study_hash
from fhir_adapter.criteria.yaml_form import study_from_yaml
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.study import SignOff, Study

C, S, P = "criteria.yaml", "study.yaml", "protocol.md"


def codes_of(study: Study, world: World, **more: Any) -> dict[str, tuple[str, str]]:
    found = check(
        study,
        more.get("code_sets", world.code_sets),
        more.get("calculators", world.calculators),
        more.get("units", UNITS),
    )
    assert all(finding.remedy for finding in found)
    return {finding.code: (finding.severity, finding.where) for finding in found}


def test_the_sample_has_only_a_warning_that_its_reading_is_unsigned(world: World) -> None:
    assert codes_of(world.study, world) == {"reading-unsigned": ("warning", "I2")}


EDITS = {
    "sentence-unknown": (C, "sentence: S2", "sentence: S9", "I2"),
    "span-not-verbatim": (C, "span: Bilirubin of 5", "span: Bilirubin above 5", "I2"),
    "value-set-unknown": (C, "codes: liver-cancer", "codes: liver-cancers", "E1"),
    "question-unknown": (C, "question: cancer", "question: cancr", "E1"),
    "anchor-unknown": (C, "anchor: onset", "anchor: onst", "E2"),
    "anchor-not-an-episode": (C, "anchor: onset", "anchor: dialysis", "E2"),
    "calculator-unknown": (C, "calculator: points", "calculator: point", "E2"),
    "calculator-item-unknown": (C, "item: bilirubin", "item: bili", "E2"),
    "settled-when-unknown": (C, "{outside: outside-document", "{outsid: outside-document", "I2"),
    "gate-exception-unknown": (C, "list-when: [birth-date]", "list-when: [birth]", "I1"),
    "unit-unknown": (C, "[5 mg/dL, 85 umol/L]", "[5 mg/L]", "I2"),
    "unit-missing": (C, "[5 mg/dL, 85 umol/L]", '["5"]', "I2"),
    "value-edge-misplaced": (C, "from: as-of - 7 days", "from: value - 7 days", "I2"),
    "deadline-not-a-day": (C, "fresh: none", "fresh: none\n    deadline: as-of + 7 hours", "I1"),
    "site-setting-unknown": (C, "from: as-of - 7 days", "from: as-of - so-far", ""),
    "window-empty": (C, "from: as-of - 7 days, to: as-of", "from: as-of, to: as-of - 7 days", "I2"),
    "anchor-cycle": (S, "from: onset.start", "from: dialysis.start", "anchor dialysis"),
    "id-duplicate": (C, "id: E1", "id: I2", "I2"),
    "test-empty": (C, "test: {at-least: [5 mg/dL, 85 umol/L]}", "test: {}", "I2"),
    "age-reversed": (C, "min: 18, max: 70", "min: 71, max: 70", "I1"),
    "age-unbounded": (C, "{node: age, min: 18, max: 70}", "{node: age}", "I1"),
    "question-unused": (C, "question: cancer", "question: bilirubin", ""),
    "library-name-invalid": (S, "id: SAMPLE-1", "id: SAMPLE_1", ""),
}  # fmt: skip


@pytest.mark.parametrize("code", EDITS)
def test_each_fault_has_its_code_and_place(
    world: World, sample_files: dict[str, str], code: str
) -> None:
    file, old, new, where = EDITS[code]
    assert old in sample_files[file]
    study = study_from_yaml({**sample_files, file: sample_files[file].replace(old, new, 1)})
    found = codes_of(study, world)
    assert code in found
    assert found[code][1] == where


def with_test(study: Study, test: tree.Node) -> Study:
    first = msgspec.structs.replace(study.criteria[0], test=test)
    return msgspec.structs.replace(study, criteria=(first, *study.criteria[1:]))


LABS = tree.Events(kind=("observation",), codes="bilirubin")  # type: ignore[arg-type] # stands for the real one
TREES = {
    "list-empty": tree.AllOf(of=()),
    "at-least-too-many": tree.AtLeast(n=2, of=(tree.Alive(),)),
    "kind-empty": tree.Any(of=tree.Events(kind=())),
    "change-unbounded": tree.Rise(of=LABS, within="2 days"),
    "unit-unknown": tree.Rise(of=LABS, by="3 mol/L", within="2 days"),
    "unit-missing": tree.Latest(of=LABS, test=tree.ValueTest(at_most=("3",))),
    "unit-unknown ": tree.Any(
        of=msgspec.structs.replace(LABS, value=tree.ValueTest(at_most=("3 mol/L",)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", TREES)
def test_trees_that_mean_nothing_are_found(world: World, code: str) -> None:
    found = codes_of(with_test(world.study, TREES[code]), world)
    assert found[code.strip()] == ("error", "I1")


def test_a_unit_for_codes_that_measure_nothing_points_at_the_table(world: World) -> None:
    test = tree.Any(of=tree.Events(kind=(), value=tree.ValueTest(at_least=("3 mg/dL",))))
    found = check(with_test(world.study, test), world.code_sets, world.calculators, UNITS)
    assert any("unit table" in finding.remedy for finding in found)


def test_an_edge_with_open_start_is_checked_in_both_forms(world: World) -> None:
    window = tree.Window(from_="onset.start", or_from="as-of", to="as-of - 2 months")
    test = tree.Any(of=tree.Events(kind=(), window=window))
    assert "window-empty" in codes_of(with_test(world.study, test), world)


def test_a_study_without_criteria_is_an_error(world: World) -> None:
    empty = msgspec.structs.replace(world.study, criteria=())
    assert codes_of(empty, world)["study-empty"] == ("error", "")


def test_a_pair_of_unknown_criteria_is_an_error(world: World) -> None:
    pair_study = msgspec.json.decode(
        msgspec.json.encode(world.study)[:-1]
        + b',"pairs":[{"id":"P1","criteria":["I9"],"when":{"node":"alive"},"note":"n",'
        b'"question":"cancer"}],"pointers":[{"id":"p","title":"t","test":{"node":"alive"}}]}',
        type=Study,
    )
    assert codes_of(pair_study, world)["criterion-unknown"] == ("error", "pair P1")


def test_an_unknown_condition_is_an_error(world: World) -> None:
    identity = msgspec.structs.replace(world.study.identity, condition="liver-failur")
    study = msgspec.structs.replace(world.study, identity=identity)
    assert codes_of(study, world)["value-set-unknown"] == ("error", "identity")


def test_a_calculator_that_counts_an_unknown_set_is_an_error(world: World) -> None:
    sets = tuple(item for item in world.code_sets if item.name != "ascites")
    found = codes_of(world.study, world, code_sets=sets)
    assert found["value-set-unknown"] == ("error", "calculator points")


def test_an_item_that_nothing_feeds_is_a_warning(world: World) -> None:
    (points,) = world.calculators
    more = replace_struct(points)
    found = codes_of(world.study, world, calculators=(more,))
    assert found["calculator-item-unfed"] == ("warning", "E2")


def replace_struct(calculator: Any) -> Any:
    item = calculator.items[0]
    other = (
        replace(item, name="albumin")
        if hasattr(item, "__dataclass_fields__")
        else msgspec.structs.replace(item, name="albumin")
    )
    items = (*calculator.items, other)
    if hasattr(calculator, "__dataclass_fields__"):
        return replace(calculator, items=items)
    return msgspec.structs.replace(calculator, items=items)


def test_a_value_set_that_nothing_uses_is_a_warning(world: World) -> None:
    sets = (*world.code_sets, replace(world.code_sets[0], name="spare"))
    assert codes_of(world.study, world, code_sets=sets)["value-set-unused"] == ("warning", "")


def signed(study: Study, hash_: str) -> Study:
    sign = SignOff(name="A. Name", role="investigator", date="2026-01-01", hash=hash_)
    criteria = tuple(
        msgspec.structs.replace(c, sign_off=sign) if c.id == "I2" else c for c in study.criteria
    )
    return msgspec.structs.replace(study, criteria=criteria)


def test_a_signature_holds_until_the_reading_changes(world: World) -> None:
    used = (world.study, world.code_sets, world.calculators)
    found = criterion_hash(world.study.criteria[1], *used)
    assert codes_of(signed(world.study, found), world) == {}
    assert codes_of(signed(world.study, "0" * 64), world) == {"sign-off-void": ("error", "I2")}


def test_hashes_cover_members_of_value_sets_and_not_their_wording(world: World) -> None:
    study, sets, calculators = world.used
    before = study_hash(study, sets, calculators)
    renamed = tuple(replace(item, url="urn:other", version="9") for item in sets)
    assert study_hash(study, renamed, calculators) == before
    more = tuple(
        replace(item, codes=(*item.codes, item.codes[0]._replace(code="x")))
        if item.name == "dialysis"
        else item
        for item in sets
    )
    assert study_hash(study, more, calculators) != before
    e1 = study.criteria[2]
    assert criterion_hash(e1, study, more, calculators) == criterion_hash(e1, *world.used)


def test_a_study_that_points_at_nobody_lists_nobody_who_needs_data(world: World) -> None:
    silent = msgspec.structs.replace(world.study, pointers=())
    assert codes_of(silent, world)["no-pointers"] == ("warning", "")
