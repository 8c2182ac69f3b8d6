"""Outbox: proposals on their way to a server, written down with the decision they come from.

A row is added in the transaction of its decision, taken by one worker at a time and in order per
key, and done only after the server's resources were read back as sent. A kill in between leaves it
to be taken again; since the writer compares before it writes, sending it again writes nothing. A
proposal that nobody has taken yet gives way to a newer one of the same key: what the server must
show is the last word, not the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, Select, and_, exists, func, select, update

from fhir_adapter.ledger.changes import LEASE_SECONDS, SECOND, backoff
from fhir_adapter.ledger.database import reading, transaction
from fhir_adapter.ledger.tables import OUTBOX
from fhir_adapter.ledger.workers import gone
from fhir_adapter.model.dates import instant
from fhir_adapter.ports import Clock, Proposal

WAITING, DONE, SUPERSEDED = "waiting", "done", "superseded"
_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="number")
_DECODER = msgspec.json.Decoder(Proposal, float_hook=Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A proposal that was taken from the outbox."""

    id: int
    proposal: Proposal
    attempts: int
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxCounts:
    """How much is in the outbox."""

    waiting: int
    failing: int
    """Of these: tried before, and not done."""
    done: int
    superseded: int
    oldest: int | None
    """Since when the first of those that wait is there."""


class Outbox:
    """What is still to be written. Each call is one transaction."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def add(self, connection: Connection, proposal: Proposal, *, run: str) -> int:
        """In the transaction of its decision: the row's number."""
        now = self._now()
        mine = (OUTBOX.c.key == proposal.key, OUTBOX.c.state == WAITING)
        connection.execute(
            update(OUTBOX)
            .where(*mine, OUTBOX.c.lease_until <= now)
            .values(state=SUPERSEDED, body=None, ended_at=now, worker="", lease_until=0)
        )
        row = {
            "key": proposal.key,
            "run": run,
            "patient": proposal.patient,
            "study": proposal.study,
            "fingerprint": proposal.fingerprint,
            "state": WAITING,
            "body": encoded(proposal),
            "added_at": now,
            "due_at": now,
            "ended_at": 0,
            "attempts": 0,
            "error": "",
            "worker": "",
            "lease_until": 0,
        }
        made = connection.execute(OUTBOX.insert().values(**row))
        return int(made.inserted_primary_key[0] if made.inserted_primary_key else 0)

    def take(
        self,
        worker: str,
        *,
        limit: int = 1,
        study: str | None = None,
        key: str | None = None,
        at_once: bool = False,
        lease_seconds: float = LEASE_SECONDS,
    ) -> tuple[Outgoing, ...]:
        """The next ones, oldest first, at most one per key; nobody else gets them meanwhile.

        ``at_once``: also what has failed and would wait for its next attempt.
        """
        now = self._now()
        wanted = _next(now, at_once=at_once)
        if study is not None:
            wanted = wanted.where(OUTBOX.c.study == study)
        if key is not None:
            wanted = wanted.where(OUTBOX.c.key == key)
        wanted = wanted.limit(limit).with_for_update(skip_locked=True)
        with transaction(self._engine) as connection:
            found = connection.execute(wanted).all()
            until = now + round(lease_seconds * SECOND)
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id.in_([one.id for one in found]))
                .values(worker=worker, lease_until=until)
            )
        return tuple(_outgoing(one, worker) for one in found)

    def free(self) -> None:
        """What runs of this machine held that have ended without a word is anybody's again."""
        now = self._now()
        held = select(OUTBOX.c.worker).where(OUTBOX.c.state == WAITING, OUTBOX.c.lease_until > now)
        with transaction(self._engine) as connection:
            mine = OUTBOX.c.worker.in_(gone(connection.scalars(held.distinct())))
            freed = update(OUTBOX).where(mine, OUTBOX.c.state == WAITING)
            connection.execute(freed.values(worker="", lease_until=0))

    def is_held(self, key: str) -> bool:
        """Whether somebody is at work on this key."""
        wanted = select(OUTBOX.c.id).where(
            OUTBOX.c.key == key, OUTBOX.c.state == WAITING, OUTBOX.c.lease_until > self._now()
        )
        with reading(self._engine) as connection:
            return connection.execute(wanted.limit(1)).first() is not None

    def done(self, taken: Outgoing) -> bool:
        """All of it was read back as sent; False where it was done already."""
        ended = {"state": DONE, "body": None, "ended_at": self._now(), "error": ""}
        return self._end(taken, {**ended, "worker": "", "lease_until": 0}, anybody=True)

    def failed(self, taken: Outgoing, error: str) -> bool:
        """Not all of it stands: tried again later and later. ``error``: a code, never a text."""
        attempts = taken.attempts + 1
        later = self._now() + backoff(attempts)
        again = {"attempts": attempts, "error": error, "due_at": later}
        return self._end(taken, {**again, "worker": "", "lease_until": 0}, anybody=False)

    def counts(self) -> OutboxCounts:
        """How much waits, is done, gave way."""
        by_state = select(OUTBOX.c.state, func.count()).group_by(OUTBOX.c.state)
        waiting = OUTBOX.c.state == WAITING
        failing = select(func.count()).where(waiting, OUTBOX.c.attempts > 0)
        oldest = select(func.min(OUTBOX.c.added_at)).where(waiting)
        with reading(self._engine) as connection:
            found = {row[0]: int(row[1]) for row in connection.execute(by_state)}
            return OutboxCounts(
                waiting=found.get(WAITING, 0),
                failing=connection.scalar(failing) or 0,
                done=found.get(DONE, 0),
                superseded=found.get(SUPERSEDED, 0),
                oldest=connection.scalar(oldest),
            )

    def _end(self, taken: Outgoing, values: Mapping[str, Any], *, anybody: bool) -> bool:
        wanted = update(OUTBOX).where(OUTBOX.c.id == taken.id, OUTBOX.c.state == WAITING)
        if not anybody:
            wanted = wanted.where(OUTBOX.c.worker == taken.worker)
        with transaction(self._engine) as connection:
            return connection.execute(wanted.values(**values)).rowcount == 1

    def _now(self) -> int:
        return instant(self._clock.now())


def encoded(proposal: Proposal) -> str:
    """Canonical JSON, decimals with the digits they hold."""
    return _ENCODER.encode(proposal).decode()


def decoded(body: str) -> Proposal:
    """The proposal as it was added, digit for digit."""
    return _DECODER.decode(body)


def _next(now: int, *, at_once: bool) -> Select[Any]:
    earlier = OUTBOX.alias()
    before = and_(
        earlier.c.key == OUTBOX.c.key, earlier.c.state == WAITING, earlier.c.id < OUTBOX.c.id
    )
    wanted = (
        select(OUTBOX)
        .where(OUTBOX.c.state == WAITING, OUTBOX.c.lease_until <= now)
        .where(~exists().where(before))
        .order_by(OUTBOX.c.id)
    )
    return wanted if at_once else wanted.where(OUTBOX.c.due_at <= now)


def _outgoing(row: Row[Any], worker: str) -> Outgoing:
    return Outgoing(id=row.id, proposal=decoded(row.body), attempts=row.attempts, worker=worker)
