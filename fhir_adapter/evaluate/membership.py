"""Which code sets hold a code."""

from __future__ import annotations

from fhir_adapter.evaluate.values import Test
from fhir_adapter.model import truth as kleene
from fhir_adapter.model.code import key_of
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.truth import Reason, Truth


class Membership:
    """Which code sets hold a key; worked out once per distinct key, whatever the set's size."""

    def __init__(self, code_sets: dict[str, CodeSet]) -> None:
        self.code_sets: dict[str, CodeSet] = code_sets
        self._known: dict[str, tuple[str, ...]] = {}

    def __call__(self, key: str) -> tuple[str, ...]:
        """Names of the sets that hold a key, in their order."""
        found = self._known.get(key)
        if found is None:
            found = tuple(name for name, code_set in self.code_sets.items() if code_set.holds(key))
            self._known[key] = found
        return found

    def holds(self, name: str, key: str) -> bool:
        """Whether one named set holds a key."""
        return name in self(key)


def coded_as(membership: Membership, name: str) -> Test:
    """Whether one of a fact's codes is in a named set: of a kind, a grade."""

    def test(fact: Fact) -> tuple[Truth, Reason | None, str]:
        inside = any(membership.holds(name, key_of(code)) for code in fact.concepts)
        return kleene.of(inside), None, ""

    return test
