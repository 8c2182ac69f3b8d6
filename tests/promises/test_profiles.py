"""What our resources use stands in profiles/: every system, extension and identifier of ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter.fhir.resources import problems

ROOT = Path(__file__).parents[2]
VIEWS = ROOT / "profiles" / "views"  # no resources of R4: tests/views looks at them
FILES = sorted(p for p in (ROOT / "profiles").rglob("*.json") if p.parent != VIEWS)
BASE = "https://fhir-adapter.example/fhir"


def resource_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_profile_is_valid_and_named_by_its_file(path: Path) -> None:
    resource = resource_of(path)
    assert problems(resource) == ()
    assert resource["id"] == path.stem


def test_every_name_of_ours_in_the_code_is_defined() -> None:
    defined = {one["url"] for one in map(resource_of, FILES) if "url" in one}
    for one in map(resource_of, FILES):
        defined |= {unique["value"] for unique in one.get("uniqueId", ())}
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "fhir_adapter").rglob("*.py"))
    kinds = "CodeSystem|StructureDefinition|NamingSystem|ValueSet"
    written = set(re.findall(rf"\{{BASE\}}/((?:{kinds})/[a-z0-9-]+)", code))
    assert written
    local = {"CodeSystem/local-findings"}  # shipped with the terminology
    assert [name for name in sorted(written - local) if f"{BASE}/{name}" not in defined] == []
