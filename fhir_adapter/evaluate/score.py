"""Scores: calculators as data, every missing or uncertain item as the range of its points.

The result is a closed interval over all completions; where printed tables of an item differ the
wider range is the answer. A recorded score counts where there is one, and both are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.judged import Judged, first_reason, shown, unknown
from fhir_adapter.evaluate.retrieve import Retrieve
from fhir_adapter.evaluate.selection import later
from fhir_adapter.evaluate.values import Test, is_numeric
from fhir_adapter.model.calculator import Calculator, Item, ScoreRange, StepTable
from fhir_adapter.model.code import key_of
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.fact import Fact, Standing
from fhir_adapter.model.result import Evidence
from fhir_adapter.model.truth import Reason, Truth

Holds = Callable[[str, str], bool]
_Range = tuple[int, int]


def total(calculator: Calculator, items: dict[str, _Range | None]) -> ScoreRange:
    """The score of given item ranges; None and items not named are missing (their full range).

    >>> from fhir_adapter.model.calculator import Calculator, Item
    >>> two = (Item(name="a", lo=1, hi=3), Item(name="b", lo=1, hi=3))
    >>> score = Calculator(name="x", version="1", title="X", source="-", items=two)
    >>> total(score, {"a": (2, 2)})
    ScoreRange(lo=3, hi=5, missing=('b',))
    """
    ranges = [(items.get(item.name) or (item.lo, item.hi)) for item in calculator.items]
    missing = tuple(item.name for item in calculator.items if items.get(item.name) is None)
    return ScoreRange(
        lo=sum(lo for lo, _ in ranges), hi=sum(hi for _, hi in ranges), missing=missing
    )


def points(item: Item, fact: Fact, holds: Holds) -> _Range | None:
    """Points of one fact for one item; None when it cannot be scored."""
    keys = [key_of(code) for code in (*fact.value_concepts, *fact.concepts)]
    for entry in item.coded:  # the first line that fits: the exact ones stand above the wide ones
        if any(holds(entry.codes, key) for key in keys):
            return entry.lo, entry.hi
    tables = _tables_for(item, fact)
    if not tables or not is_numeric(fact):
        return None
    ranges = [_stepped(table, fact) for table in tables]
    return min(lo for lo, _ in ranges), max(hi for _, hi in ranges)


def _tables_for(item: Item, fact: Fact) -> list[StepTable]:
    """Tables printed in the reported unit, else those in the canonical unit."""
    reported = [table for table in item.tables if table.unit == fact.reported_unit]
    return reported or [table for table in item.tables if table.unit == fact.unit]


def _stepped(table: StepTable, fact: Fact) -> _Range:
    lo, hi = _bounds_in(table.unit, fact)
    first = table.steps[0].points if lo is None else _step(table, lo)
    last = table.steps[-1].points if hi is None else _step(table, hi)
    return min(first, last), max(first, last)


def _bounds_in(unit: str, fact: Fact) -> tuple[Decimal | None, Decimal | None]:
    """As reported where that is the table's unit, else canonical."""
    if unit == fact.reported_unit and (fact.reported_lo, fact.reported_hi) != (None, None):
        return fact.reported_lo, fact.reported_hi
    return fact.value_lo, fact.value_hi


def _step(table: StepTable, value: Decimal) -> int:
    for step in table.steps:
        if step.upper is None or value < step.upper or (step.closed and value == step.upper):
            return step.points
    return table.steps[-1].points


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledInput:
    """One item of the calculator and where its facts come from, best source first."""

    item: Item
    sources: tuple[Retrieve, ...]

    def candidates(self, case: Case) -> tuple[tuple[Fact, ...], Reason | None]:
        """Facts that may be the latest of the first source that has any; else why none."""
        reason: Reason | None = None
        for source in self.sources:
            window, found = source.in_window(case)
            problem = source.problem(case, window)
            if problem is not None:
                reason = problem if reason is None else min(reason, problem)
                continue
            facts = [item.fact for item in found]
            if facts:
                sure = [item.fact for item in found if item.sure]
                latest = [f for f in facts if not any(later(other, f) for other in sure)]
                return tuple(latest), reason
            absent = source.absent(case)
            why = first_reason(absent.opens) if absent.opens else Reason.NEVER_RECORDED
            reason = why if reason is None else min(reason, why)
        return (), reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledScore:
    """One compiled ``score`` node."""

    calculator: Calculator
    inputs: tuple[CompiledInput, ...]
    recorded: Retrieve | None
    test: Test
    number_test: Callable[[int, int], Truth]
    spread: Duration | None
    holds: Holds

    def judge(self, case: Case) -> Judged:
        """The recorded score where there is one and it does not contradict; else the interval."""
        computed = self._computed(case)
        recorded = self._recorded(case)
        if recorded is None:
            return computed
        if computed.truth is Truth.UNKNOWN:
            return Judged(recorded.truth, (*recorded.evidence, *_beside(computed)), recorded.opens)
        if recorded.truth in (computed.truth, Truth.UNKNOWN):
            return Judged(computed.truth, (*computed.evidence, *_beside(recorded)))
        return unknown(Reason.CONFLICT, *recorded.evidence, *computed.evidence)

    def _recorded(self, case: Case) -> Judged | None:
        if self.recorded is None:
            return None
        _, found = self.recorded.in_window(case)
        sure = [item.fact for item in found if item.sure]
        latest = [i.fact for i in found if not any(later(other, i.fact) for other in sure)]
        if not sure:
            return None
        return _one_answer([(fact, self._test_recorded(fact)) for fact in latest])

    def _test_recorded(self, fact: Fact) -> tuple[Truth, Reason | None]:
        if fact.standing is not Standing.COUNTS:
            return Truth.UNKNOWN, fact.standing_reason or Reason.RECORDED_UNUSABLE
        truth, reason, _ = self.test(fact)
        return truth, reason

    def _computed(self, case: Case) -> Judged:
        chosen = [(entry, *entry.candidates(case)) for entry in self.inputs]
        oldest = self._oldest_allowed([fact for _, facts, _ in chosen for fact in facts])
        items: dict[str, _Range | None] = {}
        evidence: list[Evidence] = []
        reasons: list[Reason] = []
        for entry, facts, reason in chosen:
            kept = [fact for fact in facts if fact.start_date_hi >= oldest]
            items[entry.item.name], why = self._item(entry.item, kept, len(facts), reason)
            reasons.extend([why] if why is not None else [])
            evidence.extend(shown(kept, entry.item.name)[:1])
        score = total(self.calculator, items)
        truth = self.number_test(score.lo, score.hi)
        note = f"{self.calculator.title} {score.lo}-{score.hi}"
        shown_facts = tuple(Evidence(item.fact, f"{item.why}: {note}") for item in evidence)
        if truth is Truth.UNKNOWN:
            return unknown(min(reasons, default=Reason.CONFLICT), *shown_facts)
        return Judged(truth, shown_facts)

    def _item(
        self, item: Item, kept: Sequence[Fact], seen: int, reason: Reason | None
    ) -> tuple[_Range | None, Reason | None]:
        if not kept:
            return None, Reason.STALE if seen else reason or Reason.NEVER_RECORDED
        unusable = [
            fact.standing_reason or Reason.RECORDED_UNUSABLE
            for fact in kept
            if fact.standing is not Standing.COUNTS
        ]
        ranges = [points(item, fact, self.holds) for fact in kept]
        known = [found for found in ranges if found is not None]
        if unusable or len(known) < len(ranges):
            return None, min(unusable, default=Reason.RECORDED_UNUSABLE)
        return (min(lo for lo, _ in known), max(hi for _, hi in known)), None

    def _oldest_allowed(self, facts: Sequence[Fact]) -> int:
        if self.spread is None or not facts:
            return 0
        return self.spread.shift(max(fact.start_date_lo for fact in facts), -1)


def _one_answer(tested: Sequence[tuple[Fact, tuple[Truth, Reason | None]]]) -> Judged:
    facts = [fact for fact, _ in tested]
    truths = {truth for _, (truth, _) in tested}
    if len(truths) == 1 and Truth.UNKNOWN not in truths:
        return Judged(truths.pop(), shown(facts))
    reasons = [reason for _, (_, reason) in tested if reason is not None]
    return unknown(min(reasons, default=Reason.CONFLICT), *shown(facts))


def _beside(other: Judged) -> tuple[Evidence, ...]:
    return tuple(Evidence(item.fact, f"beside: {item.why}".rstrip(": ")) for item in other.evidence)
