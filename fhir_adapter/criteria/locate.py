"""From msgspec's error text to a place in a file, what was wrong there, and what to write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from typing import TypeAlias, cast, get_args

import msgspec
from msgspec import inspect as shape

from fhir_adapter.criteria.yaml_nodes import Plain, Token
from fhir_adapter.model.criterion import (
    DurationOrNone,
    DurationText,
    EdgeText,
    NumberText,
    QuantityText,
)
from fhir_adapter.model.study import Study

_PATH = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
_QUOTED = re.compile(r"`([^`]*)`")
_ANY_KEY = "[...]"
_TAGS = ("node", "anchor")
_EXAMPLES = (
    (DurationText, "a length of time such as `7 days`"),
    (DurationOrNone, "a length of time such as `7 days`, or `none`"),
    (QuantityText, "a number and its unit such as `5 mg/dL`"),
    (NumberText, "a bare number such as `3` or `1.5`"),
    (EdgeText, "an edge such as `as-of - 7 days`, `admission` or `onset.end + 28 days`"),
)
Type: TypeAlias = shape.Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One error of msgspec in words, and the path to its place."""

    tokens: tuple[Token, ...]
    message: str
    remedy: str


def trouble(error: msgspec.ValidationError, raw: Plain) -> Trouble:
    """What msgspec said about ``raw`` as a Study, told to the author of the file."""
    text = str(error)
    found = _PATH.search(text)
    problem = text[: found.start()] if found else text
    tokens = _tokens(found["path"]) if found else ()
    return _told(problem, tokens, raw)


def _tokens(path: str) -> tuple[Token, ...]:
    steps = (match.groups() for match in _STEP.finditer(path))
    return tuple(int(index) if index else name or rest for name, index, rest in steps)


def _told(problem: str, tokens: tuple[Token, ...], raw: Plain) -> Trouble:
    quoted = _QUOTED.findall(problem)
    if problem.startswith("Object contains unknown field"):
        return _unknown_field(quoted[0], tokens, raw)
    if problem.startswith("Object missing required field"):
        return _missing_field(quoted[0], tokens, raw)
    if problem.startswith("Invalid"):
        return _invalid_value(tokens, raw)
    return _wrong_shape(problem, tokens)


def _unknown_field(name: str, tokens: tuple[Token, ...], raw: Plain) -> Trouble:
    known = _field_names(_type_at(tokens, raw))
    return Trouble(
        tokens=(*tokens, name), message=f"unknown field `{name}`", remedy=nearest(name, known)
    )


def _missing_field(name: str, tokens: tuple[Token, ...], raw: Plain) -> Trouble:
    choices = _choices((*tokens, name), raw)
    remedy = f"Add `{name}:`{f' ({_one_of(choices)})' if choices else ''}."
    return Trouble(tokens=tokens, message=f"`{name}` is missing", remedy=remedy)


def _invalid_value(tokens: tuple[Token, ...], raw: Plain) -> Trouble:
    choices = _choices(tokens, raw)
    written = _raw_at(tokens, raw)
    if tokens[-1:] == (_ANY_KEY,):
        # msgspec does not say under which key: the first value that is no choice
        above = cast("dict[str, Plain]", _raw_at(tokens[:-1], raw))
        written = next(value for value in above.values() if value not in choices)
    message = f"`{written}` cannot stand at `{_name(tokens)}`"
    return Trouble(tokens=tokens, message=message, remedy=nearest(str(written), choices))


def _wrong_shape(problem: str, tokens: tuple[Token, ...]) -> Trouble:
    example = next((words for text, words in _EXAMPLES if _pattern(text) in problem), "")
    message = f"`{_name(tokens)}` cannot be read"
    if example:
        return Trouble(tokens=tokens, message=message, remedy=f"Write {example}.")
    expected = _plain_words(problem)
    return Trouble(
        tokens=tokens, message=f"{message}: {expected}", remedy="See docs/criteria.md for its form."
    )


def _pattern(text: object) -> str:
    return repr(get_args(text)[1].pattern)


def _plain_words(problem: str) -> str:
    words = problem[:1].lower() + problem[1:]
    for machine, human in _HUMAN:
        words = words.replace(f"`{machine}`", human).replace(f"`{machine} | null`", human)
    return words


_HUMAN = (
    ("object", "a mapping"),
    ("array", "a list"),
    ("str", "text"),
    ("bool", "`true` or `false`"),
)


def nearest(name: str, known: tuple[str, ...]) -> str:
    """The remedy for a wrong name: the one that was probably meant, else all there are.

    >>> nearest("gat", ("gate", "lasts"))
    'Did you mean `gate`?'
    """
    close = get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Write {_one_of(known)}." if known else "There is none to choose from."


def _one_of(names: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f"`{name}`" for name in names)


def _name(tokens: tuple[Token, ...]) -> str:
    named = [token for token in tokens if isinstance(token, str) and token != _ANY_KEY]
    return named[-1] if named else "study"


def _raw_at(tokens: tuple[Token, ...], raw: Plain) -> Plain:
    for token in tokens:
        raw = _step_raw(raw, token)
    return raw


def _step_raw(raw: Plain, token: Token) -> Plain:
    if isinstance(raw, dict):
        return raw.get(str(token))
    return raw[token] if isinstance(raw, list) and isinstance(token, int) else None


@lru_cache(maxsize=1)
def _study_type() -> Type:
    return shape.type_info(Study)


def _type_at(tokens: tuple[Token, ...], raw: Plain) -> Type | None:
    found: Type | None = _picked(_study_type(), raw)
    for token in tokens:
        raw = _step_raw(raw, token)
        below = _step_type(found, token)
        found = None if below is None else _picked(below, raw)
    return found


def _step_type(found: Type | None, token: Token) -> Type | None:
    if isinstance(found, shape.StructType):
        fields = (field.type for field in found.fields if field.encode_name == token)
        return next(fields, None)
    if isinstance(found, shape.VarTupleType):
        return found.item_type
    return found.value_type if isinstance(found, shape.DictType) else None


def _picked(found: Type, raw: Plain) -> Type:
    """Of a union the struct whose tag stands in ``raw``, where one does."""
    if not isinstance(found, shape.UnionType) or not isinstance(raw, dict):
        return found
    structs = [part for part in found.types if isinstance(part, shape.StructType)]
    fitting = [part for part in structs if raw.get(part.tag_field or "") == part.tag]
    return fitting[0] if fitting else found


def _field_names(found: Type | None) -> tuple[str, ...]:
    fields = found.fields if isinstance(found, shape.StructType) else ()
    tag = found.tag_field if isinstance(found, shape.StructType) else None
    return (*((tag,) if tag else ()), *(field.encode_name for field in fields))


def _choices(tokens: tuple[Token, ...], raw: Plain) -> tuple[str, ...]:
    """The words that may stand at a path: tags of a node, members of an enum or literal."""
    if tokens and tokens[-1] in _TAGS:
        above = _type_at(tokens[:-1], raw)
        return _tags(above)
    return _words(_type_at(tokens, raw))


def _tags(found: Type | None) -> tuple[str, ...]:
    parts = found.types if isinstance(found, shape.UnionType) else ()
    return tuple(str(part.tag) for part in parts if isinstance(part, shape.StructType))


def _words(found: Type | None) -> tuple[str, ...]:
    if isinstance(found, shape.UnionType):
        return tuple(word for part in found.types for word in _words(part))
    if isinstance(found, shape.LiteralType):
        return tuple(str(value) for value in found.values)
    if isinstance(found, shape.EnumType):
        members: list[Enum] = list(found.cls)
        return tuple(str(member.value) for member in members)
    return ()
