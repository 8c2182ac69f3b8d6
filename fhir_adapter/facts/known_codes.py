"""Facts whose codes nobody here can read: no value set holds them or uses their code system.

A diagnosis that was typed as text, or in a system of the hospital's own that no ConceptMap reads,
may be the very one that a criterion asks about. It decides nothing, and it must not go unsaid.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.vocabulary import WITHOUT_KNOWN_CODE

_KINDS = frozenset((Kind.CONDITION, Kind.MEDICATION, Kind.PROCEDURE, Kind.ALLERGY))
"""Kinds whose silence is assumed to be absence; a laboratory has many codes that no study reads."""


class KnownCodes:
    """Remembers for every distinct code whether anything in mappings/ can say what it is."""

    def __init__(self, code_sets: Iterable[CodeSet]) -> None:
        self._sets = tuple(code_sets)
        whole = (one.systems - one.partial_systems for one in self._sets)
        self._systems: frozenset[str] = frozenset().union(*whole)
        self._known: dict[Code, bool] = {}

    def issues(self, facts: Iterable[Fact]) -> set[str]:
        """One issue per kind of which some fact cannot be read; empty where all can."""
        unread = {fact.kind for fact in facts if fact.kind in _KINDS and self._is_unread(fact)}
        return {f"{kind.value}-{WITHOUT_KNOWN_CODE}" for kind in unread}

    def _is_unread(self, fact: Fact) -> bool:
        says_nothing = fact.standing is Standing.IGNORED or fact.recorded_absence
        return not says_nothing and not any(self._is_known(code) for code in fact.concepts)

    def _is_known(self, code: Code) -> bool:
        found = self._known.get(code)
        if found is None:
            key = key_of(code)
            found = code.system in self._systems or any(one.holds(key) for one in self._sets)
            self._known[code] = found
        return found
