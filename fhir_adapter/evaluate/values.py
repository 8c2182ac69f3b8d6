"""Value tests: an interval against printed bounds, chosen by the unit in which it was reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from fhir_adapter.model import truth as kleene
from fhir_adapter.model.code import key_of
from fhir_adapter.model.criterion import ValueTest
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.mapping import Analyte, CodeSet, UnitTable
from fhir_adapter.model.quantity import SCALE, Quantity
from fhir_adapter.model.truth import Reason, Truth

BORDERLINE = "borderline"

Tested = tuple[Truth, Reason | None, str]
"""Truth, the reason when unknown, and a remark such as borderline."""

Test = Callable[[Fact], Tested]

_Interval = tuple[Decimal | None, Decimal | None, bool, bool]
_Compare = Callable[[_Interval, Decimal], Truth]


def at_least(value: _Interval, bound: Decimal) -> Truth:
    """value >= bound for every, no, or some value of the interval."""
    lo, hi, _, hi_open = value
    if lo is not None and lo >= bound:
        return Truth.TRUE
    below = hi is not None and (hi < bound or (hi == bound and hi_open))
    return Truth.FALSE if below else Truth.UNKNOWN


def more_than(value: _Interval, bound: Decimal) -> Truth:
    """value > bound, likewise."""
    lo, hi, lo_open, _ = value
    if lo is not None and (lo > bound or (lo == bound and lo_open)):
        return Truth.TRUE
    return Truth.FALSE if hi is not None and hi <= bound else Truth.UNKNOWN


def at_most(value: _Interval, bound: Decimal) -> Truth:
    """value <= bound, likewise."""
    return kleene.not_(more_than(value, bound))


def less_than(value: _Interval, bound: Decimal) -> Truth:
    """value < bound, likewise."""
    return kleene.not_(at_least(value, bound))


def canonical_of(fact: Fact) -> _Interval:
    """The canonical value as an interval; an unbounded side is None."""
    return fact.value_lo, fact.value_hi, fact.value_lo_open, fact.value_hi_open


def _reported_of(fact: Fact) -> _Interval:
    return fact.reported_lo, fact.reported_hi, fact.value_lo_open, fact.value_hi_open


def is_numeric(fact: Fact) -> bool:
    """Whether the fact has a usable canonical number."""
    return fact.value_lo is not None or fact.value_hi is not None


@dataclass(frozen=True, slots=True)
class _Bound:
    """One comparison: the bound as printed in each unit, and each of them in canonical units."""

    compare: _Compare
    printed: tuple[Quantity, ...]
    canonical: tuple[Decimal, ...]

    def test(self, fact: Fact) -> tuple[Truth, str]:
        answers = [self.compare(canonical_of(fact), bound) for bound in self.canonical]
        truth = answers[0]
        for quantity in self.printed:
            if quantity.unit == fact.reported_unit and _reported_of(fact)[:2] != (None, None):
                truth = self.compare(_reported_of(fact), quantity.value)
        split = any(answer is not truth for answer in answers)
        return truth, BORDERLINE if split else ""


def analyte_of(code_set: CodeSet | None, units: UnitTable) -> Analyte | None:
    """The analyte that a code set measures; None where the unit table has none of its codes."""
    if code_set is None:
        return None
    found = (units.by_key.get(key_of(code)) for code in code_set.codes)
    return next((analyte for analyte in found if analyte is not None), None)


def to_canonical(quantity: Quantity, analyte: Analyte | None, *, offset: bool = True) -> Decimal:
    """A printed bound in the analyte's canonical unit (differences leave the offset out).

    ValueError when the unit is not in the analyte's table.
    """
    if analyte is None or quantity.unit == analyte.canonical:
        return quantity.value
    row = analyte.by_spelling.get(quantity.unit)
    if row is None:
        raise ValueError(f"the unit {quantity.unit!r} is not in the table of {analyte.name}")
    moved = quantity.value * row.numerator / row.denominator + (row.offset if offset else 0)
    return moved.quantize(SCALE, rounding=ROUND_HALF_EVEN)


def compile_test(
    test: ValueTest, analyte: Analyte | None, holds: Callable[[str, str], bool]
) -> Test:
    """A closure for one value test; ``holds(code set name, key)`` answers membership."""
    bounds = tuple(_bounds(test, analyte))
    parts: list[Test] = [lambda fact: _numeric(fact, bounds)] if bounds else []
    if test.coded_in is not None:
        name = test.coded_in
        parts.append(lambda fact: _coded(fact, name, holds))
    parts.extend(_limits(test))
    if len(parts) == 1:
        return parts[0]
    return lambda fact: _all(tuple(part(fact) for part in parts))


def _bounds(test: ValueTest, analyte: Analyte | None) -> list[_Bound]:
    table: tuple[tuple[_Compare, tuple[str, ...]], ...] = (
        (at_least, test.at_least),
        (more_than, test.more_than),
        (at_most, test.at_most),
        (less_than, test.less_than),
    )
    found: list[_Bound] = []
    for compare, texts in table:
        printed = tuple(Quantity.parse(text) for text in texts)
        canonical = tuple(to_canonical(quantity, analyte) for quantity in printed)
        if printed:
            found.append(_Bound(compare, printed, canonical))
    return found


def _numeric(fact: Fact, bounds: tuple[_Bound, ...]) -> Tested:
    if not is_numeric(fact):
        return Truth.UNKNOWN, Reason.RECORDED_UNUSABLE, ""
    answers = [bound.test(fact) for bound in bounds]
    truth = kleene.all_of(answer for answer, _ in answers)
    remark = next((remark for _, remark in answers if remark), "")
    return truth, Reason.RECORDED_UNUSABLE if truth is Truth.UNKNOWN else None, remark


def _coded(fact: Fact, name: str, holds: Callable[[str, str], bool]) -> Tested:
    if not fact.value_concepts:
        return Truth.UNKNOWN, Reason.RECORDED_UNUSABLE, ""
    inside = any(holds(name, key_of(code)) for code in fact.value_concepts)
    return kleene.of(inside), None, ""


def _limits(test: ValueTest) -> list[Test]:
    found: list[Test] = []
    if test.above_upper_limit is not None:
        times = Decimal(test.above_upper_limit)
        found.append(lambda fact: _against_limit(fact, fact.ref_high, times, more_than))
    if test.below_lower_limit is not None:
        share = Decimal(test.below_lower_limit)
        found.append(lambda fact: _against_limit(fact, fact.ref_low, share, less_than))
    return found


def _against_limit(fact: Fact, limit: Decimal | None, times: Decimal, compare: _Compare) -> Tested:
    if limit is None or not is_numeric(fact):
        return Truth.UNKNOWN, Reason.RECORDED_UNUSABLE, ""
    truth = compare(canonical_of(fact), limit * times)
    return truth, Reason.RECORDED_UNUSABLE if truth is Truth.UNKNOWN else None, ""


def _all(parts: tuple[Tested, ...]) -> Tested:
    truth = kleene.all_of(answer for answer, _, _ in parts)
    reasons = [reason for answer, reason, _ in parts if answer is truth and reason is not None]
    remark = next((text for _, _, text in parts if text), "")
    return truth, min(reasons) if reasons else None, remark
