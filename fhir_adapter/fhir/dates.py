"""FHIR dates as uncertain instants, read tolerantly.

FHIR R4 2.24.0.1: dateTime may stop at the year, the month or the day; a full one carries a zone.
Real servers also leave out zone and seconds: both are read, and named as an issue. Every printed
date becomes the half-open interval of its printed precision; a day is local midnight to midnight
in the site's zone, a time stamp lasts as long as its last printed digit.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from fhir_adapter.model.dates import Span, instant, local_date, start_of

WITHOUT_ZONE = "date-without-zone"
UNREADABLE = "date-unreadable"

_SHAPE = re.compile(
    r"^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?"
    r"(Z|[+-]\d{2}:\d{2})?)?)?)?$"
)
_SECOND = 1_000_000


class DateReader:
    """Reads dates for one site's zone; every distinct text is worked out once."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._known: dict[str, tuple[Span | None, str]] = {}

    def read(self, text: object) -> tuple[Span | None, str]:
        """The span of a FHIR date, dateTime or instant, and an issue code ("" when there is none).

        None for what is no date; nothing is raised.
        """
        if not isinstance(text, str):
            return None, UNREADABLE if text is not None else ""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._parse(text)
            if len(self._known) > _CACHE:
                self._known.clear()
        return known

    def _parse(self, text: str) -> tuple[Span | None, str]:
        found = _SHAPE.match(text.strip())
        if found is None:
            return None, UNREADABLE
        try:
            if found[4] is None:
                return self._calendar(found), ""
            return self._clock(found), "" if found[8] else WITHOUT_ZONE
        except (ValueError, OverflowError):
            return None, UNREADABLE

    def _calendar(self, found: re.Match[str]) -> Span:
        year, month, day = int(found[1]), found[2], found[3]
        first = date(year, int(month or 1), int(day or 1))
        if day is not None:
            last = first
        elif month is not None:
            last = first.replace(day=monthrange(year, first.month)[1])
        else:
            last = date(year, 12, 31)
        return self.days(first.toordinal(), last.toordinal())

    def days(self, first: int, last: int) -> Span:
        """The span of whole local days, both included."""
        return Span(
            lo=start_of(first, self.zone),
            hi=start_of(last + 1, self.zone),
            date_lo=first,
            date_hi=last,
        )

    def _clock(self, found: re.Match[str]) -> Span:
        year, month, day, hour, minute, second = found.group(1, 2, 3, 4, 5, 6)
        fraction, offset = found[7] or "", _offset(found[8])
        seconds = int(second or 0)
        if seconds == 60:  # noqa: PLR2004 - a leap second is read as the one before it
            seconds = 59
        moment = datetime(
            int(year), int(month), int(day), int(hour), int(minute), seconds,
            tzinfo=offset or self.zone,
        )  # fmt: skip
        lo = instant(moment) + int(fraction[:6].ljust(6, "0") if fraction else 0)
        hi = lo + _width(has_second=second is not None, digits=len(fraction))
        first = local_date(lo, self.zone)
        # zones are whole seconds off UTC: what lasts no longer than a second begins and ends on
        # one date
        last = first if second is not None else local_date(hi - 1, self.zone)
        return Span(lo=lo, hi=hi, date_lo=first, date_hi=last)


_CACHE = 200_000


@lru_cache(maxsize=1024)
def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if text[0] == "-" else span)


def _width(*, has_second: bool, digits: int) -> int:
    if not has_second:
        return 60 * _SECOND
    return max(1, int(_SECOND // 10 ** min(digits, 6)))
