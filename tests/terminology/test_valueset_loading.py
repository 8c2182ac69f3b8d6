"""What a ValueSet may say, and how the loader refuses the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.valueset import ValueSet

from fhir_adapter.errors import TerminologyInvalid
from fhir_adapter.model.code import ATC, ICD9_CM, ICD10_CM, LOINC, SNOMED
from fhir_adapter.terminology import (
    code_set_from_value_set,
    load_code_sets,
    value_set_with_expansion,
)
from fhir_adapter.terminology.valuesets import PARTIAL

URL = "https://fhir-adapter.example/fhir/ValueSet/sample"
AT = "2026-11-22T07:40:00+08:00"


def _value_set(*include: dict[str, Any], **more: Any) -> dict[str, Any]:
    compose = {"include": list(include), **more}
    return {"resourceType": "ValueSet", "url": URL, "status": "draft", "compose": compose}


def _family(system: str, value: str, prop: str = "concept", op: str = "is-a") -> dict[str, Any]:
    return {"system": system, "filter": [{"property": prop, "op": op, "value": value}]}


BILIRUBIN = {"system": LOINC, "concept": [{"code": "1975-2"}]}


def test_a_family_holds_its_codes_with_and_without_dots() -> None:
    found = code_set_from_value_set(_value_set(_family(ICD10_CM, "K70.3")))
    assert [family.prefix for family in found.families] == ["K703"]
    assert found.holds(f"{ICD10_CM}|K7031")
    assert not found.holds(f"{ICD10_CM}|K704")


@pytest.mark.parametrize(
    ("system", "block", "first", "last", "size"),
    [
        (ICD10_CM, "D00-D09", "D00", "D09", 10),
        (ICD10_CM, "C50-C50", "C50", "C50", 1),
        (ICD9_CM, "230-234", "230", "234", 5),
    ],
)
def test_a_block_is_all_its_families(
    system: str, block: str, first: str, last: str, size: int
) -> None:
    found = code_set_from_value_set(_value_set(_family(system, block)))
    assert [found.families[0].prefix, found.families[-1].prefix] == [first, last]
    assert len(found.families) == size


def test_what_is_excluded_is_no_member() -> None:
    resource = _value_set(
        _family(ICD10_CM, "C22"),
        exclude=[_family(ICD10_CM, "C22.7"), {"system": ICD10_CM, "concept": [{"code": "C22.9"}]}],
    )
    found = code_set_from_value_set(resource)
    held = [code for code in ("C220", "C227", "C229") if found.holds(f"{ICD10_CM}|{code}")]
    assert held == ["C220"]


def test_a_system_marked_partial_is_said_to_be_so() -> None:
    entry = {**BILIRUBIN, "extension": [{"url": PARTIAL, "valueBoolean": True}]}
    assert code_set_from_value_set(_value_set(entry)).partial_systems == {LOINC}


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param({"resourceType": "Bundle"}, id="not a value set"),
        pytest.param({"resourceType": "ValueSet"}, id="no url"),
        pytest.param({"resourceType": "ValueSet", "url": URL}, id="no compose"),
        pytest.param(_value_set(), id="nothing included"),
        pytest.param(_value_set({"system": LOINC}), id="a whole system"),
        pytest.param(_value_set({"valueSet": [URL]}), id="another value set"),
        pytest.param(_value_set({**BILIRUBIN, **_family(LOINC, "x")}), id="concepts and filter"),
        pytest.param(_value_set({"system": LOINC, "concept": [{}]}), id="no code"),
        pytest.param(_value_set(_family(SNOMED, "19943007")), id="family of SNOMED"),
        pytest.param(_value_set(_family(ICD10_CM, "C22", op="regex")), id="other operation"),
        pytest.param(_value_set(_family(ICD10_CM, "C22", prop="parent")), id="other property"),
        pytest.param(_value_set(_family(ATC, "L")), id="too short"),
        pytest.param(_value_set(_family(ICD10_CM, "A00-B99")), id="block of two letters"),
        pytest.param(_value_set(_family(ICD10_CM, "D09-D00")), id="block backwards"),
        pytest.param(
            _value_set({"system": ICD10_CM, "filter": _family(ICD10_CM, "C22")["filter"] * 2}),
            id="two filters",
        ),
    ],
)
def test_anything_else_is_refused_with_a_remedy(resource: dict[str, Any]) -> None:
    with pytest.raises(TerminologyInvalid) as caught:
        code_set_from_value_set(resource)
    assert caught.value.remedy


def test_a_closed_expansion_is_taken_as_it_stands() -> None:
    contains = [
        {
            "system": SNOMED,
            "abstract": True,
            "code": "1",
            "contains": [{"system": SNOMED, "code": "2"}],
        }
    ]
    resource = {**_value_set({"valueSet": [URL]}), "expansion": {"contains": contains}}
    assert [code.code for code in code_set_from_value_set(resource).codes] == ["2"]


def test_an_expansion_is_valid_r4_and_reads_back_the_same() -> None:
    resource = _value_set(BILIRUBIN)
    expanded = value_set_with_expansion(code_set_from_value_set(resource), resource, at=AT)
    ValueSet.model_validate(expanded)
    assert expanded["expansion"]["total"] == 1
    assert code_set_from_value_set(expanded) == code_set_from_value_set(resource)


def test_an_expansion_beside_families_is_marked_unclosed_and_loses_nothing() -> None:
    resource = _value_set(BILIRUBIN, _family(ATC, "L04"))
    expanded = value_set_with_expansion(code_set_from_value_set(resource), resource, at=AT)
    ValueSet.model_validate(expanded)
    assert code_set_from_value_set(expanded).holds(f"{ATC}|L04AX01")


def test_what_is_excluded_is_not_in_the_expansion() -> None:
    resource = _value_set(BILIRUBIN, exclude=[BILIRUBIN])
    expanded = value_set_with_expansion(code_set_from_value_set(resource), resource, at=AT)
    assert expanded["expansion"]["contains"] == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("sample.json", "{", "not JSON"),
        ("sample.json", "[]", "not a ValueSet"),
        ("other.json", json.dumps(_value_set(BILIRUBIN)), "Name the file sample.json"),
        ("sample.json", json.dumps(_value_set(_family(ATC, "L"))), "ValueSet.compose.include[0]"),
    ],
)
def test_a_broken_file_is_named_with_its_place(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(TerminologyInvalid) as caught:
        load_code_sets(tmp_path)
    assert said in str(caught.value)
    assert name in caught.value.where


def test_an_empty_folder_is_no_terminology(tmp_path: Path) -> None:
    with pytest.raises(TerminologyInvalid, match="no value sets"):
        load_code_sets(tmp_path)
