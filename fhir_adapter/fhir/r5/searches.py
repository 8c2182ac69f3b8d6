"""Search parameters, and values of them, that have another name in R5."""

from __future__ import annotations

from collections.abc import Mapping

Params = Mapping[str, str | tuple[str, ...]]

_SUBJECT = {"patient": "subject", "individual": "subject", "status": "subject_state"}
_RENAMED: Mapping[str, Mapping[str, str]] = {"ResearchSubject": _SUBJECT}
_ENCOUNTER = {
    "arrived": "in-progress",
    "triaged": "in-progress",
    "onleave": "on-hold",
    "finished": "completed",
}
_REVALUED: Mapping[tuple[str, str], Mapping[str, str]] = {("Encounter", "status"): _ENCOUNTER}
"""R5 tells arrived and triaged apart in another element (Encounter.subjectStatus)."""


def params_to_r5(resource_type: str, params: Params) -> Params:
    """The same search as R5 names it.

    >>> params_to_r5("ResearchSubject", {"patient": "1"})
    {'subject': 'Patient/1'}
    """
    params = {name: _revalued(resource_type, name, said) for name, said in params.items()}
    names = _RENAMED.get(resource_type)
    if names is None:
        return params
    return {_name(names, name): _value(names, name, said) for name, said in params.items()}


def params_to_r4(resource_type: str, offered: frozenset[str]) -> frozenset[str]:
    """The parameters that a server offers, by their R4 names too."""
    names = _RENAMED.get(resource_type, {})
    return offered | {old for old, new in names.items() if new in offered}


def _name(names: Mapping[str, str], name: str) -> str:
    plain, colon, modifier = name.partition(":")
    return f"{names.get(plain, plain)}{colon}{modifier}"


def _revalued(resource_type: str, name: str, said: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Each of the alternatives, once; a value that every code of it would need stays as it is."""
    codes = _REVALUED.get((resource_type, name))
    if codes is None or not isinstance(said, str):
        return said
    return ",".join(dict.fromkeys(codes.get(one, one) for one in said.split(",")))


def _value(
    names: Mapping[str, str], name: str, said: str | tuple[str, ...]
) -> str | tuple[str, ...]:
    """``subject`` may be of several types: an id alone names nobody."""
    if names.get(name) != "subject":
        return said
    return _typed(said) if isinstance(said, str) else tuple(map(_typed, said))


def _typed(said: str) -> str:
    return said if "/" in said else f"Patient/{said}"
