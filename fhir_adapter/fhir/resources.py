"""Strict FHIR: validation of what we author and of studies we are given, and an exact JSON writer.

fhir.resources has no R4 models; R4B stands in for R4 here. It checks no
required binding, drops digits of decimals on output, and lets empty lists and long ids through:
those three are checked here. Never used for patient records that are pulled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import msgspec
from fhir.resources.R4B import get_fhir_model_class
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fhir_adapter.errors import AdapterError, InternalFault
from fhir_adapter.fhir.reading import is_array, is_object
from fhir_adapter.ports import Resource

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_ID = re.compile(r"^[A-Za-z0-9.\-]{1,64}$")
_R4B_ONLY = "subjectCanonical"
_OPEN_ENDED = frozenset(("+", "etc."))
_REPORT = (
    "registered partial preliminary final amended corrected appended cancelled"
    " entered-in-error unknown"
)
_OBSERVATION = "registered preliminary final amended corrected cancelled entered-in-error unknown"
_CUT_SHORT: dict[tuple[str, str], str] = {
    ("DiagnosticReport", "status"): _REPORT,
    ("Encounter", "status"): "planned arrived triaged in-progress onleave finished cancelled"
    " entered-in-error unknown",
    ("Observation", "status"): _OBSERVATION,
    ("QuestionnaireItem", "type"): "group display boolean decimal integer date dateTime time"
    " string text url choice open-choice attachment reference quantity",
    ("Task", "status"): "draft requested received accepted rejected ready cancelled in-progress"
    " on-hold failed completed entered-in-error",
}
"""Required bindings whose list the models break off with "+"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a resource: where, and what; never the value."""

    path: str
    message: str


def problems(resource: Resource) -> tuple[Problem, ...]:
    """Everything that keeps a resource from being valid R4, in path order of each check.

    >>> problems({"resourceType": "Basic", "code": {"text": "x"}})
    ()
    """
    found = list(_raw_problems(resource, ""))
    try:
        model = get_fhir_model_class(str(resource.get("resourceType")))
    except ValueError:
        return (*found, Problem(path="resourceType", message="is no FHIR resource type"))
    try:
        parsed = model.model_validate(resource)
    except ValidationError as error:
        return (*found, *_model_problems(error))
    except KeyError:
        return (*found, Problem(path="contained", message="holds an unknown resource type"))
    return (*found, *_binding_problems(parsed, ""))


def validated(resource: Resource, *, fault: type[AdapterError] = InternalFault) -> Resource:
    """The resource itself when it is valid; otherwise ``fault`` naming every place."""
    found = problems(resource)
    if not found:
        return resource
    listed = "; ".join(f"{problem.path} {problem.message}" for problem in found)
    raise fault(
        f"not valid FHIR R4: {listed}",
        where=str(resource.get("resourceType")),
        remedy="Mend the resource at the places named.",
    )


def to_json(resource: Resource) -> bytes:
    """Compact JSON in the order of the mapping; every Decimal with all of its digits."""
    return _ENCODER.encode(resource)


def _raw_problems(value: object, path: str) -> Iterator[Problem]:
    if value is None or value in ([], {}, ""):
        yield Problem(path=path, message="is empty")
    elif isinstance(value, float):
        yield Problem(path=path, message="is a binary float: use Decimal")
    elif is_array(value):
        for index, item in enumerate(value):
            yield from _raw_problems(item, f"{path}[{index}]")
    elif is_object(value):
        yield from _mapping_problems(value, path)


def _mapping_problems(value: Resource, path: str) -> Iterator[Problem]:
    if _R4B_ONLY in value:
        yield Problem(path=_join(path, _R4B_ONLY), message="does not exist in R4")
    if "resourceType" in value and "id" in value and not _ID.match(str(value["id"])):
        yield Problem(path=_join(path, "id"), message="is no FHIR id")
    for name, item in value.items():
        yield from _raw_problems(item, _join(path, name))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _model_problems(error: ValidationError) -> Iterator[Problem]:
    """Place and kind of each error; messages and inputs may hold values and are left out."""
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in item["loc"])
        yield Problem(path=path, message=f"({item['type'].replace('_', ' ')})")


def _binding_problems(model: BaseModel, path: str) -> Iterator[Problem]:
    for name, alias, known in _fields(type(model)):
        given: object = getattr(model, name, None)
        if given is None:
            continue
        place = _join(path, alias)
        for index, value in _values(given):
            if isinstance(value, BaseModel):
                yield from _binding_problems(value, f"{place}{index}")
            elif isinstance(value, str) and not known(value):
                yield Problem(path=f"{place}{index}", message="is outside its required value set")


@cache
def _fields(kind: type[BaseModel]) -> tuple[tuple[str, str, Callable[[str], bool]], ...]:
    """Name, FHIR name and required value set of every element; the models never change."""
    return tuple(
        (name, field.alias or name, _binding(kind.__name__, name, field))
        for name, field in kind.model_fields.items()
    )


def _values(value: object) -> Iterator[tuple[str, object]]:
    if is_array(value):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    else:
        yield "", value


def _binding(kind: str, name: str, field: FieldInfo) -> Callable[[str], bool]:
    if (kind, name) == ("DataRequirement", "type"):
        return _is_type
    known = frozenset(_CUT_SHORT.get((kind, name), "").split() or _listed(field))
    return known.__contains__ if known else _is_anything


def _is_anything(_: str) -> bool:
    return True


def _listed(field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra
    listed = extra.get("enum_values") if is_object(extra) else None
    words = [str(word) for word in listed] if is_array(listed) else []
    return [] if _OPEN_ENDED.intersection(words) else words


def _is_type(name: str) -> bool:
    try:
        get_fhir_model_class(name)
    except ValueError:
        return False
    return True
