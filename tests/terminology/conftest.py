"""The mappings of this checkout, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_adapter.model.mapping import CodeSet, UnitTable
from fhir_adapter.terminology import load_code_sets, load_units

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def mappings_dir() -> Path:
    return ROOT / "mappings"


@pytest.fixture(scope="session")
def code_sets(mappings_dir: Path) -> dict[str, CodeSet]:
    found = load_code_sets(mappings_dir / "terminology" / "value-sets")
    return {code_set.name: code_set for code_set in found}


@pytest.fixture(scope="session")
def units(mappings_dir: Path) -> UnitTable:
    return load_units(mappings_dir / "terminology" / "units.toml")
