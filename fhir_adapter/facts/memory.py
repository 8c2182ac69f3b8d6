"""What a site has sent before is not worked out again: memories that cannot grow without end."""

from __future__ import annotations

from typing import TypeVar

MOST_REMEMBERED = 50_000

_K = TypeVar("_K")
_V = TypeVar("_V")


def remember(known: dict[_K, _V], key: _K, found: _V) -> _V:
    """Keep what was worked out; a full memory starts anew."""
    if len(known) >= MOST_REMEMBERED:
        known.clear()
    known[key] = found
    return found
