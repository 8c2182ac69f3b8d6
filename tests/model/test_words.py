"""Truth, reasons, dates, quantities: the words on which everything rests."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.model import truth as kleene
from fhir_adapter.model.code import ICD10_CM, LOINC, Code, key_of
from fhir_adapter.model.dates import (
    DATE_EARLIEST,
    DATE_LATEST,
    EARLIEST,
    LATEST,
    Duration,
    instant,
    local_date,
    start_of,
    years_between,
)
from fhir_adapter.model.hashing import canonical, digest
from fhir_adapter.model.quantity import Quantity
from fhir_adapter.model.truth import Reason, Truth

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
TRUTHS = st.sampled_from(Truth)


def test_a_truth_is_never_read_as_a_condition() -> None:
    for value in Truth:
        with pytest.raises(TypeError):
            bool(value)
    with pytest.raises(TypeError):
        any([U])


def test_negation_is_kleenes() -> None:
    assert [kleene.not_(v) for v in (T, F, U)] == [F, T, U]


AND = {(T, T): T, (T, F): F, (T, U): U, (F, F): F, (F, U): F, (U, U): U}
OR = {(T, T): T, (T, F): T, (T, U): T, (F, F): F, (F, U): U, (U, U): U}


@pytest.mark.parametrize(("a", "b"), list(product(Truth, repeat=2)))
def test_both_tables_are_kleenes(a: Truth, b: Truth) -> None:
    pair = (a, b) if (a, b) in AND else (b, a)
    assert kleene.all_of((a, b)) is AND[pair]
    assert kleene.any_of((a, b)) is OR[pair]


def test_empty_lists_are_the_neutral_values() -> None:
    assert kleene.all_of(()) is T
    assert kleene.any_of(()) is F


@given(st.lists(TRUTHS, max_size=6), st.integers(0, 4))
def test_at_least_agrees_with_every_completion(values: list[Truth], n: int) -> None:
    options = [(T, F) if v is U else (v,) for v in values]
    ends = {sum(x is T for x in ending) >= n for ending in product(*options)}
    expected = U if len(ends) > 1 else T if True in ends else F
    assert kleene.at_least(n, values) is expected


@given(st.lists(TRUTHS, max_size=5))
def test_de_morgan_holds(values: list[Truth]) -> None:
    turned = [kleene.not_(v) for v in values]
    assert kleene.not_(kleene.all_of(values)) is kleene.any_of(turned)
    assert kleene.of(True) is T
    assert kleene.of(False) is F


def test_reasons_are_picked_in_their_order_and_have_codes() -> None:
    assert min(Reason.NEEDS_HUMAN, Reason.NOT_RETRIEVED) is Reason.NOT_RETRIEVED
    assert Reason.CODE_NOT_MAPPED.code == "code-not-mapped"
    assert len({reason.code for reason in Reason}) == len(Reason) == 14


ZONE = ZoneInfo("Asia/Shanghai")


def test_unknown_instants_stay_unknown_dates() -> None:
    assert local_date(EARLIEST, ZONE) == DATE_EARLIEST
    assert local_date(LATEST, ZONE) == DATE_LATEST
    assert start_of(DATE_EARLIEST, ZONE) == EARLIEST
    assert start_of(DATE_LATEST, ZONE) == LATEST


@given(st.dates(min_value=date(1901, 1, 2), max_value=date(2200, 1, 1)))
def test_a_local_day_begins_on_itself(day: date) -> None:
    for zone in (ZONE, ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")):
        begin = start_of(day.toordinal(), zone)
        assert local_date(begin, zone) == day.toordinal()
        assert local_date(begin - 1, zone) == day.toordinal() - 1


def test_an_instant_needs_a_zone() -> None:
    with pytest.raises(TypeError):
        instant(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


SHIFTS = [
    ("1 month", "2026-03-31", -1, "2026-02-28"),
    ("1 month", "2026-01-31", 1, "2026-02-28"),
    ("1 year", "2024-02-29", 1, "2025-02-28"),
    ("2 weeks", "2026-01-01", -1, "2025-12-18"),
    ("28 days", "2026-11-22", -1, "2026-10-25"),
]


@pytest.mark.parametrize(("length", "day", "sign", "expected"), SHIFTS)
def test_days_shift_by_the_calendar(length: str, day: str, sign: int, expected: str) -> None:
    moved = Duration.parse(length).shift(date.fromisoformat(day).toordinal(), sign)
    assert date.fromordinal(moved).isoformat() == expected


def test_shifts_stop_at_the_edges_of_time() -> None:
    first, last = date(1, 1, 20).toordinal(), date(9999, 12, 20).toordinal()
    for text in ("40 days", "2 months", "3 years"):
        assert Duration.parse(text).shift(first, -1) == DATE_EARLIEST + 1
        assert Duration.parse(text).shift(last, 1) == DATE_LATEST - 1
    assert Duration.parse("2 months").shift(DATE_LATEST, 1) == DATE_LATEST


def test_durations_print_as_they_are_read() -> None:
    for text in ("1 month", "72 hours", "5 years"):
        assert str(Duration.parse(text)) == text
    assert Duration.parse("2 hours").micros == 7_200_000_000
    with pytest.raises(ValueError, match="not a duration"):
        Duration.parse("a while")


def test_someone_born_on_29_february_has_birthday_on_1_march() -> None:
    born = date(1956, 2, 29).toordinal()
    assert years_between(born, date(2026, 2, 28).toordinal()) == 69
    assert years_between(born, date(2026, 3, 1).toordinal()) == 70


def test_quantities_print_as_they_are_read() -> None:
    assert Quantity.parse("5 mg/dL") == Quantity(Decimal(5), "mg/dL")
    assert str(Quantity.parse("5 mg/dL")) == "5 mg/dL"
    assert str(Quantity.parse("1.5")) == "1.5"
    with pytest.raises(ValueError, match="not a quantity"):
        Quantity.parse("five")


def test_icd_codes_match_with_and_without_dots_and_marks() -> None:
    keys = {key_of(Code(ICD10_CM, code)) for code in ("K70.31", "k7031", "K70.31!", "K70.31\u2020")}
    assert len(keys) == 1
    assert key_of(Code(LOINC, "1975-2")) == "http://loinc.org|1975-2"


def test_hashes_do_not_hang_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": Decimal("1.50")}) == b'{"a":"1.50","b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("a", "b") != digest("ab")
