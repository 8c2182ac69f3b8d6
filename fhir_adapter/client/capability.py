"""What a server says that it can do. It may be wrong: the doctor proves what the pull relies on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from fhir_adapter.errors import NotFhir, OtherVersion, ServerBroken
from fhir_adapter.fhir import r5
from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Resource

_NO_ANSWER = ("Bundle", "OperationOutcome")
_R4 = re.compile(r"4\.[0-3]\.\d+")
_R5 = re.compile(r"5\.0\.\d+")
_VERSION = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCapability:
    """One resource type of a CapabilityStatement."""

    resource_type: str
    interactions: frozenset[str] = frozenset()
    search_params: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()
    versioning: str = ""
    update_create: bool = False
    conditional_create: bool = False
    conditional_update: bool = False

    def offers_include(self, parameter: str) -> bool:
        """Whether ``_include=Type:parameter`` is listed, or everything is."""
        named = {"*", f"{self.resource_type}:*", f"{self.resource_type}:{parameter}"}
        return not named.isdisjoint(self.includes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """The server part of a CapabilityStatement."""

    fhir_version: str = ""
    """Empty where the server did not say."""
    interactions: frozenset[str] = frozenset()
    """System level: transaction, batch, search-system, ..."""
    software: str = ""
    """Name and version; empty where the server did not say."""
    types: tuple[TypeCapability, ...] = ()
    """Empty: the statement says nothing, and everything has to be tried."""

    @property
    def is_r5(self) -> bool:
        """Whether it speaks R5 (5.0.x): then its types are told in R4's terms here."""
        return bool(_R5.fullmatch(self.fhir_version))

    def of(self, resource_type: str) -> TypeCapability | None:
        """What is said about one type; None where it is not listed."""
        return next((t for t in self.types if t.resource_type == resource_type), None)


def capability_of(statement: Resource, *, where: str, takes_r5: bool = False) -> Capability:
    """A CapabilityStatement as our words; OtherVersion for another version than R4 or R4B.

    With ``takes_r5`` R5 (5.0.x) is taken too, of its types those that can be told in R4.
    ServerBroken where a FHIR server answers with something else (Medplum's router, measured).
    """
    kind = statement.get("resourceType")
    version = str(statement.get("fhirVersion", ""))
    if kind == "Conformance":
        raise _other(_named(version) or "DSTU2", where)
    if kind != "CapabilityStatement":
        fault = ServerBroken if kind in _NO_ANSWER else NotFhir
        raise fault("no CapabilityStatement under /metadata", where=where, remedy=_REMEDY)
    is_r5 = takes_r5 and _R5.fullmatch(version) is not None
    if version and not (is_r5 or _R4.fullmatch(version)):
        raise _other(_named(version) or "of another version", where)
    rest = next(
        (r for r in _dicts(statement.get("rest")) if r.get("mode") == "server"), dict[str, Any]()
    )
    said = Capability(
        fhir_version=version,
        software=software_of(statement),
        interactions=_codes(rest.get("interaction"), "code"),
        types=tuple(_type(item) for item in _dicts(rest.get("resource"))),
    )
    return _in_r4_terms(said) if is_r5 else said


_AT_ONCE = frozenset(("batch", "transaction"))
_READING = frozenset(("read", "vread", "search-type", "history-instance", "history-type"))


def _in_r4_terms(said: Capability) -> Capability:
    """Types that are not read are not offered, those that are not written only to be read.

    Nor are batches: their searches are written before it is known whom they are for.
    """
    types = tuple(_type_in_r4_terms(one) for one in said.types if one.resource_type in r5.READ)
    return replace(said, interactions=said.interactions - _AT_ONCE, types=types)


def _type_in_r4_terms(said: TypeCapability) -> TypeCapability:
    params = r5.params_to_r4(said.resource_type, said.search_params)
    if said.resource_type in r5.WRITTEN:
        return replace(said, search_params=params)
    shown = (said.interactions & _READING) or _READING
    return replace(said, search_params=params, interactions=shown)


def software_of(statement: Resource) -> str:
    """CapabilityStatement.software, name and version: printable and short, whatever is sent."""
    said = as_object(statement.get("software"))
    named = " ".join(_strings([said.get("name"), said.get("version")])).strip()
    return "".join(sign for sign in named if sign.isprintable())[:60]


_REMEDY = "Give the base URL of an R4 (4.0.1) endpoint."
_OTHER = (
    "Give the base URL of its R4 (4.0.1) endpoint: many servers have one beside this, at another "
    "path, such as /R4 or /fhir/r4."
)
_OTHER_R5 = f"{_OTHER} R5 is taken by `screen`, `explain`, `worklist`, `watch` and `serve`."
_NAMES = {"0": "DSTU1", "1": "DSTU2", "3": "STU3", "5": "R5", "6": "R6"}


def _other(said: str, where: str) -> OtherVersion:
    remedy = _OTHER_R5 if said.startswith("R5") else _OTHER
    return OtherVersion(f"the server speaks FHIR {said}, not R4", where=where, remedy=remedy)


def _named(version: str) -> str:
    """``STU3 (3.0.2)``; empty where it is no version, for it could be any text."""
    found = _VERSION.match(version)
    if found is None:
        return ""
    name = _NAMES.get(found.group().partition(".")[0], "")
    return f"{name} ({found.group()})" if name else found.group()


def _type(item: dict[str, Any]) -> TypeCapability:
    return TypeCapability(
        resource_type=str(item.get("type", "")),
        interactions=_codes(item.get("interaction"), "code"),
        search_params=_codes(item.get("searchParam"), "name"),
        includes=frozenset(_strings(as_array(item.get("searchInclude")))),
        versioning=str(item.get("versioning", "")),
        update_create=item.get("updateCreate") is True,
        conditional_create=item.get("conditionalCreate") is True,
        conditional_update=item.get("conditionalUpdate") is True,
    )


def _codes(items: object, name: str) -> frozenset[str]:
    return frozenset(_strings(item.get(name) for item in _dicts(items)))


def _dicts(items: object) -> Iterator[dict[str, Any]]:
    yield from (as_object(item) for item in as_array(items))


def _strings(items: Iterable[object]) -> Iterator[str]:
    yield from (item for item in items if isinstance(item, str))
