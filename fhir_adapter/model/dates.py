"""Instants, local dates, durations.

An instant is an integer of microseconds since 1970-01-01T00:00Z; a local date is a proleptic
Gregorian ordinal (``date.toordinal``) in the site's zone. Unknown bounds are EARLIEST and LATEST.
Days, weeks, months and years compare local dates with both ends closed and clamp at the end of a
month; hours compare instants (design section 3).
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

EARLIEST = -(2**62)
LATEST = 2**62
DATE_EARLIEST = 0
DATE_LATEST = date.max.toordinal() + 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_DURATION = re.compile(r"^(\d+) (hour|day|week|month|year)s?$")
_HOUR = 3_600_000_000


def instant(moment: datetime, /) -> int:
    """Microseconds since the epoch of a zoned datetime."""
    return (moment - _EPOCH) // _MICRO


def moment(value: int, zone: ZoneInfo, /) -> datetime:
    """The zoned datetime of an instant."""
    return (_EPOCH + timedelta(microseconds=value)).astimezone(zone)


def local_date(value: int, zone: ZoneInfo, /) -> int:
    """The ordinal of the local calendar date of an instant; unknown bounds stay unknown."""
    if value <= EARLIEST:
        return DATE_EARLIEST
    if value >= LATEST:
        return DATE_LATEST
    return moment(value, zone).toordinal()


def start_of(ordinal: int, zone: ZoneInfo, /) -> int:
    """The instant at which a local date begins."""
    if ordinal <= DATE_EARLIEST:
        return EARLIEST
    if ordinal >= DATE_LATEST:
        return LATEST
    day = date.fromordinal(ordinal)
    return instant(datetime(day.year, day.month, day.day, tzinfo=zone))


class Span(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An uncertain instant: somewhere in the half-open [lo, hi); dates are both ends closed."""

    lo: int
    hi: int
    date_lo: int
    date_hi: int


ANY_TIME = Span(lo=EARLIEST, hi=LATEST, date_lo=DATE_EARLIEST, date_hi=DATE_LATEST)


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time as the protocol prints it: ``Duration.parse("28 days")``."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Duration:
        """From "72 hours", "28 days", "1 month", "5 years"; ValueError otherwise."""
        found = _DURATION.match(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a duration such as '72 hours', '28 days', '1 month'")
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.amount} {self.unit}{'' if self.amount == 1 else 's'}"

    @property
    def is_hours(self) -> bool:
        """Hours compare instants; all else compares local dates."""
        return self.unit == "hour"

    @property
    def micros(self) -> int:
        """Microseconds of a duration in hours; only hours have a fixed length here."""
        return self.amount * _HOUR

    def shift(self, ordinal: int, sign: int, /) -> int:
        """The local date this far after (+1) or before (-1) another; months clamp."""
        if not DATE_EARLIEST < ordinal < DATE_LATEST:
            return ordinal
        if self.unit in ("day", "week"):
            moved = ordinal + sign * self.amount * (7 if self.unit == "week" else 1)
            return min(max(moved, DATE_EARLIEST + 1), DATE_LATEST - 1)
        return _shift_months(ordinal, sign * self.amount * (12 if self.unit == "year" else 1))


@lru_cache(maxsize=16_384)  # the same few thousand days are asked for in every record
def _shift_months(ordinal: int, months: int) -> int:
    day = date.fromordinal(ordinal)
    years, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    if years < 1:
        return DATE_EARLIEST + 1
    if years > date.max.year:
        return DATE_LATEST - 1
    last = monthrange(years, month0 + 1)[1]
    return date(years, month0 + 1, min(day.day, last)).toordinal()


def years_between(birth: int, on: int, /) -> int:
    """Completed years from one local date to another; 29 February counts on 1 March.

    >>> years_between(date(1956, 3, 1).toordinal(), date(2026, 2, 28).toordinal())
    69
    """
    born, day = date.fromordinal(birth), date.fromordinal(on)
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
