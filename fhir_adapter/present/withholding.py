"""Which counts may be shown: none of fewer people than a limit, and none that gives one away.

A cell is a count of people. Cells of fewer than ``min_cell`` (but not of nobody) are withheld; so
are others, until no withheld cell can be worked out from those that are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Split:
    """People, and groups into which each of them falls exactly once."""

    total: str
    parts: tuple[str, ...]


def withheld(
    cells: Mapping[str, int],
    splits: Sequence[Split],
    *,
    hidden: Collection[str] = (),
    last: Sequence[str] = (),
    min_cell: int,
) -> frozenset[str]:
    """Names of the cells that must not be shown.

    ``hidden`` cells are never shown, yet could be worked out: a remainder. ``last``: cells that are
    withheld only where nothing else helps, the most precious at the end.

    >>> cells = {"all": 40, "yes": 2, "no": 30, "?": 8}
    >>> sorted(withheld(cells, [Split("all", ("yes", "no", "?"))], min_cell=5))
    ['?', 'yes']
    """
    small = {name for name, count in cells.items() if 0 < count < min_cell}
    guarded = set(small)
    # a remainder of nobody protects nothing: other tables may tell that nobody is in it
    unseen = small | {name for name in hidden if cells[name]}
    ranks = {name: place for place, name in enumerate(last, 1)}
    is_stable = False
    while not is_stable:
        is_stable = True
        for split in splits:
            more = _one_more(split, cells, guarded, unseen, ranks, min_cell)
            if more:
                guarded.add(more)
                unseen.add(more)
                is_stable = False
    return frozenset(guarded | set(hidden))


def _one_more(
    split: Split,
    cells: Mapping[str, int],
    guarded: Collection[str],
    unseen: Collection[str],
    ranks: Mapping[str, int],
    min_cell: int,
) -> str:
    """A cell to be withheld as well, so that this split gives nothing away; empty where none is."""
    members = (split.total, *split.parts)
    out = [name for name in members if name in unseen]
    if not any(name in guarded for name in out):
        return ""
    is_bounded = split.total not in out and sum(cells[name] for name in out) < min_cell
    if len(out) > 1 and not is_bounded:
        return ""
    left = [name for name in members if name not in unseen]
    order = sorted(left, key=lambda name: (not cells[name], ranks.get(name, 0), cells[name]))
    return order[0] if order else ""


@dataclass(slots=True)
class Unions:
    """Counts of people in any of several groups: which unions may be shown beside each other.

    Two unions of which one holds the other differ by people whom only the larger one has; adding a
    group to a union tells how many of the group were in it already. Both are counts of people too.
    """

    everyone: int
    min_cell: int
    _known: dict[int, int] = field(default_factory=dict[int, int])

    _barred: set[int] = field(default_factory=set[int])

    def bar(self, groups: int) -> None:
        """Withheld elsewhere."""
        self._barred.add(groups)

    def know(self, groups: int, count: int) -> None:
        """Shown elsewhere; ``groups`` is a mask."""
        self._known[groups] = count

    def admit(self, groups: int, before: int, count: int) -> bool:
        """Whether this union, ``before`` and one group more, may be shown; it then is."""
        if groups in self._known:
            return True
        added = groups & ~before
        if added == groups or groups in self._barred:  # a group alone stands in its own table
            return False
        if not self._fine([count, self.everyone - count, *self._beside(groups, count)]):
            return False
        if before in self._known and not self._fine(self._already(before, added, count)):
            return False
        self._known[groups] = count
        return True

    def _beside(self, groups: int, count: int) -> Iterable[int]:
        for other, known in self._known.items():
            if groups & other in (groups, other):
                yield abs(count - known)

    def _already(self, before: int, added: int, count: int) -> list[int]:
        """How many of the added group were there already, as far as that can be told."""
        new = count - self._known[before]
        if added in self._known:
            return [self._known[added] - new]
        # nobody was there before: what is new is the whole group, which its own table withholds
        return [] if self._known[before] else [1]

    def _fine(self, counts: Iterable[int]) -> bool:
        return not any(0 < count < self.min_cell for count in counts)
