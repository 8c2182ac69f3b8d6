"""Numbers for codes and for combinations of code systems: append only, from 1, one per store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_adapter.model.code import Code


class Dictionary:
    """Codes as sent, and which code systems stand together on a fact; 0 is the empty combination.

    >>> known = Dictionary()
    >>> known.entry((Code("urn:a", "1"), Code("urn:b", "1")))
    ([1, 2], 1)
    """

    def __init__(self, codes: Iterable[Code] = (), systems: Iterable[tuple[str, ...]] = ()) -> None:
        self.codes: list[Code] = list(codes)
        self.systems: list[tuple[str, ...]] = list(systems)
        self._codes = {code: number for number, code in enumerate(self.codes, 1)}
        self._systems = {names: number for number, names in enumerate(self.systems, 1)}
        self._entries: dict[tuple[Code, ...], tuple[list[int], int]] = {(): ([], 0)}

    def entry(self, concepts: tuple[Code, ...]) -> tuple[list[int], int]:
        """Numbers of the codes, and of the combination of their systems; new ones are added."""
        found = self._entries.get(concepts)
        if found is None:
            systems = tuple(sorted({code.system for code in concepts}))
            found = [self.code(one) for one in concepts], self.combination(systems)
            self._entries[concepts] = found
        return found

    def code(self, code: Code) -> int:
        """The number of one code."""
        number = self._codes.get(code)
        if number is None:
            self.codes.append(code)
            number = self._codes[code] = len(self.codes)
        return number

    def combination(self, systems: tuple[str, ...]) -> int:
        """The number of a sorted combination of systems; 0 where there is none."""
        if not systems:
            return 0
        number = self._systems.get(systems)
        if number is None:
            self.systems.append(systems)
            number = self._systems[systems] = len(self.systems)
        return number

    def decoded(self, numbers: Sequence[int]) -> tuple[Code, ...]:
        """The codes of some numbers."""
        return tuple(self.codes[number - 1] for number in numbers)
