"""How long to wait before asking again, and when to stop asking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """What one request may cost; the whole of it, not each try."""

    tries: int = 4
    """Requests sent for one question, the first included."""
    seconds: float = 60.0
    """Sum of all waits. A longer Retry-After is not waited for at all."""
    first_pause: float = 0.5
    """Pause where the server named none; it doubles."""

    def pause(self, *, tried: int, waited: float, asked: float | None) -> float | None:
        """Seconds to wait before the next try; None when the budget is used up."""
        pause = self.first_pause * 2 ** (tried - 1) if asked is None else asked
        if tried >= self.tries or waited + pause > self.seconds:
            return None
        return pause


def retry_after(value: str, date: str) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3); None where it is unreadable.

    Its date form is counted from the Date header of the same answer: the server's own clock.

    >>> retry_after("7", "")
    7.0
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, since = moment(text), moment(date)
    if until is None or since is None:
        return None
    return max(0.0, (until - since).total_seconds())


def moment(text: str) -> datetime | None:
    """A Date header; None where it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
