"""Numbers and units: canonical values from exact ratios, intervals for comparators and ranges.

No unit engine: a table per analyte (design section 11). An unknown pair of analyte and unit is
*unit-not-convertible*, never guessed; the number stays beside it as it was sent.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import msgspec
from msgspec.structs import replace

from fhir_adapter.facts.memory import remember
from fhir_adapter.fhir.reading import part, parts, text
from fhir_adapter.model.code import Code, key_of
from fhir_adapter.model.mapping import Analyte, UnitRow, UnitTable
from fhir_adapter.model.quantity import LIMIT, SCALE
from fhir_adapter.model.truth import Reason

UCUM = "http://unitsofmeasure.org"
NOT_CONVERTIBLE = "unit-not-convertible"
NUMBER_IN_TEXT = "number-in-text"
NOT_A_NUMBER = "value-not-a-number"
TOO_LARGE = "value-does-not-fit"
UNIT_CONTRADICTS = "unit-contradicts-code"
OFF_SCALE = "value-off-scale"
NEGATIVE = "value-negative"
"""Every analyte of the unit table is a concentration, count, ratio or grade: never below 0."""

_WORDS = {
    "less than or equal to": "<=",
    "greater than or equal to": ">=",
    "less than": "<",
    "greater than": ">",
}
_IN_TEXT = re.compile(r"^(<=|>=|<|>)?\s*(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?\s*(\S.*)?$")


class Measured(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One value: canonical and reported interval, the text as sent, and what is wrong with it."""

    lo: Decimal | None = None
    hi: Decimal | None = None
    lo_open: bool = False
    hi_open: bool = False
    unit: str = ""
    reported_lo: Decimal | None = None
    reported_hi: Decimal | None = None
    reported_unit: str = ""
    raw: str = ""
    raw_unit: str = ""
    comparator: str = ""
    problem: Reason | None = None
    issues: tuple[str, ...] = ()


NOTHING = Measured()


_NUMBERS = frozenset((int, float, Decimal))
"""What a JSON number becomes; a bool is an int to Python, but none of these."""

_Key = tuple[str, str, str, str, int]
"""(number, unit, the unit's text where it is another than its code, comparator, analyte's id)"""


class Quantities:
    """Reads quantities for one site's unit table; every distinct one is worked out once.

    A laboratory prints few distinct numbers per analyte. What is remembered hangs on the text of
    the number, never on its value: 5.0 and 5.00 are equal, but not the same as sent. The analyte
    is remembered with it, so that an identity is never taken for another's.
    """

    def __init__(self, units: UnitTable) -> None:
        self._by_key = units.by_key
        self._analytes: dict[tuple[Code, ...], Analyte | None] = {}
        self._quantities: dict[_Key, tuple[Analyte | None, Measured]] = {}
        self._limits: dict[_Key, tuple[Analyte, Decimal | None]] = {}

    def analyte(self, concepts: tuple[Code, ...]) -> Analyte | None:
        """The analyte of the first coding that the unit table knows."""
        try:
            return self._analytes[concepts]
        except KeyError:
            found = (self._by_key.get(key_of(code)) for code in concepts)
            known = next((analyte for analyte in found if analyte is not None), None)
            return remember(self._analytes, concepts, known)

    def quantity(self, value: Any, analyte: Analyte | None) -> Measured:
        """A Quantity, SimpleQuantity or Age."""
        sent = part(value)
        number = sent.get("value")
        if type(number) not in _NUMBERS:
            issues = (NOT_A_NUMBER,) if "value" in sent else ()
            return Measured(raw_unit=_unit(sent), problem=Reason.RECORDED_UNUSABLE, issues=issues)
        unit = _unit(sent)
        comparator = text(sent.get("comparator"))
        key = (str(number), unit, _beside(sent, unit), comparator, id(analyte))
        known = self._quantities.get(key)
        if known is None or known[0] is not analyte:
            known = remember(self._quantities, key, (analyte, self._measured(key, analyte)))
        return known[1]

    def _measured(self, key: _Key, analyte: Analyte | None) -> Measured:
        raw, unit, beside, comparator, _ = key
        number = Decimal(raw)
        if not number.is_finite():
            problem = Reason.RECORDED_UNUSABLE
            return Measured(raw_unit=unit, problem=problem, issues=(NOT_A_NUMBER,))
        lo, hi, lo_open, hi_open = _interval(number, comparator)
        found = Measured(
            lo=lo, hi=hi, lo_open=lo_open, hi_open=hi_open,
            raw=raw, raw_unit=unit, comparator=comparator,
        )  # fmt: skip
        if _contradict(unit, beside, analyte):
            return _unfit(found, UNIT_CONTRADICTS)
        return self.convert(found, unit, analyte)

    def range(self, value: Any, analyte: Analyte | None) -> Measured:
        """A Range: both ends closed; a missing end is unbounded."""
        sent = part(value)
        low, high = part(sent.get("low")), part(sent.get("high"))
        lo, hi = decimal(low.get("value")), decimal(high.get("value"))
        unit = _unit(low) or _unit(high)
        raw = f"{raw_number(low.get('value'))} - {raw_number(high.get('value'))}"
        if lo is None and hi is None:
            return Measured(raw=raw, problem=Reason.RECORDED_UNUSABLE, issues=(NOT_A_NUMBER,))
        found = Measured(lo=lo, hi=hi, raw=raw, raw_unit=unit)
        ends = [(_unit(end), _beside(end, _unit(end))) for end in (low, high)]
        if any(_contradict(code, beside, analyte) for code, beside in ends):
            return _unfit(found, UNIT_CONTRADICTS)
        return self.convert(found, unit, analyte)

    def number(self, value: Any, analyte: Analyte | None) -> Measured:
        """A bare number (valueInteger)."""
        found = decimal(value)
        if found is None:
            return Measured(problem=Reason.RECORDED_UNUSABLE, issues=(NOT_A_NUMBER,))
        return self.convert(Measured(lo=found, hi=found, raw=raw_number(value)), "", analyte)

    def in_text(self, value: str, analyte: Analyte | None) -> Measured:
        """A number in a text ("LESS THAN 1.0", "1.2 - 1.4"), where it is unambiguous."""
        found = _IN_TEXT.match(_signs(value))
        if found is None:
            return NOTHING
        comparator, first, second, unit = found[1] or "", found[2], found[3], found[4] or ""
        if second is not None and comparator:
            return NOTHING
        if unit and (analyte is None or unit not in analyte.by_spelling):
            return NOTHING
        if second is not None:
            read = Measured(lo=Decimal(first), hi=Decimal(second))
        else:
            lo, hi, lo_open, hi_open = _interval(Decimal(first), comparator)
            read = Measured(lo=lo, hi=hi, lo_open=lo_open, hi_open=hi_open)
        whole = replace(
            read, raw=value, raw_unit=unit, comparator=comparator, issues=(NUMBER_IN_TEXT,)
        )
        return self.convert(whole, unit, analyte)

    def convert(self, found: Measured, unit: str, analyte: Analyte | None) -> Measured:
        """The same value in the analyte's canonical unit; without an analyte only as reported."""
        said_lo, said_hi = _held(found.lo), _held(found.hi)
        if _too_large(said_lo) or _too_large(said_hi):
            return _unfit(found, TOO_LARGE)
        if analyte is not None and (_negative(said_lo) or _negative(said_hi)):
            return _unfit(found, NEGATIVE)
        if analyte is None:
            return replace(
                found, lo=None, hi=None,
                reported_lo=said_lo, reported_hi=said_hi, reported_unit=unit,
            )  # fmt: skip
        row = analyte.by_spelling.get(unit)
        if row is None:
            return replace(
                found, lo=None, hi=None, reported_lo=said_lo, reported_hi=said_hi,
                reported_unit=unit, problem=Reason.UNIT_NOT_CONVERTIBLE,
                issues=(*found.issues, NOT_CONVERTIBLE),
            )  # fmt: skip
        lo, hi = _canonical(found.lo, row), _canonical(found.hi, row)
        if _too_large(lo) or _too_large(hi):
            return _unfit(found, TOO_LARGE)
        if _off_scale(lo, analyte) or _off_scale(hi, analyte):
            return _unfit(found, OFF_SCALE)
        return replace(
            found, lo=lo, hi=hi, unit=analyte.canonical,
            reported_lo=said_lo, reported_hi=said_hi, reported_unit=row.unit,
        )  # fmt: skip

    def limits(self, ranges: Any, analyte: Analyte | None) -> tuple[Decimal | None, Decimal | None]:
        """The result's own normal range, canonical: the first without appliesTo."""
        if analyte is None or not ranges:
            return None, None
        for found in parts(ranges):
            low, high = found.get("low"), found.get("high")
            if (low or high) and not found.get("appliesTo"):
                return self._limit(low, analyte), self._limit(high, analyte)
        return None, None

    def _limit(self, value: Any, analyte: Analyte) -> Decimal | None:
        sent = part(value)
        number = sent.get("value")
        if type(number) not in _NUMBERS:
            return None
        unit = _unit(sent)
        key = (str(number), unit, _beside(sent, unit), "", id(analyte))
        known = self._limits.get(key)
        if known is None or known[0] is not analyte:
            known = remember(self._limits, key, (analyte, _bound(key, analyte)))
        return known[1]


def _bound(key: _Key, analyte: Analyte) -> Decimal | None:
    number, row = Decimal(key[0]), analyte.by_spelling.get(key[1])
    if row is None or not number.is_finite() or _contradict(key[1], key[2], analyte):
        return None
    canonical = _canonical(number, row)
    return None if _too_large(canonical) else canonical


def decimal(value: Any) -> Decimal | None:
    """An exact number from JSON: int, Decimal, float by its shortest text; never a bool."""
    if type(value) not in _NUMBERS:
        return None
    found = value if isinstance(value, Decimal) else Decimal(str(value))
    return found if found.is_finite() else None


def raw_number(value: Any) -> str:
    """The number as text; "" for what is no number."""
    return "" if decimal(value) is None else str(value)


def _unit(sent: dict[str, Any]) -> str:
    code = sent.get("code")
    if isinstance(code, str) and sent.get("system") == UCUM:
        return code
    return text(sent.get("unit")) or text(code)


def _beside(sent: dict[str, Any], unit: str) -> str:
    """The text of the unit where it is another than what is read; "" where there is none."""
    said = sent.get("unit")
    return said if isinstance(said, str) and said != unit else ""


def _contradict(unit: str, beside: str, analyte: Analyte | None) -> bool:
    """Whether text and code are both units of the analyte, of different size.

    Nobody can say then which of the two the number is in. 10*9/L shown as K/uL is one size.
    """
    if not beside or analyte is None:
        return False
    coded, shown = analyte.by_spelling.get(unit), analyte.by_spelling.get(beside)
    return coded is not None and shown is not None and _size(coded) != _size(shown)


def _size(row: UnitRow) -> tuple[Fraction, Decimal]:
    return Fraction(row.numerator) / Fraction(row.denominator), row.offset


def _interval(
    number: Decimal, comparator: str
) -> tuple[Decimal | None, Decimal | None, bool, bool]:
    match comparator:
        case "<":
            return None, number, False, True
        case "<=":
            return None, number, False, False
        case ">":
            return number, None, True, False
        case ">=":
            return number, None, False, False
        case _:
            return number, number, False, False


def _canonical(value: Decimal | None, row: UnitRow) -> Decimal | None:
    if value is None:
        return None
    moved = value * row.numerator / row.denominator + row.offset
    try:
        return moved.quantize(SCALE, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        return LIMIT


def _held(value: Decimal | None) -> Decimal | None:
    """A reported number as the fact tables can hold it: nine decimals, like canonical ones."""
    if value is None:
        return None
    try:
        held = value.quantize(SCALE, rounding=ROUND_HALF_EVEN)
    except InvalidOperation:
        return LIMIT
    return value if held == value else held


def _unfit(found: Measured, issue: str) -> Measured:
    return replace(
        found, lo=None, hi=None, problem=Reason.RECORDED_UNUSABLE,
        issues=(*found.issues, issue),
    )  # fmt: skip


def _negative(value: Decimal | None) -> bool:
    return value is not None and value < 0


def _off_scale(value: Decimal | None, analyte: Analyte) -> bool:
    if value is None or analyte.scale is None:
        return False
    lowest, highest = analyte.scale
    return not lowest <= value <= highest


def _too_large(value: Decimal | None) -> bool:
    return value is not None and abs(value) >= LIMIT


def _signs(value: str) -> str:
    lowered = value.strip()
    for words, sign in _WORDS.items():
        if lowered.lower().startswith(words):
            return f"{sign} {lowered[len(words) :].strip()}"
    return lowered
