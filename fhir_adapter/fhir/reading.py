"""Tolerant access to parsed JSON: what has the wrong type counts as not there, nothing raises."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

from fhir_adapter.model.code import Code
from fhir_adapter.ports import Resource

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


def part(value: Any) -> Resource:
    """A JSON object, or an empty one."""
    return value if is_object(value) else _NOTHING


def parts(value: Any) -> list[Resource]:
    """The objects of a JSON array; a single object counts as an array of one."""
    if is_array(value):
        return [item for item in value if is_object(item)]
    return [value] if is_object(value) else []


def codings(concept: Any) -> tuple[Code, ...]:
    """The codings of a CodeableConcept as sent, in order, without displays."""
    if not is_object(concept):
        return ()
    listed = concept.get("coding")
    if not is_array(listed):
        return ()
    return tuple(
        Code(text(item.get("system")), code)
        for item in listed
        if is_object(item) and (code := text(item.get("code")))
    )


def coding(value: Any) -> tuple[Code, ...]:
    """One Coding, as a tuple of none or one."""
    found = part(value)
    code = text(found.get("code"))
    return (Code(text(found.get("system")), code),) if code else ()


def many_codings(concepts: Any) -> tuple[Code, ...]:
    """The codings of a list of CodeableConcepts."""
    return tuple(code for concept in parts(concepts) for code in codings(concept))


def label(concept: Any) -> str:
    """Text for people: never matched."""
    found = part(concept)
    if text(found.get("text")):
        return text(found["text"])
    shown = (text(item.get("display")) for item in parts(found.get("coding")))
    return next((display for display in shown if display), "")


def reference(value: Any) -> str:
    """A literal reference in its relative form "Type/id"; "" where there is none.

    Absolute URLs keep their last two steps, versions are dropped, contained ("#x") and urn:uuid
    references and conditional ones stay as sent.
    """
    sent = text(part(value).get("reference"))
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


def extensions(element: Any, *urls: str) -> list[Resource]:
    """Extensions of an element with one of these urls."""
    return [item for item in parts(part(element).get("extension")) if item.get("url") in urls]
