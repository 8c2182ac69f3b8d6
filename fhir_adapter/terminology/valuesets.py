"""FHIR ValueSets to code sets and back.

Understood: enumerated concepts, and one ``concept is-a`` filter per include on ICD-10, ICD-10-CM,
ICD-10-GM, ICD-9-CM and ATC, where the tree is the beginning of the code. An ICD block such as
C00-C97 is all its three-character families. A closed expansion is taken as it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from fhir_adapter.errors import TerminologyInvalid
from fhir_adapter.fhir.reading import is_object, part, parts
from fhir_adapter.model.code import ATC, ICD_SYSTEMS, Code, key_of
from fhir_adapter.model.mapping import CodeSet, Family
from fhir_adapter.ports import Resource
from fhir_adapter.terminology.reading import shown

FAMILY_SYSTEMS = ICD_SYSTEMS | {ATC}
UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
_FAMILY = 3
"""Characters of the shortest ICD family."""
_BLOCK = re.compile(r"^([A-Z]?)(\d{2,3})-([A-Z]?)(\d{2,3})$")


PARTIAL = "https://fhir-adapter.example/fhir/StructureDefinition/partial-system"
"""On an include: the system is enumerated at a level that real data seldom carries."""


class _Part(NamedTuple):
    codes: tuple[Code, ...]
    families: tuple[Family, ...]


def load_code_sets(folder: Path) -> tuple[CodeSet, ...]:
    """Every value set of a folder, by name; the file is named like the end of the url."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        remedy = "Point to a folder with one ValueSet per file."
        raise TerminologyInvalid("no value sets", where=folder.name, remedy=remedy)
    return tuple(_from_file(path) for path in paths)


def _from_file(path: Path) -> CodeSet:
    try:
        resource = json.loads(path.read_text(encoding="utf-8"))
        code_set = code_set_from_value_set(resource if is_object(resource) else {})
    except ValueError as fault:
        raise TerminologyInvalid("not JSON", where=shown(path), remedy="Mend the file.") from fault
    except TerminologyInvalid as fault:
        where = f"{shown(path)} {fault.where}".strip()
        raise TerminologyInvalid(fault.message, where=where, remedy=fault.remedy) from fault
    if code_set.name != path.stem:
        remedy = f"Name the file {code_set.name}.json."
        raise TerminologyInvalid("the url ends in another name", where=shown(path), remedy=remedy)
    return code_set


def code_set_from_value_set(resource: Resource) -> CodeSet:
    """The code set that a ValueSet describes; TerminologyInvalid for what is not understood.

    >>> entry = {"system": "http://loinc.org", "concept": [{"code": "1975-2"}]}
    >>> url = "https://fhir-adapter.example/fhir/ValueSet/total-bilirubin"
    >>> code_set_from_value_set(
    ...     {"resourceType": "ValueSet", "url": url, "compose": {"include": [entry]}}
    ... ).name
    'total-bilirubin'
    """
    url = _url(resource)
    expansion = resource.get("expansion")
    if is_object(expansion) and _is_closed(expansion):
        inside, outside = _Part(tuple(_contained(expansion)), ()), _Part((), ())
    else:
        inside, outside = _composed(resource)
    return CodeSet(
        name=url.rsplit("/", 1)[-1],
        url=url,
        version=str(resource.get("version", "")),
        codes=inside.codes,
        families=inside.families,
        partial_systems=_partial_systems(resource),
        without_codes=outside.codes,
        without_families=outside.families,
    )


def _url(resource: Resource) -> str:
    if resource.get("resourceType") != "ValueSet":
        _refuse("not a ValueSet", "", "Give a FHIR R4 ValueSet.")
    url = resource.get("url")
    if not isinstance(url, str) or not url.rsplit("/", 1)[-1]:
        _refuse("the ValueSet has no url", "ValueSet.url", "Give it a canonical url.")
    return url


def _partial_systems(resource: Resource) -> frozenset[str]:
    return frozenset(
        str(entry.get("system"))
        for entry in parts(part(resource.get("compose")).get("include"))
        for mark in parts(entry.get("extension"))
        if mark.get("url") == PARTIAL and mark.get("valueBoolean")
    )


def _is_closed(expansion: dict[str, Any]) -> bool:
    marks = expansion.get("extension", [])
    return not any(mark.get("url") == UNCLOSED and mark.get("valueBoolean") for mark in marks)


def _contained(holder: dict[str, Any]) -> Iterable[Code]:
    for entry in holder.get("contains", []):
        if "code" in entry and not entry.get("abstract"):
            yield _code(entry.get("system"), entry["code"], "ValueSet.expansion")
        yield from _contained(entry)


def _composed(resource: Resource) -> tuple[_Part, _Part]:
    compose = resource.get("compose")
    if not is_object(compose) or not compose.get("include"):
        _refuse("nothing is included", "ValueSet.compose", "List codes, or one family per include.")
    return _joined(compose, "include"), _joined(compose, "exclude")


def _joined(compose: dict[str, Any], key: str) -> _Part:
    parts = [
        _part(entry, f"ValueSet.compose.{key}[{place}]")
        for place, entry in enumerate(compose.get(key, []))
    ]
    codes = dict.fromkeys(code for part in parts for code in part.codes)
    families = dict.fromkeys(family for part in parts for family in part.families)
    return _Part(tuple(codes), tuple(families))


def _part(entry: dict[str, Any], place: str) -> _Part:
    system, concepts, filters = entry.get("system"), entry.get("concept"), entry.get("filter", [])
    if "valueSet" in entry or not isinstance(system, str):
        _refuse("only codes and families of a system are understood", place, _EXPAND)
    if bool(concepts) == bool(filters):
        _refuse("an include needs either concepts or one filter", place, "Split the include.")
    if concepts:
        return _Part(tuple(_code(system, concept.get("code"), place) for concept in concepts), ())
    return _Part((), _families(system, filters, place))


_EXPAND = "Expand it with a terminology server first."


def _code(system: object, code: object, place: str) -> Code:
    if not isinstance(system, str) or not isinstance(code, str) or not code.strip():
        _refuse("a concept has no system or no code", place, "Give both.")
    return Code(system, code)


def _families(system: str, filters: list[dict[str, Any]], place: str) -> tuple[Family, ...]:
    if len(filters) != 1:
        _refuse("filters of one include are joined with and", place, "One family per include.")
    test = filters[0]
    if (test.get("property"), test.get("op")) != ("concept", "is-a"):
        _refuse("only the filter concept is-a is understood", place, _EXPAND)
    if system not in FAMILY_SYSTEMS:
        _refuse(f"families are not understood in {system}", place, _EXPAND)
    value = str(test.get("value", ""))
    return tuple(Family(system=system, prefix=p) for p in _prefixes(system, value, place))


def _prefixes(system: str, value: str, place: str) -> tuple[str, ...]:
    block = _BLOCK.match(value) if system in ICD_SYSTEMS else None
    if block is not None:
        return _block_prefixes(block, value, place)
    prefix = key_of(Code(system, value)).split("|", 1)[1]
    if len(prefix) < _FAMILY:
        _refuse(f"{value!r} is too short for a family", place, "Name at least three characters.")
    return (prefix,)


def _block_prefixes(block: re.Match[str], value: str, place: str) -> tuple[str, ...]:
    letter, first, other, last = block.groups()
    same_form = letter == other and len(first) == len(last) and len(letter + first) == _FAMILY
    if not same_form or int(first) > int(last):
        _refuse(f"{value!r} is not a block of one letter", place, "Cut it, one letter per include.")
    numbers = range(int(first), int(last) + 1)
    return tuple(f"{letter}{number:0{len(first)}d}" for number in numbers)


def _refuse(message: str, place: str, remedy: str) -> NoReturn:
    raise TerminologyInvalid(message, where=place, remedy=remedy)


def value_set_with_expansion(code_set: CodeSet, resource: Resource, *, at: str) -> Resource:
    """``resource`` with the enumerated codes as its expansion, stamped ``at`` (a FHIR dateTime).

    With families the expansion is marked unclosed: it lists what is enumerated, not all.
    """
    kept = [code for code in code_set.codes if code_set.holds(key_of(code))]
    expansion: dict[str, Any] = {
        "timestamp": at,
        "total": len(kept),
        "contains": [{"system": code.system, "code": code.code} for code in kept],
    }
    if code_set.families:
        expansion["extension"] = [{"url": UNCLOSED, "valueBoolean": True}]
        del expansion["total"]
    return {**resource, "expansion": expansion}
