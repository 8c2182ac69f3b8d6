"""Absence: how a criterion reads silence, and when silence of a record is known."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.evaluate.case import Case
from fhir_adapter.model.criterion import AbsencePolicy
from fhir_adapter.model.dates import DATE_LATEST
from fhir_adapter.model.fact import Kind, Standing
from fhir_adapter.model.mapping import CodeSet

ORDER_DAYS = 7
"""An active order this recent makes a missing result *pending*."""

KNOWN_DAYS = 30
"""Known here: one fact more than this many days before the current admission."""

_NO_SYSTEMS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Absence:
    """How one criterion reads silence."""

    policy: AbsencePolicy
    reopen_outside: bool
    known_kinds: tuple[Kind, ...]
    """The resource types of the row: what "known here" counts."""


def systems_of(code_set: CodeSet | None) -> frozenset[str] | None:
    """Systems in which silence about a set means absence; None where it always does."""
    if code_set is None or code_set.is_mapped_here:
        return None
    return code_set.systems - code_set.partial_systems


def is_not_mapped(case: Case, kinds: tuple[Kind, ...], systems: frozenset[str] | None) -> bool:
    """Facts of these kinds exist, none in a code system that the set uses."""
    if systems is None:
        return False
    present = False
    for kind in kinds:
        if not systems.isdisjoint(case.systems.get(kind, _NO_SYSTEMS)):
            return False
        present = present or kind in case.by_kind
    return present


def known_here(case: Case, absence: Absence) -> bool:
    """At least two facts of the row's kinds from two encounters, one over 30 days before admission.

    A fact without an encounter counts by its local date.
    """
    memo = case.memo.get(("known", absence.known_kinds))
    if isinstance(memo, bool):
        return memo
    facts = [
        fact
        for kind in absence.known_kinds
        for fact in case.by_kind.get(kind, ())
        if fact.standing is Standing.COUNTS and fact.start_date_hi < DATE_LATEST
    ]
    visits = {fact.encounter or str(fact.start_date_hi) for fact in facts}
    limit = case.admission.start_date - KNOWN_DAYS
    answer = len(facts) >= 2 and len(visits) >= 2 and any(f.start_date_hi < limit for f in facts)  # noqa: PLR2004 - two facts of two visits
    case.memo[("known", absence.known_kinds)] = answer
    return answer
