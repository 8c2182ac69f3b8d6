"""What a statement reads beside the fact tables: code sets by number, code systems by bit.

Codes never stand in the statement. Whoever runs it asks here which concepts of a store's
dictionary belong to which set, and which combinations of code systems count as mapped.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property

from fhir_adapter.evaluate.absence import systems_of
from fhir_adapter.evaluate.membership import Membership
from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.mapping import CodeSet

EVERY_CODE = -1
"""In the place of a set's number: facts are read whatever their codes."""
BITS = 62
"""Code-system sets per mask column."""


class Inputs:
    """Numbers for code sets and single codes, and bits for sets of code systems."""

    def __init__(self) -> None:
        self.sets: dict[str, CodeSet] = {}
        """Code sets by name, of the study that is being compiled."""
        self._shared: dict[str, CodeSet] = {}
        self._sets: dict[str, int] = {}
        self._exact: dict[Code, int] = {}
        self._systems: dict[frozenset[str], int] = {}
        self._heard: list[set[int]] = []
        self.words: dict[str, dict[str, int]] = {}
        """Column of a fact -> the words that something compares with it, numbered from 1."""

    def begin(self, sets: dict[str, CodeSet]) -> None:
        """From now on these are the study's code sets; equal ones are shared with those before."""
        self.sets = sets

    def number(self, name: str) -> int:
        """The number of a code set of the present study."""
        shared = self._name_of(self.sets[name])
        return self._said(self._sets.setdefault(shared, self._next()))

    def _name_of(self, wanted: CodeSet) -> str:
        """The name of a set in all studies: its own, or another where studies differ in it."""
        name = wanted.name
        while self._shared.setdefault(name, wanted) != wanted:
            name += "'"
        return name

    def exact(self, code: Code) -> int:
        """The number of the set that holds one code and nothing else."""
        return self._said(self._exact.setdefault(code, self._next()))

    def word(self, column: str, word: str) -> int:
        """The number of a word that stands in a column; zero is any other word."""
        known = self.words.setdefault(column, {})
        return known.setdefault(word, len(known) + 1)

    def every_code(self) -> int:
        """The number that stands for any code."""
        return self._said(EVERY_CODE)

    @contextmanager
    def listening(self) -> Generator[set[int]]:
        """Every number that is asked for meanwhile."""
        heard = set[int]()
        self._heard.append(heard)
        try:
            yield heard
        finally:
            self._heard.remove(heard)

    def _said(self, number: int) -> int:
        for heard in self._heard:
            heard.add(number)
        return number

    def _next(self) -> int:
        return len(self._sets) + len(self._exact)

    def bit(self, name: str) -> int | None:
        """The bit of a set's code systems; None where silence about it always means absence."""
        systems = systems_of(self.sets[name])
        if systems is None:
            return None
        return self._systems.setdefault(systems, len(self._systems))

    @property
    def masks(self) -> int:
        """How many mask columns there are."""
        return -(-len(self._systems) // BITS)

    def concept_sets(self, concepts: Iterable[tuple[int, Code]]) -> Iterator[tuple[int, int]]:
        """(concept, set number) of every concept of a dictionary that some set holds."""
        for concept, code in concepts:
            if code in self._exact:
                yield concept, self._exact[code]
            for name in self._membership(key_of(code)):
                yield concept, self._sets[name]

    @cached_property
    def _membership(self) -> Membership:
        """Which sets hold a code; asked for when all studies are compiled."""
        return Membership({name: self._shared[name] for name in self._sets})

    def system_masks(
        self, combinations: Iterable[tuple[int, frozenset[str]]]
    ) -> Iterator[tuple[int, ...]]:
        """(combination, mask, mask, ...): a bit is set where a combination touches its systems."""
        for number, systems in combinations:
            masks = [0] * self.masks
            for wanted, bit in self._systems.items():
                if not systems.isdisjoint(wanted):
                    masks[bit // BITS] |= 1 << (bit % BITS)
            yield (number, *masks)
