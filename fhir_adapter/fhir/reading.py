"""Tolerant access to parsed JSON: what has the wrong type counts as not there, nothing raises."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeGuard

from fhir_adapter.model.code import Code
from fhir_adapter.ports import Resource

UNREADABLE = "unreadable"
"""In the place of a status that no code states: no table of statuses holds it."""

_NOTHING: Resource = {}
_PLAIN = re.compile(r"[A-Za-z]+/[A-Za-z0-9.-]+").fullmatch


def is_object(value: object) -> TypeGuard[Resource]:
    """Whether this is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether this is a JSON array."""
    return isinstance(value, list)


def text(value: Any) -> str:
    """A string, or "" for anything else."""
    return value if isinstance(value, str) else ""


# Every resource passes through these many times: the checks are written out, not called. A name
# of its own keeps the JSON type through them, which `isinstance` alone would lose.


def part(value: Any) -> Resource:
    """A JSON object, or an empty one."""
    found: Resource = value
    return found if isinstance(value, dict) else _NOTHING


def parts(value: Any) -> list[Resource]:
    """The objects of a JSON array; a single object counts as an array of one."""
    if value is None:
        return []
    if is_array(value):
        return [item for item in value if is_object(item)]
    return [value] if is_object(value) else []


def codings(concept: Any) -> tuple[Code, ...]:
    """The codings of a CodeableConcept as sent, in order, without displays."""
    found: Resource = concept
    listed = found.get("coding") if isinstance(concept, dict) else None
    if not is_array(listed):
        return ()
    if len(listed) == 1:
        return coding(listed[0])
    return tuple(code for item in listed for code in coding(item))


def coding(value: Any) -> tuple[Code, ...]:
    """One Coding, as a tuple of none or one; equal codings are one and the same tuple."""
    found: Resource = value
    if not isinstance(value, dict):
        return ()
    code, system = found.get("code"), found.get("system")
    if not isinstance(code, str) or not code:
        return ()
    return _one(system if isinstance(system, str) else "", code)


@lru_cache(maxsize=65536)
def _one(system: str, code: str) -> tuple[Code, ...]:
    """A hospital sends few distinct codes, each of them by the million.

    Blanks around a code or system belong to neither (R4 datatypes, code): they are left out.
    """
    system, code = system.strip(), code.strip()
    return (Code(system, code),) if code else ()


def is_malformed(concept: Any) -> bool:
    """Whether something is stated as a CodeableConcept and its codings cannot be read.

    No codings at all are no fault: words may stand for them.
    """
    found: Resource = concept
    if not isinstance(concept, dict):
        return concept is not None
    listed = found.get("coding")
    if listed is None:
        return False
    return not is_array(listed) or any(not _is_coding(item) for item in listed)


def _is_coding(item: Any) -> bool:
    return is_object(item) and isinstance(item.get("code", ""), str)


def many_codings(concepts: Any) -> tuple[Code, ...]:
    """The codings of a list of CodeableConcepts."""
    if not concepts:
        return ()
    return tuple(code for concept in parts(concepts) for code in codings(concept))


def label(concept: Any) -> str:
    """Text for people: never matched."""
    found: Resource = concept
    if not isinstance(concept, dict):
        return ""
    said = found.get("text")
    if isinstance(said, str) and said:
        return said
    for item in parts(found.get("coding")):
        shown = item.get("display")
        if isinstance(shown, str) and shown:
            return shown
    return ""


def reference(value: Any) -> str:
    """A literal reference in its relative form "Type/id"; "" where there is none.

    Absolute URLs keep their last two steps, versions are dropped, contained ("#x") and urn:uuid
    references and conditional ones stay as sent.
    """
    found: Resource = value
    sent = found.get("reference") if isinstance(value, dict) else None
    return _relative(sent) if isinstance(sent, str) else ""


@lru_cache(maxsize=1024)
def _relative(sent: str) -> str:
    """A patient and an encounter are named by all of their resources, mostly one after another.

    Few are kept, for they are people's ids.
    """
    if _PLAIN(sent):
        return sent
    if not sent or sent[0] == "#" or sent.startswith("urn:") or "?" in sent:
        return sent
    steps = sent.split("/_history/", 1)[0].rstrip("/").split("/")
    return "/".join(steps[-2:])


def first_code(concept: Any) -> str:
    """The first code of a CodeableConcept."""
    found = codings(concept)
    return found[0].code if found else ""


def status_code(concept: Any) -> str:
    """The first code of a status; UNREADABLE where one is stated, but not as a code.

    Words alone are never matched, and a status in words ("refuted") is not an absent one.
    """
    return first_code(concept) or (UNREADABLE if concept else "")


def extensions(element: Any, *urls: str) -> list[Resource]:
    """Extensions of an element with one of these urls."""
    return [item for item in parts(part(element).get("extension")) if item.get("url") in urls]
