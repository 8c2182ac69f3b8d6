"""Three-valued truth (strong Kleene logic) and the ordered reasons of an unknown.

Source of the tables: S. C. Kleene, Introduction to Metamathematics, section 64; CQL 1.5 uses the
same tables with null in the place of UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, NoReturn


class Truth(Enum):
    """TRUE, FALSE or UNKNOWN. Compare with ``is``; using one as a bool raises.

    >>> not_(Truth.UNKNOWN) is Truth.UNKNOWN
    True
    """

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"

    if not TYPE_CHECKING:  # pragma: no branch
        __hash__ = object.__hash__  # members are singletons; Enum's own hash runs in Python

    def __bool__(self) -> NoReturn:
        raise TypeError("a Truth has three values: compare with `is Truth.TRUE`")


def of(value: bool, /) -> Truth:  # noqa: FBT001 - the one place where a bool becomes a Truth
    """TRUE or FALSE for a plain bool."""
    return Truth.TRUE if value else Truth.FALSE


def not_(value: Truth, /) -> Truth:
    """Kleene negation: UNKNOWN stays UNKNOWN."""
    match value:
        case Truth.TRUE:
            return Truth.FALSE
        case Truth.FALSE:
            return Truth.TRUE
        case Truth.UNKNOWN:  # exhaustive
            return Truth.UNKNOWN


def all_of(values: Iterable[Truth], /) -> Truth:
    """FALSE if any is FALSE, else UNKNOWN if any is UNKNOWN, else TRUE (TRUE when empty)."""
    seen = set(values)
    if Truth.FALSE in seen:
        return Truth.FALSE
    return Truth.UNKNOWN if Truth.UNKNOWN in seen else Truth.TRUE


def any_of(values: Iterable[Truth], /) -> Truth:
    """TRUE if any is TRUE, else UNKNOWN if any is UNKNOWN, else FALSE (FALSE when empty)."""
    seen = set(values)
    if Truth.TRUE in seen:
        return Truth.TRUE
    return Truth.UNKNOWN if Truth.UNKNOWN in seen else Truth.FALSE


def at_least(n: int, values: Iterable[Truth], /) -> Truth:
    """TRUE if n are TRUE, FALSE if n can no longer be reached, else UNKNOWN."""
    listed = tuple(values)
    true = sum(1 for value in listed if value is Truth.TRUE)
    open_ = sum(1 for value in listed if value is Truth.UNKNOWN)
    if true >= n:
        return Truth.TRUE
    return Truth.UNKNOWN if true + open_ >= n else Truth.FALSE


class Reason(IntEnum):
    """Why something is unknown, in the order in which one of several is picked (lowest first)."""

    NOT_RETRIEVED = 1
    UNSUPPORTED = 2
    CODE_NOT_MAPPED = 3
    UNIT_NOT_CONVERTIBLE = 4
    RECORDED_UNUSABLE = 5
    UNCONFIRMED = 6
    PENDING = 7
    DATE_MISSING_OR_TOO_COARSE = 8
    CONFLICT = 9
    CONFOUNDED = 10
    STALE = 11
    OUTSIDE = 12
    NEVER_RECORDED = 13
    NEEDS_HUMAN = 14

    @property
    def code(self) -> str:
        """The kebab-case code used in files, FHIR and JSON."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def named(cls, code: str, /) -> Reason:
        """The reason of a kebab-case code; KeyError for another word.

        >>> Reason.named("never-recorded").name
        'NEVER_RECORDED'
        """
        return cls[code.upper().replace("-", "_")]
