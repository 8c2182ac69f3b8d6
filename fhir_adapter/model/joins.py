"""Ids that links join to one another, each group under one name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def roots_of(links: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, str]:
    """Every id that a link joins to another -> the first of all ids so joined."""
    parent: dict[str, str] = {}

    def find(one: str) -> str:
        while parent.setdefault(one, one) != one:
            one = parent[one]
        return one

    for edges in links.values():
        for old, new in edges:
            first, last = sorted((find(old), find(new)))
            parent[last] = first
    return {one: find(one) for one in list(parent)}
