"""The sample study and everything its names are found in."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.criteria.yaml_form import study_from_yaml
from fhir_adapter.model.calculator import Calculator, CodedPoints, Item, Step, StepTable
from fhir_adapter.model.code import ATC, ICD10, LOINC, RXNORM, SNOMED, Code
from fhir_adapter.model.mapping import Analyte, CodeSet, Family, UnitRow, UnitTable
from fhir_adapter.model.study import Study
from fhir_adapter.model.vocabulary import VALUE_SET

SAMPLE = Path(__file__).parent / "sample"


@dataclass(frozen=True, kw_only=True)
class World:
    """A study and all that it refers to."""

    study: Study
    code_sets: tuple[CodeSet, ...]
    calculators: tuple[Calculator, ...]
    units: UnitTable
    resources: tuple[dict[str, Any], ...]
    """Curated ValueSets: wording for some of the code sets."""

    @property
    def used(self) -> tuple[Study, tuple[CodeSet, ...], tuple[Calculator, ...]]:
        return self.study, self.code_sets, self.calculators


def code_set(name: str, *codes: Code, **rest: Any) -> CodeSet:
    return CodeSet(name=name, url=f"{VALUE_SET}/{name}", version="1.0.0", codes=codes, **rest)


CODE_SETS = (
    code_set("ascites", Code(SNOMED, "389026000")),
    code_set("bilirubin", Code(LOINC, "1975-2"), Code(SNOMED, "1"), Code(LOINC, "14631-6")),
    code_set("cirrhosis", families=(Family(system=ICD10, prefix="K746"),)),
    code_set("dialysis", Code(SNOMED, "265764009")),
    code_set(
        "liver-cancer",
        Code(ICD10, "C22.0"),
        families=(Family(system=ICD10, prefix="C22"), Family(system=ICD10, prefix="Z850")),
        without_codes=(Code(ICD10, "C22.9"),),
        without_families=(Family(system=ICD10, prefix="C227"),),
    ),
    code_set("liver-failure", Code(SNOMED, "59927004")),
    code_set(
        "sedative",
        Code(RXNORM, "3322"),
        families=(Family(system=ATC, prefix="N05BA"),),
        partial_systems=frozenset((RXNORM,)),
    ),
)

RESOURCES: tuple[dict[str, Any], ...] = (
    {
        "resourceType": "ValueSet",
        "url": f"{VALUE_SET}/liver-cancer",
        "name": "LiverCancer",
        "title": "Liver cancer",
        "status": "active",
        "copyright": "Nobody's.",
        "compose": {
            "include": [
                {
                    "system": ICD10,
                    "concept": [{"code": "C22.0", "display": "Liver cell carcinoma"}],
                },
                {
                    "system": ICD10,
                    "filter": [{"property": "concept", "op": "is-a", "value": "Z85.0"}],
                },
            ]
        },
    },
)

CALCULATORS = (
    Calculator(
        name="points",
        version="1.0.0",
        title="Points",
        source="invented",
        items=(
            Item(
                name="bilirubin",
                lo=1,
                hi=3,
                tables=(
                    StepTable(
                        printed="standard",
                        unit="mg/dL",
                        steps=(
                            Step(upper=Decimal("2.50"), closed=False, points=1),
                            Step(upper=None, closed=False, points=3),
                        ),
                    ),
                ),
                coded=(CodedPoints(codes="ascites", lo=2, hi=3),),
            ),
        ),
    ),
)

UNITS = UnitTable(
    analytes=(
        Analyte(
            name="bilirubin",
            canonical="mg/dL",
            codes=(Code(LOINC, "1975-2"), Code(LOINC, "14631-6")),
            rows=(UnitRow(unit="mg/dL", spellings=()), UnitRow(unit="umol/L", spellings=())),
            source="invented",
        ),
    )
)


@pytest.fixture(scope="session")
def sample_files() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in SAMPLE.iterdir()}


@pytest.fixture(scope="session")
def world(sample_files: dict[str, str]) -> World:
    return World(
        study=study_from_yaml(sample_files),
        code_sets=CODE_SETS,
        calculators=CALCULATORS,
        units=UNITS,
        resources=RESOURCES,
    )
