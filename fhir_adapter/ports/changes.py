"""What watching a hospital needs: where changes come from, and a durable queue of patients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look for changes came to. Who is in it may have changed: a hint, never a state."""

    patients: tuple[str, ...] = ()
    """Logical ids, each once."""
    cursor: str = ""
    """Where the next look begins; as it was before where this look was not whole."""
    why_not: str = ""
    """What kept it from being whole, kebab-case; empty where nothing did."""
    requests: int = 0


class ChangeFeed(Protocol):
    """One source of changes, asked again and again."""

    @property
    def name(self) -> str:
        """Under which its cursor is kept; no patient is in it."""
        ...

    def look(self, cursor: str) -> Look:
        """Everybody who may have changed since the cursor; an empty one is the first look."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A changed patient whom one worker has taken."""

    patient: str
    reason: str
    """Why the record may have changed: poll, notification, census, sweep, date-reached, person."""
    sequence: int
    """Of the mark that was taken; a later mark has a higher one."""
    tries: int = 0
    """How often it failed before."""


class ChangedPatients(Protocol):
    """The durable queue. Marks of one patient are one row; nothing is lost by a kill -9."""

    def mark(self, patients: Iterable[str], reason: str) -> None:
        """These records may have changed; to be read again soon, a burst of marks once."""
        ...

    def claim(self, limit: int) -> Sequence[Claimed]:
        """Whose turn it is, oldest first; nobody else gets them until a lease has passed."""
        ...

    def done(self, claimed: Claimed, *, next_at: int | None = None) -> bool:
        """Away with it, or waiting for a date; False where it was marked again meanwhile."""
        ...

    def failed(self, claimed: Claimed, code: str) -> None:
        """It stays, to be tried again later and later."""
        ...


class Cursors(Protocol):
    """Where each feed stands."""

    def cursor(self, name: str) -> str:
        """Empty before the first look."""
        ...

    def keep_cursor(self, name: str, value: str) -> None:
        """After the marks of a look are in the queue, never before."""
        ...
