"""The normal form in which what was sent is compared with what a server kept.

Servers strip ``/_history/n`` from references, trim decimals (1.50 to 1.5), keep or add ``meta``
and make their own narrative (fhir-shapes section 3). None of that is a difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fhir_adapter.fhir.reading import is_array, is_object

_VERSION = re.compile(r"/_history/[^/#]+(?=$|#)")
_OF_THE_SERVER = frozenset(("meta", "text"))
_REFERENCES = frozenset(("reference",))


def normal_form(resource: Mapping[str, Any]) -> dict[str, Any]:
    """References without version, numbers as Decimal by value, no meta, no narrative, no nulls.

    The order of lists stays; ``text`` is left out of resources only, so CodeableConcept.text is
    compared. Contained resources are resources.

    >>> normal_form({"resourceType": "Basic", "meta": {"versionId": "3"}, "id": "1"})
    {'resourceType': 'Basic', 'id': '1'}
    """
    return _object(resource)


def same_content(sent: Mapping[str, Any], read: Mapping[str, Any]) -> bool:
    """Whether a server kept what was sent; elements that it added are not looked at."""
    return not first_difference(sent, read)


def first_difference(sent: Mapping[str, Any], read: Mapping[str, Any]) -> str:
    """Path of the first element that differs, empty when none does; never a value.

    Only what was sent is compared: an element that the server added counts for nothing, an item
    added to or missing from a list does.

    >>> first_difference({"status": "candidate"}, {"status": "screening", "id": "1"})
    'status'
    """
    return _difference(normal_form(sent), normal_form(read), str(sent.get("resourceType", "")))


def _object(value: Mapping[str, Any]) -> dict[str, Any]:
    left_out: frozenset[str] = _OF_THE_SERVER if "resourceType" in value else frozenset()
    return {
        name: _value(name, inner)
        for name, inner in value.items()
        if name not in left_out and inner is not None
    }


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if is_object(value):
        return _object(value)
    if is_array(value):
        return [_value(name, inner) for inner in value]
    if isinstance(value, str):
        return _VERSION.sub("", value) if name in _REFERENCES else value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


def _difference(sent: Any, read: Any, path: str) -> str:  # noqa: ANN401 (any JSON value)
    if is_object(sent):
        return _of_objects(sent, read, path) if is_object(read) else path
    if is_array(sent):
        return _of_lists(sent, read, path) if is_array(read) else path
    return "" if type(sent) is type(read) and sent == read else path or "resource"


def _of_objects(sent: Mapping[str, Any], read: Mapping[str, Any], path: str) -> str:
    for name, value in sent.items():
        found = _difference(value, read.get(name), f"{path}.{name}" if path else name)
        if found:
            return found
    return ""


def _of_lists(sent: Sequence[Any], read: Sequence[Any], path: str) -> str:
    if len(sent) != len(read):
        return path
    for index, (mine, theirs) in enumerate(zip(sent, read, strict=True)):
        found = _difference(mine, theirs, f"{path}[{index}]")
        if found:
            return found
    return ""
