"""Values and dates as people read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, EARLIEST, LATEST
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.result import Evidence
from fhir_adapter.present.rows import evidence_row, number

from facts_for_tests import ZONE, bilirubin, condition, fact
from worlds import DISEASE, MARKER

VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "exact": ({}, "5 mg/dL"),
    "below": ({"value_lo": None, "value_hi_open": True}, "< 5 mg/dL"),
    "at most": ({"value_lo": None}, "<= 5 mg/dL"),
    "above": ({"value_hi": None, "value_lo_open": True}, "> 5 mg/dL"),
    "between": ({"value_hi": Decimal(7)}, ">= 5 and <= 7 mg/dL"),
    "none": ({"value_lo": None, "value_hi": None}, ""),
}


@pytest.mark.parametrize("name", VALUES)
def test_canonical_values_are_shown_with_their_signs(name: str) -> None:
    more, expected = VALUES[name]
    shown = evidence_row(Evidence(bilirubin("5", "2026-11-20", **more)), ZONE)
    assert (shown.canonical or shown.value if name == "exact" else shown.canonical) == expected


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("{INR}", "1.8"),
        ("1", "1.8"),
        ("", "1.8"),
        ("mg/dL", "1.8 mg/dL"),
        ("10*3/uL{plt}", "1.8 10*3/uL{plt}"),
        ("{a}/{b}", "1.8 {a}/{b}"),
    ],
)
def test_a_unit_that_is_only_an_annotation_is_not_shown(unit: str, said: str) -> None:
    shown = evidence_row(Evidence(bilirubin("1.8", "2026-11-20", raw_unit=unit)), ZONE)
    assert shown.value == said


def span(lo: int, hi: int) -> dict[str, Any]:
    bounds = (
        EARLIEST if lo <= DATE_EARLIEST else lo * 10**9,
        LATEST if hi >= DATE_LATEST else hi * 10**9,
    )
    return {
        "start_lo": bounds[0], "start_hi": bounds[1], "start_date_lo": lo, "start_date_hi": hi,
        "date_source": "onset",
    }  # fmt: skip


DATES: dict[str, tuple[Fact, str]] = {
    "a day": (condition(DISEASE, "2026-11-20"), "2026-11-20"),
    "a minute": (bilirubin("5", "2026-11-20T08:30"), "2026-11-20 08:30"),
    "a month": (condition(DISEASE, "2026-11"), "2026-11-01 to 2026-11-30"),
    "not known": (
        condition(DISEASE, "2026-11-20", **span(DATE_EARLIEST, DATE_LATEST)), "date not known",
    ),
    "up to": (condition(DISEASE, "2026-11-20", **span(DATE_EARLIEST, 739940)),
              "on or before 2026-11-20"),
    "from": (condition(DISEASE, "2026-11-20", **span(739940, DATE_LATEST)),
             "on or after 2026-11-20"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATES)
def test_dates_are_shown_as_exactly_as_they_are_known(name: str) -> None:
    one, expected = DATES[name]
    assert evidence_row(Evidence(one), ZONE).date == expected


def test_numbers_have_no_exponent_and_no_idle_zeros() -> None:
    assert [number(Decimal(n)) for n in ("5.0300", "1E+3", "100")] == ["5.03", "1000", "100"]


def test_what_people_typed_in_is_marked() -> None:
    typed = fact(Kind.ENTERED, MARKER, "2026-11-20")
    assert evidence_row(Evidence(typed), ZONE).entered
