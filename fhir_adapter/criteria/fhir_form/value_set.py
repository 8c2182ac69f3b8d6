"""CodeSet <-> ValueSet: enumerated codes in compose and expansion, families as is-a filters."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import PARTIAL_SYSTEM, UNCLOSED, filled
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.code import ICD_SYSTEMS, Code, key_of
from fhir_adapter.model.mapping import CodeSet, Family
from fhir_adapter.ports import Resource

_DOT_AFTER = 3
"""ICD-10 and ICD-9-CM diagnosis codes have their dot behind the third character."""


def value_set(code_set: CodeSet, made: Publication) -> Resource:
    """The ValueSet that travels with a study: what the criteria are judged by, enumerated."""
    original = made.originals.get(code_set.url, {})
    codes = _Wording(original)
    kept = {name: original.get(name) for name in ("description", "copyright", "publisher")}
    return filled(
        {
            "resourceType": "ValueSet",
            "id": code_set.name,
            "url": code_set.url,
            "version": code_set.version,
            "name": original.get("name") or _camel(code_set.name),
            "title": original.get("title") or code_set.name,
            "status": original.get("status") or made.status,
            **kept,
            "compose": _compose(code_set, codes),
            "expansion": _expansion(code_set, codes, made),
        }
    )


class _Wording:
    """Displays and spelled filter values of a curated ValueSet."""

    def __init__(self, original: Resource) -> None:
        compose = original.get("compose", {})
        includes = [*compose.get("include", ()), *compose.get("exclude", ())]
        self._displays = {
            Code(str(include.get("system")), str(item.get("code"))): str(item.get("display", ""))
            for include in includes
            for item in include.get("concept", ())
        }
        self._spelled = {
            _undotted(str(include.get("system")), str(item.get("value"))): str(item.get("value"))
            for include in includes
            for item in include.get("filter", ())
        }

    def of(self, code: Code) -> Resource:
        """Code and display as a concept of compose or expansion."""
        return filled({"code": code.code, "display": self._displays.get(code, "")})

    def spelled(self, family: Family) -> str:
        """The family's code with its dot: as curated, else by the rule of ICD diagnoses."""
        known = self._spelled.get(_undotted(family.system, family.prefix))
        return known or _dotted(family)


def _dotted(family: Family) -> str:
    prefix = family.prefix
    if family.system not in ICD_SYSTEMS or len(prefix) <= _DOT_AFTER:
        return prefix
    return f"{prefix[:_DOT_AFTER]}.{prefix[_DOT_AFTER:]}"


def _undotted(system: str, value: str) -> str:
    return value.replace(".", "") if system in ICD_SYSTEMS else value


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def _compose(code_set: CodeSet, codes: _Wording) -> Resource:
    include = [
        _marked(part, code_set.partial_systems)
        for part in _parts(code_set.codes, code_set.families, codes)
    ]
    exclude = _parts(code_set.without_codes, code_set.without_families, codes)
    return filled({"inactive": True, "include": include, "exclude": exclude})


def _parts(listed: Iterable[Code], families: Iterable[Family], codes: _Wording) -> list[Resource]:
    enumerated = [
        {"system": system, "concept": [codes.of(code) for code in group]}
        for system, group in groupby(listed, key=lambda code: code.system)
    ]
    filters = [{"system": f.system, "filter": [_is_a(codes.spelled(f))]} for f in families]
    return [*enumerated, *filters]


def _marked(include: Resource, partial: frozenset[str]) -> Resource:
    mark = {"url": PARTIAL_SYSTEM, "valueBoolean": True}
    return {"extension": [mark], **include} if include["system"] in partial else include


def _is_a(value: str) -> Resource:
    return {"property": "concept", "op": "is-a", "value": value}


def _expansion(code_set: CodeSet, codes: _Wording, made: Publication) -> Resource:
    """Enumerated codes; marked unclosed where families have members that only a server knows."""
    listed = [
        {"system": code.system, **codes.of(code)}
        for code in code_set.codes
        if code_set.holds(key_of(code))
    ]
    mark = [{"url": UNCLOSED, "valueBoolean": True}] if code_set.families else []
    return filled({"extension": mark, "timestamp": made.published, "contains": listed})


def code_set_from(resource: Resource, name: str) -> CodeSet:
    """Read our own form back; any other way of composing is refused by name."""
    compose = resource.get("compose", {})
    include, exclude = compose.get("include", ()), compose.get("exclude", ())
    return CodeSet(
        name=name,
        url=str(resource.get("url", "")),
        version=str(resource.get("version", "")),
        codes=_codes(include),
        families=_families(include, name),
        partial_systems=frozenset(str(part["system"]) for part in include if _is_partial(part)),
        without_codes=_codes(exclude),
        without_families=_families(exclude, name),
    )


def _is_partial(include: Resource) -> bool:
    marks = include.get("extension", ())
    return any(mark.get("url") == PARTIAL_SYSTEM and mark.get("valueBoolean") for mark in marks)


def _codes(includes: Iterable[Resource]) -> tuple[Code, ...]:
    return tuple(
        Code(str(include["system"]), str(item["code"]))
        for include in includes
        for item in include.get("concept", ())
    )


def _families(includes: Iterable[Resource], name: str) -> tuple[Family, ...]:
    found: list[Family] = []
    for include in includes:
        _refuse_other(include, name)
        system = str(include["system"])
        values = (str(item["value"]) for item in include.get("filter", ()))
        found += [Family(system=system, prefix=_undotted(system, value)) for value in values]
    return tuple(found)


def _refuse_other(include: Resource, name: str) -> None:
    filters = include.get("filter", ())
    others = [item for item in filters if (item["property"], item["op"]) != ("concept", "is-a")]
    if others or "valueSet" in include or "system" not in include or len(filters) > 1:
        raise StudyInvalid(
            f"the value set {name} is composed in a way that is not read here",
            where=f"ValueSet {name}",
            remedy="Send it with enumerated codes and one is-a filter per include.",
        )
