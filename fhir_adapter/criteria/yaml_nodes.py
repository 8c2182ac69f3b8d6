"""YAML as written: every scalar keeps its source text, every value keeps its line.

The safe composer is used, never a constructor: `1.50` stays "1.50", `2023-09-30` and `no` stay
text; the struct that receives a value says whether it is a number. Only null is understood here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import yaml

from fhir_adapter.errors import StudyInvalid

Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str | None"
Token: TypeAlias = "str | int"  # noqa: S105 - a step of a path

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C composer where PyYAML has it: ten times faster, the same nodes and lines."""
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One YAML file: its name, its composed root and the same as plain values."""

    file: str
    root: yaml.Node
    plain: dict[str, Plain]


def fault(file: str, line: int, message: str, *, remedy: str, criterion: str = "") -> StudyInvalid:
    """The error of one place in one file; ``where`` reads "criteria.yaml line 7, criterion I2c"."""
    named = f", criterion {criterion}" if criterion else ""
    return StudyInvalid(message, where=f"{file} line {line}{named}", remedy=remedy)


def read_yaml(text: str, file: str) -> Source:
    """Compose one file whose top level must be a mapping."""
    root = _composed(text, file)
    if not isinstance(root, yaml.MappingNode):
        raise fault(file, 1, "the file is empty or no mapping", remedy="Write `key: value` lines.")
    try:
        plain = _mapping(root, file, ())
    except RecursionError:
        remedy = "Nest fewer lists and mappings."
        raise fault(file, 1, "the file is nested too deeply", remedy=remedy) from None
    return Source(file=file, root=root, plain=plain)


def _composed(text: str, file: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or "unreadable"
        raise fault(file, line, f"not YAML: {problem}", remedy=_SYNTAX) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise fault(file, 1, "not YAML: unreadable text", remedy=_SYNTAX) from error


_SYNTAX = "Look at indentation, colons and quotes on that line and the one before."


def line_of(node: yaml.Node) -> int:
    """1-based line on which a node starts."""
    return int(node.start_mark.line) + 1


def _value(node: yaml.Node, file: str, above: tuple[yaml.Node, ...]) -> Plain:
    if any(node is parent for parent in above):
        raise fault(file, line_of(node), "an alias holds itself", remedy="Write the part out.")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, file, above)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, file, (*above, node)) for item in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> str | None:
    if node.tag == _NULL:
        return None
    text = str(node.value)
    is_block = getattr(node, "style", None) in ("|", ">")
    return text.rstrip("\n") if is_block else text


def _mapping(node: yaml.MappingNode, file: str, above: tuple[yaml.Node, ...]) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    for key, value in node.value:
        name = _key(key, file)
        if name in found:
            raise fault(
                file, line_of(key), f"`{name}` is written twice", remedy="Keep one of the two."
            )
        found[name] = _value(value, file, (*above, node))
    return found


def _key(node: yaml.Node, file: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise fault(file, line_of(node), "a key must be a word", remedy="Write `key: value`.")
    return str(node.value)


def line_at(root: yaml.Node, tokens: tuple[Token, ...]) -> int:
    """Line of the deepest part of a path that the file has (a mapping entry: that of its key)."""
    node, line = root, line_of(root)
    for token in tokens:
        found = _child(node, token)
        if found is None:
            return line
        node, line = found
    return line


def _child(node: yaml.Node, token: Token) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        entries = ((key, value) for key, value in node.value if key.value == token)
        return next(((value, line_of(key)) for key, value in entries), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(token, int):
        item = node.value[token]
        return item, line_of(item)
    return None
