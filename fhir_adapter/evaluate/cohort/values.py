"""Value tests in SQL: the same comparisons as ``evaluate/values.py``, on columns of a fact.

A truth is 0 FALSE, 1 UNKNOWN, 2 TRUE: so AND is LEAST, OR is GREATEST and NOT is 2 minus. SQL
compares; canonical and reported values were worked out once, when the facts were made.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fhir_adapter.evaluate.cohort.script import least
from fhir_adapter.evaluate.values import to_canonical
from fhir_adapter.model.criterion import ValueTest
from fhir_adapter.model.mapping import Analyte
from fhir_adapter.model.quantity import Quantity

IS_NUMERIC = "({f}.value_lo IS NOT NULL OR {f}.value_hi IS NOT NULL)"


def number(value: Decimal) -> str:
    """An exact literal."""
    return f"CAST('{value:f}' AS DECIMAL(28, 9))"


def at_least(lo: str, hi: str, bound: str, hi_open: str) -> str:
    """value >= bound."""
    return (
        f"CASE WHEN {lo} >= {bound} THEN 2 "
        f"WHEN {hi} < {bound} OR ({hi} = {bound} AND {hi_open}) THEN 0 ELSE 1 END"
    )


def more_than(lo: str, hi: str, bound: str, lo_open: str) -> str:
    """value > bound."""
    return (
        f"CASE WHEN {lo} > {bound} OR ({lo} = {bound} AND {lo_open}) THEN 2 "
        f"WHEN {hi} <= {bound} THEN 0 ELSE 1 END"
    )


def compare(operator: str, fact: str, column: str, bound: str) -> str:
    """One comparison of a fact's interval (``value`` or ``reported``) with a bound."""
    lo, hi = f"{fact}.{column}_lo", f"{fact}.{column}_hi"
    match operator:
        case "at-least":
            return at_least(lo, hi, bound, f"{fact}.value_hi_open")
        case "more-than":
            return more_than(lo, hi, bound, f"{fact}.value_lo_open")
        case "at-most":
            return f"2 - ({more_than(lo, hi, bound, f'{fact}.value_lo_open')})"
        case _:
            return f"2 - ({at_least(lo, hi, bound, f'{fact}.value_hi_open')})"


def bounds_of(test: ValueTest) -> list[tuple[str, tuple[str, ...]]]:
    """(operator, printed bounds) of a test, in the order in which it names them."""
    table = (
        ("at-least", test.at_least),
        ("more-than", test.more_than),
        ("at-most", test.at_most),
        ("less-than", test.less_than),
    )
    return [(operator, printed) for operator, printed in table if printed]


Word = Callable[[str, str], int]
"""Column and word -> the number by which the word stands in that column."""


def value_test(test: ValueTest, fact: str, analyte: Analyte | None, coded: str, word: Word) -> str:
    """The truth of a value test on a fact (an alias); ``coded``: 1 where the code is a member.

    Its reason, where it is unknown, always is *recorded-unusable*.
    """
    parts: list[str] = []
    numeric = IS_NUMERIC.format(f=fact)
    bounds = [
        _bound(operator, printed, fact, analyte, word) for operator, printed in bounds_of(test)
    ]
    if bounds:
        parts.append(f"CASE WHEN NOT {numeric} THEN 1 ELSE {least(bounds)} END")
    if test.coded_in is not None:
        parts.append(f"CASE WHEN {fact}.coded = 0 THEN 1 WHEN {coded} = 1 THEN 2 ELSE 0 END")
    limits = (
        ("more-than", test.above_upper_limit, "ref_high"),
        ("less-than", test.below_lower_limit, "ref_low"),
    )
    for operator, times, limit in limits:
        if times is not None:
            bound = f"{fact}.{limit} * CAST('{Decimal(times):f}' AS DECIMAL(9, 3))"
            truth = compare(operator, fact, "value", bound)
            parts.append(
                f"CASE WHEN {fact}.{limit} IS NULL OR NOT {numeric} THEN 1 ELSE {truth} END"
            )
    return least(parts) if parts else "2"


def _bound(
    operator: str, printed: tuple[str, ...], fact: str, analyte: Analyte | None, word: Word
) -> str:
    """The reported unit chooses among the printed bounds; any other is held against the first."""
    quantities = [Quantity.parse(item) for item in printed]
    usual = compare(operator, fact, "value", number(to_canonical(quantities[0], analyte)))
    reported = f"({fact}.reported_lo IS NOT NULL OR {fact}.reported_hi IS NOT NULL)"
    cases = [
        f"WHEN {fact}.reported_unit = {word('reported_unit', quantity.unit)} AND {reported} "
        f"THEN {compare(operator, fact, 'reported', number(quantity.value))}"
        for quantity in reversed(quantities)
    ]
    return f"CASE {' '.join(cases)} ELSE {usual} END"
