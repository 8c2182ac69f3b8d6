"""All studies in one row of line numbers, so that numpy answers for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhir_adapter.evaluate.many.lines import Shared

Marks = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Studies one after another; each ends with one more line, which holds nobody back."""

    flat: NDArray[np.int32]
    """Line numbers."""
    lengths: NDArray[np.int64]
    """How many of them each study has: never none."""

    @property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths) - self.lengths

    def lowest(self, marks: Marks) -> Marks:
        """The lowest mark of each study."""
        found: Marks = np.minimum.reduceat(marks[self.flat], self._starts)
        return found

    def any(self, lines: Flags) -> Flags:
        """Study by study, whether it has any of these lines."""
        found: Flags = np.logical_or.reduceat(lines[self.flat], self._starts)
        return found

    def only(self, studies: Flags) -> Row:
        """The row of some of the studies."""
        return Row(self.flat[np.repeat(studies, self.lengths)], self.lengths[studies])

    def most_shared(self, lines: Flags, n: int) -> list[int]:
        """At most n of the lines, those that most studies here have."""
        counts = np.bincount(self.flat[lines[self.flat]])
        order = np.argsort(-counts, kind="stable")[: min(n, np.count_nonzero(counts))]
        return [int(number) for number in order]


def row_of(of_study: Sequence[Sequence[Shared]], lines: Sequence[Shared]) -> Row:
    """The row of all studies; ``lines`` gives the numbers, the one after them holds nobody back."""
    number = {id(line): place for place, line in enumerate(lines)}
    last = len(lines)
    flat = [n for some in of_study for n in (*(number[id(line)] for line in some), last)]
    return Row(
        np.array(flat, dtype=np.int32),
        np.array([len(some) + 1 for some in of_study], dtype=np.int64),
    )
