"""Changed patients: one row per patient until somebody has looked at them again.

A notification, a poll, a sweep, a hook, a person and a date reached each only *mark*; a worker
claims, reads the record as it is now, and says done. What makes it safe: every mark takes a new
sequence number, and ``done`` removes the row only if the number is still the one that was claimed;
a change that came in between keeps the row. Numbers never come twice, not even after the row is
gone, so a worker that comes back late removes nobody else's mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, case, delete, func, select, update

from fhir_adapter.ledger.database import reading, transaction
from fhir_adapter.ledger.dialect import insert
from fhir_adapter.ledger.tables import CHANGED, COUNTERS
from fhir_adapter.ledger.workers import gone

SECOND = 1_000_000
"""Instants are microseconds."""
DEBOUNCE_SECONDS = 3
LEASE_SECONDS = 600
_LONGEST_DEBOUNCE = 10
"""A patient about whom something is said all the time is looked at after this many debounces."""
_BACKOFF_SECONDS = 30
_LONGEST_BACKOFF_SECONDS = 6 * 3600
_CHUNK = 400
_COUNTER = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Somebody says that a patient's record may have changed."""

    patient: str
    reason: str
    """A kebab-case code such as poll, notification, sweep, hook, person, date-reached."""
    seen_at: int
    not_before: int = 0
    """Not to be looked at earlier: a date on which time alone may change something. 0: soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPatient:
    """A row of the queue as it stood when it was read or claimed."""

    patient: str
    sequence: int
    reason: str
    seen_at: int
    due_at: int
    attempts: int
    """How often it has failed since the row was made."""
    error: str
    """Code of the last failure; empty without one."""
    worker: str = ""
    lease_until: int = 0


class ChangedPatients:
    """The queue; each call is one transaction. Instants are given: nothing here has a clock."""

    def __init__(self, engine: Engine, *, debounce_seconds: float = DEBOUNCE_SECONDS) -> None:
        self._engine = engine
        self._debounce = round(debounce_seconds * SECOND)

    def mark_changed(self, patient: str, reason: str, seen_at: int, *, not_before: int = 0) -> int:
        """Mark one patient; the sequence number that the row has now."""
        mark = Mark(patient=patient, reason=reason, seen_at=seen_at, not_before=not_before)
        return self.mark_all((mark,))

    def mark_all(self, marks: Iterable[Mark]) -> int:
        """Mark many in one transaction, in their order; the highest sequence number given."""
        merged: dict[str, list[Mark]] = {}
        for mark in marks:
            merged.setdefault(mark.patient, []).append(mark)
        with transaction(self._engine) as connection:
            last = _numbers(connection, len(merged)) if merged else 0
            number = last - len(merged)
            for some in _chunks(sorted(merged)):
                standing = _standing(connection, some)
                rows: list[dict[str, Any]] = []
                for patient in some:
                    number += 1
                    row: Mapping[str, Any] | None = standing.get(patient)
                    for mark in merged[patient]:
                        row = self._marked(row, mark, number)
                    assert row is not None
                    rows.append(dict(row))
                _put(connection, rows)
        return last

    def _marked(self, row: Mapping[str, Any] | None, mark: Mark, number: int) -> dict[str, Any]:
        """A row with a mark more."""
        due = mark.seen_at + self._debounce
        if mark.not_before:
            due = max(mark.not_before, mark.seen_at)
        if row is None:
            return _new_row(mark, number, due)
        return {
            **row,
            "sequence": number,
            "reason": mark.reason,
            "first_seen_at": min(int(row["first_seen_at"]), mark.seen_at),
            "seen_at": max(int(row["seen_at"]), mark.seen_at),
            "due_at": self._due_with(row, mark, due),
        }

    def _due_with(self, row: Mapping[str, Any], mark: Mark, due: int) -> int:
        """A date puts nothing off; a change waits for the next one, but not for ever.

        Under a claim it counts from now on, for the claim has read what was.
        """
        waiting, first = int(row["due_at"]), min(int(row["first_seen_at"]), mark.seen_at)
        if mark.not_before:
            return min(waiting, due)
        if row["worker"]:
            return due
        if waiting <= mark.seen_at:
            return waiting
        return min(due, max(first + _LONGEST_DEBOUNCE * self._debounce, mark.seen_at))

    def due(self, now: int, limit: int) -> tuple[ChangedPatient, ...]:
        """Who is to be looked at now, the longest waiting first; nothing is claimed."""
        with reading(self._engine) as connection:
            return tuple(_row(one) for one in connection.execute(_due(now, limit)).mappings())

    def free(self, now: int) -> None:
        """What runs of this machine held that have ended without a word is anybody's again."""
        held = select(CHANGED.c.worker).where(CHANGED.c.worker != "", CHANGED.c.lease_until > now)
        with transaction(self._engine) as connection:
            mine = CHANGED.c.worker.in_(gone(connection.scalars(held.distinct())))
            connection.execute(update(CHANGED).where(mine).values(worker="", lease_until=0))

    def claim(
        self, worker: str, now: int, limit: int, *, lease_seconds: float = LEASE_SECONDS
    ) -> tuple[ChangedPatient, ...]:
        """The same, for this worker alone until it says how it went or its lease is over."""
        until = now + round(lease_seconds * SECOND)
        wanted = _due(now, limit).with_for_update(skip_locked=True)
        with transaction(self._engine) as connection:
            found = [dict(one) for one in connection.execute(wanted).mappings()]
            for some in _chunks([one["patient"] for one in found]):
                connection.execute(
                    update(CHANGED)
                    .where(CHANGED.c.patient.in_(some))
                    .values(worker=worker, lease_until=until)
                )
        return tuple(_row({**one, "worker": worker, "lease_until": until}) for one in found)

    def done(
        self, patient: str, sequence: int, *, worker: str = "", next_at: int | None = None
    ) -> bool:
        """The record that was read after the claim has been judged and all of it written.

        True where the row is gone, or now waits for ``next_at``; False where the patient was
        marked again in between (the row stays, free to be claimed) or is no longer in the queue.
        """
        unchanged = (CHANGED.c.patient == patient, CHANGED.c.sequence == sequence)
        with transaction(self._engine) as connection:
            if next_at is None:
                ended = connection.execute(delete(CHANGED).where(*unchanged)).rowcount == 1
            else:
                number = _numbers(connection, 1)
                ended = (
                    connection.execute(
                        update(CHANGED).where(*unchanged).values(**_waiting(number, next_at))
                    ).rowcount
                    == 1
                )
            if not ended:
                _free(connection, patient, worker)
        return ended

    def failed(self, claimed: ChangedPatient, error: str, now: int) -> None:
        """It could not be done: tried again later and later, and kept with the error's code.

        A mark that came in between is not put off.
        """
        attempts = claimed.attempts + 1
        same = CHANGED.c.sequence == claimed.sequence
        later = case((same, now + backoff(attempts)), else_=CHANGED.c.due_at)
        with transaction(self._engine) as connection:
            connection.execute(
                update(CHANGED)
                .where(CHANGED.c.patient == claimed.patient, CHANGED.c.worker == claimed.worker)
                .values(due_at=later, attempts=attempts, error=error, worker="", lease_until=0)
            )

    def count(self) -> int:
        """How many wait, for now or for a date."""
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(CHANGED)) or 0

    def oldest(self) -> int | None:
        """Since when the one waits that was due first; None for an empty queue."""
        with reading(self._engine) as connection:
            found: int | None = connection.scalar(select(func.min(CHANGED.c.due_at)))
        return found

    def failing(self) -> int:
        """How many have failed at least once."""
        wanted = select(func.count()).select_from(CHANGED).where(CHANGED.c.attempts > 0)
        with reading(self._engine) as connection:
            return connection.scalar(wanted) or 0


def backoff(attempts: int) -> int:
    """Microseconds until the next attempt: 30 s, doubled each time, six hours at most.

    >>> [backoff(n) // SECOND for n in (1, 2, 3, 40)]
    [30, 60, 120, 21600]
    """
    return min(_BACKOFF_SECONDS << min(attempts - 1, 20), _LONGEST_BACKOFF_SECONDS) * SECOND


def _numbers(connection: Connection, count: int) -> int:
    """The last of so many new numbers.

    Who takes one is alone with the counter until it commits: marks are made one after the other,
    on PostgreSQL too, and in no order can they deadlock.
    """
    wanted = insert(connection, COUNTERS).values(name=_COUNTER, number=count)
    raised = wanted.on_conflict_do_update(
        index_elements=["name"], set_={"number": COUNTERS.c.number + count}
    ).returning(COUNTERS.c.number)
    last: int | None = connection.scalar(raised)
    return last or 0


def _standing(connection: Connection, patients: Sequence[str]) -> dict[str, dict[str, Any]]:
    wanted = select(CHANGED).where(CHANGED.c.patient.in_(patients)).with_for_update()
    found = connection.execute(wanted).mappings()
    return {one["patient"]: dict(one) for one in found}


def _put(connection: Connection, rows: list[dict[str, Any]]) -> None:
    wanted = insert(connection, CHANGED).values(rows)
    names = ("sequence", "reason", "first_seen_at", "seen_at", "due_at")
    changed = {name: wanted.excluded[name] for name in names}
    connection.execute(wanted.on_conflict_do_update(index_elements=["patient"], set_=changed))


def _new_row(mark: Mark, number: int, due: int) -> dict[str, Any]:
    return {
        "patient": mark.patient,
        "sequence": number,
        "reason": mark.reason,
        "first_seen_at": mark.seen_at,
        "seen_at": mark.seen_at,
        "due_at": due,
        "attempts": 0,
        "error": "",
        "worker": "",
        "lease_until": 0,
    }


def _waiting(number: int, next_at: int) -> dict[str, Any]:
    """A row that has been dealt with and waits for a date."""
    return {
        "sequence": number,
        "reason": "date-reached",
        "first_seen_at": next_at,
        "due_at": next_at,
        "attempts": 0,
        "error": "",
        "worker": "",
        "lease_until": 0,
    }


def _free(connection: Connection, patient: str, worker: str) -> None:
    """Whoever marked it again need not wait for the end of the lease."""
    connection.execute(
        update(CHANGED)
        .where(CHANGED.c.patient == patient, CHANGED.c.worker == worker)
        .values(worker="", lease_until=0)
    )


def _due(now: int, limit: int) -> Select[Any]:
    return (
        select(CHANGED)
        .where(CHANGED.c.due_at <= now, CHANGED.c.lease_until <= now)
        .order_by(CHANGED.c.due_at, CHANGED.c.sequence)
        .limit(limit)
    )


def _row(row: RowMapping | Mapping[str, Any]) -> ChangedPatient:
    return ChangedPatient(**{name: row[name] for name in ChangedPatient.__slots__})


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
