"""Matching resources against search parameters (R4 3.1.1): tokens, references, dates, uris."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.fhir.reading import is_array, is_object, parts
from fhir_adapter.model.dates import EARLIEST, LATEST, Span
from fhir_adapter.ports import Resource
from fhir_adapter.sandbox.refusal import Refusal
from fhir_adapter.sandbox.search_table import Parameter

_DATES = DateReader(ZoneInfo("UTC"))
_PREFIXES = ("eq", "ne", "ge", "gt", "le", "lt")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One parameter with its alternatives."""

    parameter: Parameter
    values: tuple[str, ...]

    def refuse_nonsense(self) -> None:
        """A date that is none is refused whether or not anything is there to compare."""
        if self.parameter.kind == "date":
            for text in self.values:
                _asked_date(text)


def matches(resource: Resource, wanted: Sequence[Wanted], base: str) -> bool:
    """Every parameter must hold; within one, any of its comma-separated values."""
    return all(_holds(resource, one, base) for one in wanted)


def values_at(resource: Resource, path: str) -> list[Any]:
    """The values at a dotted path, lists flattened."""
    found: list[Any] = [resource]
    for step in path.split("."):
        found = [inner for value in found for inner in _step(value, step)]
    return found


def _step(value: Any, step: str) -> Iterator[Any]:
    inner = value.get(step) if is_object(value) else None
    if is_array(inner):
        yield from inner
    elif inner is not None:
        yield inner


def _holds(resource: Resource, wanted: Wanted, base: str) -> bool:
    found = [value for path in wanted.parameter.paths for value in values_at(resource, path)]
    match wanted.parameter.kind:
        case "token":
            return any(_token(value, text) for value in found for text in wanted.values)
        case "reference":
            return any(_reference(value, text, base) for value in found for text in wanted.values)
        case "date":
            return any(_date(value, text) for value in found for text in wanted.values)
        case "uri":
            return any(_plain(value) == text for value in found for text in wanted.values)
        case "string":  # exhaustive
            return any(
                _plain(value).lower().startswith(text.lower())
                for value in found
                for text in wanted.values
            )


def _plain(value: Any) -> str:
    return str(value).split("|", 1)[0] if isinstance(value, str) else ""


def _token(value: Any, text: str) -> bool:
    """system|code, |code, code or system|: of a Coding, CodeableConcept, Identifier or code."""
    system, bar, code = text.rpartition("|")
    for found_system, found_code in _codes(value):
        if code and found_code != code:
            continue
        if not bar or found_system == system:
            return True
    return False


def _codes(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, bool):
        return [("", str(value).lower())]
    if isinstance(value, str):
        return [("", value)]
    if not is_object(value):
        return []
    if "coding" in value:
        return [(str(c.get("system", "")), str(c.get("code", ""))) for c in parts(value["coding"])]
    return [(str(value.get("system", "")), str(value.get("code", value.get("value", ""))))]


def _reference(value: Any, text: str, base: str) -> bool:
    sent = str(value.get("reference", "")) if is_object(value) else ""
    target = sent.removeprefix(f"{base}/").split("/_history/", 1)[0]
    asked = text.removeprefix(f"{base}/").split("/_history/", 1)[0]
    return bool(target) and (target == asked or target.rpartition("/")[2] == asked)


def _asked_date(text: str) -> tuple[str, Span]:
    prefix, sent = (text[:2], text[2:]) if text[:2] in _PREFIXES else ("eq", text)
    asked, _ = _DATES.read(sent)
    if asked is None:
        raise Refusal(400, "invalid", "a date parameter is not a date")
    return prefix, asked


def _date(value: Any, text: str) -> bool:
    prefix, asked = _asked_date(text)
    lo, hi = _span(value)
    match prefix:
        case "eq":
            return asked.lo <= lo and hi <= asked.hi
        case "ne":
            return not (asked.lo <= lo and hi <= asked.hi)
        case "ge":
            return hi > asked.lo
        case "gt":
            return hi > asked.hi
        case "le":
            return lo < asked.hi
        case _:
            return lo < asked.lo


def _span(value: Any) -> tuple[int, int]:
    if is_object(value):
        start, _ = _DATES.read(value.get("start"))
        end, _ = _DATES.read(value.get("end"))
        return (start.lo if start else EARLIEST), (end.hi if end else LATEST)
    found, _ = _DATES.read(value)
    return (found.lo, found.hi) if found is not None else (LATEST, EARLIEST)


def sort_key(resource: Resource, paths: Sequence[str]) -> tuple[int, str]:
    """Where a resource stands in a sort by date; the id settles ties."""
    found = [value for path in paths for value in values_at(resource, path)]
    return (_span(found[0])[0] if found else EARLIEST), str(resource.get("id", ""))
