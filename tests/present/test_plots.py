"""What a plot says and shades of an onset."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from fhir_adapter.model.dates import EARLIEST, LATEST
from fhir_adapter.present.plots import Plot, Series, plot

ZONE = ZoneInfo("Europe/Berlin")
DAY = 86_400_000_000
FIRST = 20_000 * DAY
"""2024-10-04."""
LAST = FIRST + 10 * DAY
SERIES = Series(
    title="INR", unit="1", values=((FIRST, Decimal(2), "2"), (LAST, Decimal(3), "3")), bounds=()
)

ONSETS = {
    "a day": ((FIRST + DAY, FIRST + DAY + 1), "shaded: onset, 2024-10-05", True),
    "two days": ((FIRST + DAY, FIRST + 2 * DAY),
                 "shaded: onset, from 2024-10-05 until 2024-10-06", True),
    "before the drawing": ((FIRST - 9 * DAY, FIRST + DAY),
                           "shaded: onset, from 2024-09-25 until 2024-10-05", True),
    "still to end": ((FIRST + DAY, LATEST), "shaded: onset, from 2024-10-05", True),
    "no start": ((EARLIEST, FIRST + DAY), "line: onset by 2024-10-05, start not known", True),
    "no date": ((EARLIEST, LATEST), "onset at an unknown time", False),
}  # fmt: skip


def drawn(onset: tuple[int, int] | None) -> Plot:
    made = plot(SERIES, as_of=LAST, onset=onset, zone=ZONE)
    assert made is not None
    return made


@pytest.mark.parametrize("name", ONSETS)
def test_an_onset_is_said_with_its_days_and_shaded_where_they_are_known(name: str) -> None:
    onset, said, seen = ONSETS[name]
    made = drawn(onset)
    assert made.onset_says == said
    assert (made.onset is not None) is seen


def test_a_start_that_nobody_knows_shades_nothing() -> None:
    made = drawn(ONSETS["no start"][0])
    assert made.onset is not None
    assert made.onset[0] == made.onset[1]


def test_without_an_onset_nothing_is_said() -> None:
    assert (drawn(None).onset, drawn(None).onset_says) == (None, "")
