"""Ids of one person that were merged: Patient.link followed to the end (design section 3).

Only ``replaced-by`` and ``replaces`` join two ids; ``seealso`` and ``refer`` do not. A cycle is an
issue and no merge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fhir_adapter.ports import Resource
from fhir_adapter.pull.references import dicts, target_of

Edge = tuple[str, str]
"""(replaced id, surviving id)."""

_MOST_IDS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The other ids of a person, in the order found, and what was wrong with them."""

    aliases: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()


def edges_of(patient: Resource, *, base: str = "") -> frozenset[Edge]:
    """What one Patient says about its own replacement.

    ``base``: of the server that it is on, where that is known: a link to somebody with the same id
    on another server joins nobody here.
    """
    own = str(patient.get("id", ""))
    found = set[Edge]()
    for link in dicts(patient.get("link")):
        other = target_of(link.get("other"))
        if other is None or other.resource_type != "Patient":
            continue
        if base and not other.is_on(base):
            continue
        if link.get("type") == "replaced-by":
            found.add((own, other.id))
        elif link.get("type") == "replaces":
            found.add((other.id, own))
    return frozenset(found)


def follow(start: str, edges_at: Callable[[str], Iterable[Edge]]) -> Merge:
    """All ids that are joined to ``start``; none of them where the edges run in a circle."""
    ids, edges = [start], set[Edge]()
    for known in ids:
        for edge in sorted(edges_at(known)):
            edges.add(edge)
            ids.extend(end for end in edge if end not in ids)
        if len(ids) > _MOST_IDS:
            return Merge(issues=("merge-too-wide",))
    if _is_cyclic(edges):
        return Merge(issues=("merge-cycle",))
    return Merge(aliases=tuple(ids[1:]))


def _is_cyclic(edges: set[Edge]) -> bool:
    """Whether ids remain after taking away, again and again, those that nothing replaces."""
    left = set(edges)
    while left:
        replaced = {old for old, _ in left}
        ends = {edge for edge in left if edge[1] not in replaced}
        if not ends:
            return True
        left -= ends
    return False
