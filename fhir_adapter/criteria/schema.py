"""JSON Schema of study.yaml and criteria.yaml, for editors; the structs stay the law."""

from __future__ import annotations

from typing import cast

import msgspec

from fhir_adapter.criteria.yaml_form import BOUNDS
from fhir_adapter.model.study import Study
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.ports import Resource

_ELSEWHERE = ("protocol", "criteria")


def study_schema() -> Resource:
    """The schema of both files: msgspec's own, with one word allowed where a list may stand.

    Numbers may be written bare wherever a quantity, a number or a version is text.
    """
    made = msgspec.json.schema(Study)
    parts = cast("dict[str, Resource]", made["$defs"])
    _loosen(parts["ValueTest"], BOUNDS)
    _loosen(parts["Events"], ("kind",))
    for part in parts.values():
        part["properties"] = {k: _bare(v) for k, v in part.get("properties", {}).items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{BASE}/study.schema.json",
        "title": "study.yaml or criteria.yaml (format 1)",
        "oneOf": [{"$ref": "#/$defs/Study"}, {"$ref": "#/$defs/CriteriaFile"}],
        "$defs": {**parts, "Study": _study_file(parts["Study"]), "CriteriaFile": _CRITERIA_FILE},
    }


_CRITERIA_FILE: Resource = {
    "title": "criteria.yaml",
    "type": "object",
    "properties": {
        "format": {"type": "integer"},
        "criteria": {"type": "array", "items": {"$ref": "#/$defs/Criterion"}},
    },
    "required": ["criteria"],
    "additionalProperties": False,
}


def _loosen(part: Resource, names: tuple[str, ...]) -> None:
    for name in names:
        listed = part["properties"][name]
        part["properties"][name] = {"anyOf": [_bare(listed["items"]), listed]}


def _bare(value: Resource) -> Resource:
    """A text of a numeric pattern may also be a YAML number."""
    if "anyOf" in value:
        return value | {"anyOf": [_bare(item) for item in value["anyOf"]]}
    if "items" in value:
        return value | {"items": _bare(value["items"])}
    is_numeric = value.get("pattern", "").startswith((r"^[+-]?\d", r"^\d+(\.\d+)?$"))
    return value | {"type": ["string", "number"]} if is_numeric else value


def _study_file(part: Resource) -> Resource:
    properties = {k: v for k, v in part["properties"].items() if k not in _ELSEWHERE}
    required = [name for name in part["required"] if name not in _ELSEWHERE]
    return part | {"title": "study.yaml", "properties": properties, "required": required}
