"""Real ids for the placeholders of a finished resource: ``Device/{id}``, braces and all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_adapter.errors import InternalFault
from fhir_adapter.fhir.reading import is_array, is_object
from fhir_adapter.ports import Resource

PLACEHOLDER = "{id}"


def placeholder(resource_type: str) -> str:
    """The reference that stands for a resource whose id is not known yet."""
    return f"{resource_type}/{PLACEHOLDER}"


def filled(resource: Resource, ids: Mapping[str, str]) -> Resource:
    """A copy with ``Type/{id}`` replaced; a type without an id in ``ids`` is our mistake."""
    found: Resource = _filled(resource, ids)
    return found


def _filled(value: Any, ids: Mapping[str, str]) -> Any:  # noqa: ANN401 (any JSON value)
    if is_object(value):
        return {name: _of_element(name, inner, ids) for name, inner in value.items()}
    if is_array(value):
        return [_filled(inner, ids) for inner in value]
    return value


def _of_element(name: str, value: Any, ids: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON value
    if name != "reference" or not isinstance(value, str) or not value.endswith(f"/{PLACEHOLDER}"):
        return _filled(value, ids)
    wanted = value.removesuffix(f"/{PLACEHOLDER}")
    if wanted not in ids:
        raise InternalFault("a resource names something that was not written", where=wanted)
    return f"{wanted}/{ids[wanted]}"


def mentions(value: Any, resource_type: str) -> bool:  # noqa: ANN401 (any JSON value)
    """Whether the placeholder of this type stands anywhere as a reference."""
    if is_object(value):
        here = value.get("reference") == placeholder(resource_type)
        return here or any(mentions(inner, resource_type) for inner in value.values())
    if is_array(value):
        return any(mentions(inner, resource_type) for inner in value)
    return False


def with_targets(provenance: Resource, changed: Mapping[str, str]) -> Resource:
    """Just what was written, in the place of the placeholders; targets of other kinds stay."""
    wanted = {placeholder(name) for name in changed}
    targets = [
        target
        for target in provenance.get("target", [])
        if not str(target.get("reference", "")).endswith(f"/{PLACEHOLDER}")
        or target["reference"] in wanted
    ]
    named = {str(target.get("reference", "")) for target in targets}
    more = [{"reference": one} for one in sorted(wanted - named)]
    return {**provenance, "target": [*more, *targets]}


def without_output(task: Resource) -> Resource:
    """A Task without its link to an opinion that the server does not keep."""
    return {name: value for name, value in task.items() if name != "output"}
