"""The value sets say what the clinical reference says, and nothing that it says not."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.codesystem import CodeSystem
from fhir.resources.R4B.valueset import ValueSet

from fhir_adapter.model.code import (
    ATC,
    ICD9_CM,
    ICD10,
    ICD10_CM,
    ICD10_GM,
    LOINC,
    RXNORM,
    SNOMED,
    Code,
    key_of,
)
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.vocabulary import LOCAL_FINDINGS

pytestmark = pytest.mark.untraced

FOLDER = Path(__file__).parents[2] / "mappings" / "terminology"
FILES = sorted((FOLDER / "value-sets").glob("*.json"))
SOURCE = "https://fhir-adapter.example/fhir/StructureDefinition/code-source"
ICD_ALL = (ICD10, ICD10_CM, ICD10_GM)

IN = [
    ("total-bilirubin", LOINC, "1975-2 14631-6 42719-5"),
    ("inr", LOINC, "6301-6 34714-6 46418-0 38875-1 5895-7"),
    ("prothrombin-activity", LOINC, "5894-1 3289-6"),
    ("prothrombin-time", LOINC, "5902-2 5964-2"),
    ("platelets", LOINC, "777-3 26515-7 778-1 49497-1"),
    ("albumin", LOINC, "1751-7 61151-7 61152-5 2862-1 54347-0"),
    ("creatinine", LOINC, "2160-0 14682-9 38483-4"),
    ("alt", LOINC, "1742-6"),
    ("ast", LOINC, "1920-8"),
    ("afp", LOINC, "1834-1 19176-7 53961-9"),
    ("hbsag", LOINC, "5195-3"),
    ("ammonia", LOINC, "16362-6"),
    ("sodium", LOINC, "2951-2"),
    ("crp", LOINC, "1988-5"),
    ("procalcitonin", LOINC, "33959-8"),
    ("lactate", LOINC, "2524-7"),
    ("pregnancy-test", LOINC, "2106-3 2118-8 2110-5 2112-1 21198-7 19080-1"),
    ("pregnancy-status", LOINC, "11449-6 82810-3"),
    (
        "chronic-liver-disease",
        SNOMED,
        (
            "328383001 19943007 420054005 103611000119102 831000119103 10295004 66071002 50711007"
            " 235875008 34742003"
        ),
    ),
    ("liver-failure", SNOMED, "59927004 235886005 235881000 87248009"),
    ("ascites", SNOMED, "389026000 1082601000119104 1082611000119101"),
    ("jaundice", SNOMED, "18165001"),
    ("hepatic-encephalopathy", SNOMED, "13920009 72836002 1085091000119108"),
    ("hepatic-coma", SNOMED, "72836002 1085091000119108"),
    ("acute-kidney-injury", SNOMED, "14669001 51292008"),
    ("renal-replacement", SNOMED, "302497006 714749008 233581009 71192002"),
    ("upper-gi-bleeding", SNOMED, "74474003 17709002 195475003 2901004 37372002"),
    ("infection", SNOMED, "91302008 5758002 87628006 11836002"),
    ("liver-cancer", SNOMED, "25370001 95214007 93870000"),
    ("other-malignancy", SNOMED, "363346000"),
    ("liver-transplantation", SNOMED, "18027006"),
    ("liver-transplant-status", SNOMED, "737297006"),
    ("venous-thrombosis-or-embolism", SNOMED, "111293003 128053003 59282003 429098002"),
    ("pregnancy", SNOMED, "77386006 72892002"),
    ("severe-allergy", SNOMED, "39579001 609328004 417516000"),
    ("drug-abuse", SNOMED, "191816009 5602001 75544000"),
    ("alcohol-withdrawal", SNOMED, "191480000 8635005"),
    ("major-depression", SNOMED, "370143000"),
    ("psychosis", SNOMED, "69322001 58214004"),
    ("stem-cell-therapy", SNOMED, "234336002 709115004"),
    (
        "chronic-liver-disease",
        ICD10_CM,
        "K70.30 K70.31 K74.60 K74.69 K75.81 K70.0 K70.1 K70.2 K73.2 B18.1 B18.2",
    ),
    ("chronic-liver-disease", ICD9_CM, "571.2 571.5 571.6 070.32"),
    ("liver-failure", ICD10_CM, "K72.00 K72.01 K72.90 K70.40 K72.10 K72.91"),
    ("liver-failure", ICD9_CM, "570 572.8"),
    ("ascites", ICD10_CM, "R18.8 K70.31 K70.11"),
    ("ascites", ICD10, "R18"),
    ("ascites", ICD9_CM, "789.59"),
    ("hepatic-encephalopathy", ICD10_CM, "K76.82 K72.01 K72.11 K72.91 K70.41 K71.11"),
    ("hepatic-encephalopathy", ICD9_CM, "572.2"),
    ("hepatic-encephalopathy", ICD10_GM, "K72.71! K7272 K72.73 K72.74! K72.79!"),
    ("encephalopathy-grade-1", ICD10_GM, "K72.71!"),
    ("encephalopathy-grade-2", ICD10_GM, "K72.72!"),
    ("encephalopathy-grade-3", ICD10_GM, "K72.73!"),
    ("encephalopathy-grade-4", ICD10_GM, "K72.74!"),
    ("hepatic-coma", ICD10_CM, "K72.01 K72.11 K72.91 K70.41 K71.11"),
    ("portal-hypertension", ICD10_CM, "K76.6 I85.00 I85.10"),
    ("hepatorenal-syndrome", ICD10_CM, "K76.7"),
    ("portal-hypertension", ICD9_CM, "572.3"),
    ("hepatorenal-syndrome", ICD9_CM, "572.4"),
    ("acute-kidney-injury", ICD10_CM, "N17.0 N17.9"),
    ("acute-kidney-injury", ICD9_CM, "584.5 584.9"),
    ("renal-replacement", ICD9_CM, "39.95"),
    ("chronic-dialysis", ICD10_CM, "Z99.2"),
    ("severe-extrahepatic-disease", ICD10_CM, "Z99.2"),
    ("upper-gi-bleeding", ICD10_CM, "K92.0 K92.1 K92.2 I85.11"),
    ("upper-gi-bleeding", ICD9_CM, "456.0 456.20 578.0 578.1 578.9"),
    ("infection", ICD10_CM, "A41.9 K65.2"),
    ("infection", ICD9_CM, "567.23"),
    ("liver-cancer", ICD10_CM, "C22.0 C22.9"),
    ("liver-cancer", ICD9_CM, "155.0 155.2"),
    ("other-malignancy", ICD10_CM, "C00.1 C18.9 C43.0 C50.9 C96.9 C7A.0"),
    ("other-malignancy", ICD10, "C00 C97"),
    ("malignancy-to-judge", ICD10_CM, "C44.9 D00.0 D09.9 Z85.3"),
    ("malignancy-uncertain", ICD10_CM, "D37.6 D48.9"),
    ("venous-thrombosis-or-embolism", ICD10_CM, "I26.99 I82.409 I81"),
    ("venous-thrombosis-or-embolism", ICD9_CM, "415.19 453.40"),
    ("liver-transplant-status", ICD10_CM, "Z94.4"),
    ("liver-transplant-status", ICD9_CM, "V42.7"),
    ("alcohol-withdrawal", ICD10_CM, "F10.239"),
    ("alcohol-withdrawal", ICD9_CM, "291.81 291.0"),
    ("drug-abuse", ICD10_CM, "F11.10 F12.10 F13.2 F14.10 F15.1 F16.1 F18.1 F19.10"),
    ("psychosis", ICD10_CM, "F20.9 F25.9 F28 F29 F32.3"),
    ("major-depression", ICD10_CM, "F32.9 F33.40"),
    ("psychosis", ICD9_CM, "295.30"),
    ("research-participant", ICD10_CM, "Z00.6"),
    ("research-participant", ICD9_CM, "V70.7"),
    ("stem-cell-status", ICD10_CM, "Z94.84"),
    ("stem-cell-status", ICD9_CM, "V42.82"),
    (
        "immunosuppressant",
        ATC,
        (
            "L04AD01 L04AD02 L04AA06 L04AX01 L04AX03 L04AH01 L04AA10 L04AH02 L01AA01 L01BA01"
            " L01FA01 L01XC02"
        ),
    ),
    ("systemic-corticosteroid", ATC, "H02AB06"),
    ("immune-enhancer", ATC, "L03AA02 L03AB05 L03AC01 L03AX09"),
    ("vitamin-k-antagonist", ATC, "B01AA03 B01AA07"),
    ("factor-xa-inhibitor", ATC, "B01AF01 B01AF02 B01AF03"),
    ("immunosuppressant", RXNORM, "1256 68149 6851 141704 121191"),
    ("systemic-corticosteroid", RXNORM, "6902 8638 8640 3264 5492"),
    ("vitamin-k-antagonist", RXNORM, "11289"),
    ("factor-xa-inhibitor", RXNORM, "1114195 1364430"),
]

NOT_IN = [
    ("total-bilirubin", LOINC, "1968-7 1971-1 14629-0 15152-2 14422-0 5770-3 20505-4"),
    ("prothrombin-activity", LOINC, "5902-2 5964-2"),
    ("inr", LOINC, "5902-2 5894-1"),
    ("platelets", LOINC, "32623-1 32207-3"),
    ("albumin", LOINC, "1749-1"),
    ("creatinine", LOINC, "12191-3"),
    ("ascites", ICD9_CM, "789.51"),
    ("ascites", ICD10_CM, "R18.0"),
    ("hepatic-encephalopathy", ICD10_CM, "G93.40 G93.41 G92"),
    ("hepatic-encephalopathy", ICD9_CM, "348.31 349.82"),
    ("hepatic-coma", ICD10_CM, "K72.00 K72.90 K70.40"),
    ("liver-failure", ICD10_GM, "K72.72!"),
    ("acute-liver-injury", ICD10_CM, "K72.10 K74.60"),
    ("upper-gi-bleeding", ICD10_CM, "I85.00 I85.10"),
    ("variceal-bleeding", ICD10_CM, "I85.00 I85.10"),
    ("immunosuppressant", ATC, "L01XA01 L01BC02"),
    ("immune-enhancer", ATC, "B05AA01"),
    ("liver-cancer", ICD10_CM, "D13.4 C24.0"),
    ("other-malignancy", ICD10_CM, "C22.0 C44.9 D37.6 D05.1 Z85.3"),
    ("other-malignancy", ICD10_GM, "C22.0 C44.9"),
    ("other-malignancy", ICD9_CM, "155.0 173.9"),
    ("infection", ICD10_CM, "B18.1 B18.2"),
    ("bile-duct-obstruction", ICD10_CM, "K80.20"),
    ("stem-cell-therapy", ICD9_CM, "410.71"),
    ("drug-abuse", ICD10_CM, "F10.20 F10.239 F17.210"),
    ("drug-abuse", ICD10, "F10.2 F17.2"),
    ("drug-abuse", ICD10_GM, "F10.2 F17.2"),
]


def _each(rows: list[tuple[str, str, str]]) -> list[Any]:
    return [
        pytest.param(name, Code(system, code), id=f"{name} {code} {system.rsplit('/', 1)[-1]}")
        for name, system, codes in rows
        for code in codes.split()
    ]


def _entries(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [*part.get("concept", []), *part.get("filter", [])]


@pytest.mark.parametrize(("name", "code"), _each(IN))
def test_every_code_of_the_reference_is_in_its_set(
    code_sets: dict[str, CodeSet], name: str, code: Code
) -> None:
    assert code_sets[name].holds(key_of(code))


@pytest.mark.parametrize(("name", "code"), _each(NOT_IN))
def test_no_code_that_the_reference_rules_out_is_in_the_set(
    code_sets: dict[str, CodeSet], name: str, code: Code
) -> None:
    assert not code_sets[name].holds(key_of(code))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_set_is_valid_r4_and_says_where_each_code_comes_from(path: Path) -> None:
    resource = json.loads(path.read_text(encoding="utf-8"))
    ValueSet.model_validate(resource)
    assert resource["url"].endswith(f"/ValueSet/{path.stem}")
    parts = [*resource["compose"]["include"], *resource["compose"].get("exclude", [])]
    for entry in (entry for part in parts for entry in _entries(part)):
        assert [mark["url"] for mark in entry["extension"]] == [SOURCE]
        assert entry["extension"][0]["valueString"].strip()


def test_every_code_of_our_own_is_defined_once_and_used(code_sets: dict[str, CodeSet]) -> None:
    resource = json.loads((FOLDER / "code-systems" / "local-findings.json").read_text("utf-8"))
    CodeSystem.model_validate(resource)
    defined = [concept["code"] for concept in resource["concept"]]
    used = {
        code.code for s in code_sets.values() for code in s.codes if code.system == LOCAL_FINDINGS
    }
    assert resource["url"] == LOCAL_FINDINGS
    assert sorted(used) == sorted(defined)


APART = [
    ("liver-cancer", "other-malignancy"),
    ("malignancy-to-judge", "other-malignancy"),
    ("malignancy-to-judge", "liver-cancer"),
    ("malignancy-uncertain", "other-malignancy"),
    ("malignancy-uncertain", "malignancy-to-judge"),
    ("drug-abuse", "alcohol-withdrawal"),
    ("test-positive", "test-negative"),
    ("pregnant-answer", "not-pregnant-answer"),
    ("breastfeeding-answer", "not-breastfeeding-answer"),
    ("gallbladder-stone", "bile-duct-obstruction"),
    ("immunosuppressant", "systemic-corticosteroid"),
    ("immunosuppressant", "immune-enhancer"),
    ("vitamin-k", "vitamin-k-antagonist"),
    ("prothrombin-time", "prothrombin-activity"),
    ("prothrombin-time", "inr"),
    *(
        (f"encephalopathy-grade-{a}", f"encephalopathy-grade-{b}")
        for a, b in ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4))
    ),
    ("encephalopathy-none", "hepatic-encephalopathy"),
    ("ascites-none", "ascites-mild"),
    ("ascites-mild", "ascites-severe"),
]


def _witnesses(code_set: CodeSet) -> set[str]:
    """Keys that show an overlap: enumerated codes, and two codes of each family."""
    found = set(code_set.keys)
    for family, more in product(code_set.families, ("", "0", "9")):
        found.add(f"{family.system}|{family.prefix}{more}")
    return {key for key in found if code_set.holds(key)}


@pytest.mark.parametrize(("one", "other"), APART)
def test_sets_that_must_stay_apart_share_no_code(
    code_sets: dict[str, CodeSet], one: str, other: str
) -> None:
    first, second = code_sets[one], code_sets[other]
    shared = {k for k in _witnesses(first) if second.holds(k)}
    assert not shared | {k for k in _witnesses(second) if first.holds(k)}


@pytest.mark.parametrize("system", ICD_ALL)
def test_c00_to_c97_without_c22_and_c44_is_another_tumour(
    code_sets: dict[str, CodeSet], system: str
) -> None:
    held = {
        number
        for number in range(100)
        if code_sets["other-malignancy"].holds(f"{system}|C{number:02d}9")
    }
    gaps = {22, 44} if system != ICD10_CM else {22, 27, 28, 29, 42, 44, 59, 97}
    assert set(range(98)) - held == gaps
    assert not held & {98, 99}


def test_an_alcohol_code_is_in_no_set_of_drugs(code_sets: dict[str, CodeSet]) -> None:
    drugs = code_sets["drug-abuse"]
    assert not any(
        drugs.holds(f"{system}|F{number}{more}")
        for system, number, more in product(ICD_ALL, (10, 17), ("", "1", "20", "239"))
    )


def test_no_procedure_code_of_icd_9_shares_its_digits_with_a_diagnosis_set(
    code_sets: dict[str, CodeSet],
) -> None:
    procedures = {"renal-replacement", "liver-transplantation", "stem-cell-therapy"}
    procedures |= {"platelet-transfusion", "plasma-or-prothrombin-complex", "paracentesis"}
    keys = {k for name in procedures for k in code_sets[name].keys if k.startswith(ICD9_CM)}
    others = [s for name, s in code_sets.items() if name not in procedures]
    assert not [(k, s.name) for k in keys for s in others if s.holds(k)]
