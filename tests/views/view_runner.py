"""Runs a ViewDefinition (SQL on FHIR v2) over resources in memory; for tests only.

FHIRPath is evaluated by an outside engine with its R4 model; its nodes are kept between steps, so
that an element of a forEach still knows its type. A fault of the view is a ViewFault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import fhirpathpy
from fhirpathpy.engine.nodes import FP_Quantity, FP_Type, ResourceNode
from fhirpathpy.models import models

Row = dict[str, Any]
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")
_NESTING = ("forEach", "forEachOrNull", "repeat")


class ViewFault(Exception):
    """The view is not well formed, or cannot be run on these resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """An element within a resource, and the variables that are known there."""

    node: Any
    names: dict[str, Any]


def run(view: dict[str, Any], resources: Iterable[dict[str, Any]]) -> list[Row]:
    """The rows of a view, resource by resource."""
    names = check(view)
    found: list[Row] = []
    for resource in resources:
        if resource.get("resourceType") == view["resource"]:
            place = _Place(node=resource, names={**names, "rowIndex": 0})
            if all(_holds(place, where["path"]) for where in view.get("where", ())):
                found += _rows(view["select"], place)
    return found


# ---- the form of a view ------------------------------------------------------------------


def check(view: dict[str, Any]) -> dict[str, Any]:
    """The constants of a view that is well formed; ViewFault for any other."""
    if not view.get("resource") or not view.get("select"):
        raise ViewFault("a view needs a resource and a select")
    for where in view.get("where", ()):
        _compiled(where["path"])
    columns(view["select"])
    return dict(_constant(one) for one in view.get("constant", ()))


def _constant(constant: dict[str, Any]) -> tuple[str, Any]:
    values = [value for key, value in constant.items() if key.startswith("value")]
    if len(values) != 1:
        raise ViewFault(f"constant {constant.get('name')} needs one value")
    return constant["name"], values[0]


def columns(selects: Sequence[dict[str, Any]]) -> list[str]:
    """Column names of some selects, in order; ViewFault where they clash or do not match."""
    found: list[str] = []
    for select in selects:
        for key in ("forEach", "forEachOrNull"):
            if key in select:
                _compiled(select[key])
        for column in select.get("column", ()):
            if not _NAME.match(column["name"]):
                raise ViewFault(f"{column['name']!r} is no column name")
            _compiled(column["path"])
            found.append(column["name"])
        found += columns(select.get("select", ()))
        united = [columns([one]) for one in select.get("unionAll", ())]
        if any(one != united[0] for one in united):
            raise ViewFault("branches of a unionAll have different columns")
        found += united[0] if united else []
    if len(set(found)) < len(found):
        raise ViewFault("two columns of one name")
    return found


# ---- rows ------------------------------------------------------------------------------


def _rows(selects: Sequence[dict[str, Any]], place: _Place) -> list[Row]:
    """The cross product of some selects at one place."""
    found: list[Row] = [{}]
    for select in selects:
        more = _of_select(select, place)
        found = [{**one, **other} for one in found for other in more]
    return found


def _of_select(select: dict[str, Any], place: _Place) -> list[Row]:
    places = list(_places(select, place))
    if not places and "forEachOrNull" in select:
        empty = replace(place, names={**place.names, "rowIndex": 0})
        nothing = dict.fromkeys(columns([{**select, "forEachOrNull": "$this"}]))
        return [nothing | _indices(select, empty)]
    return [row for one in places for row in _at(select, one)]


def _indices(select: dict[str, Any], place: _Place) -> Row:
    """The row number of a row that stands for nothing; all its other columns are null."""
    own = [one["name"] for one in select.get("column", ()) if one["path"] == "%rowIndex"]
    return dict.fromkeys(own, place.names["rowIndex"])


def _at(select: dict[str, Any], place: _Place) -> list[Row]:
    found = [{one["name"]: _value(one, place) for one in select.get("column", ())}]
    nested = _rows(select.get("select", ()), place)
    found = [{**one, **other} for one in found for other in nested]
    if "unionAll" in select:
        united = [row for one in select["unionAll"] for row in _of_select(one, place)]
        found = [{**one, **other} for one in found for other in united]
    return found


def _places(select: dict[str, Any], place: _Place) -> Iterator[_Place]:
    if not any(key in select for key in _NESTING):
        yield place
        return
    if "repeat" in select:
        nodes = list(_repeated(select["repeat"], place))
    else:
        nodes = _nodes(place, select.get("forEach") or select["forEachOrNull"])
    for index, node in enumerate(nodes):
        yield _Place(node=node, names={**place.names, "rowIndex": index})


def _repeated(paths: Sequence[str], place: _Place) -> Iterator[Any]:
    for path in paths:
        for node in _nodes(place, path):
            yield node
            yield from _repeated(paths, replace(place, node=node))


# ---- values -----------------------------------------------------------------------------


def _holds(place: _Place, path: str) -> bool:
    found = _nodes(place, path)
    if not found:
        return False
    value = _plain(found[0])
    if len(found) > 1 or not isinstance(value, bool):
        raise ViewFault(f"{path} is no truth")
    return value


def _value(column: dict[str, Any], place: _Place) -> Any:
    values = [_plain(node) for node in _nodes(place, column["path"])]
    if column.get("collection"):
        return values
    if len(values) > 1:
        raise ViewFault(f"{column['name']} has several values")
    return values[0] if values else None


def _plain(node: Any) -> Any:
    data = node.data if isinstance(node, ResourceNode) else node
    if isinstance(data, FP_Type) and not isinstance(data, FP_Quantity):
        return getattr(data, "original", None) or getattr(data, "asStr", None) or str(data)
    return data


def _nodes(place: _Place, path: str) -> list[Any]:
    if path == "$this":  # which the engine knows within functions only
        return [place.node]
    try:
        found = _compiled(path)(place.node, place.names)
    except ViewFault:
        raise
    except Exception as fault:
        raise ViewFault(f"{path}: {type(fault).__name__}: {fault}") from fault
    return found if isinstance(found, list) else [found]


def _resource_key(inputs: Sequence[Any]) -> list[Any]:
    return [one["id"] for one in inputs if isinstance(one, dict) and "id" in one]


def _reference_key(inputs: Sequence[Any], wanted: Any = None) -> list[Any]:
    found: list[Any] = []
    for one in inputs:
        parts = str(one.get("reference", "")).split("/")
        kind, key = parts[-2:] if len(parts) >= 2 else ("", "")  # noqa: PLR2004 - Type/id
        if key and (wanted is None or wanted.name == kind):
            found.append(key)
    return found


_OPTIONS = {
    "returnRawData": True,
    "userInvocationTable": {
        "getResourceKey": {"fn": _resource_key, "arity": {0: []}},
        "getReferenceKey": {"fn": _reference_key, "arity": {0: [], 1: ["TypeSpecifier"]}},
    },
}


@cache
def _compiled(path: Any) -> Any:
    if not isinstance(path, str):
        raise ViewFault(f"{path!r} is no path")
    try:
        return fhirpathpy.compile(path, models["r4"], _OPTIONS)
    except Exception as fault:
        raise ViewFault(f"{path!r} is no FHIRPath") from fault
