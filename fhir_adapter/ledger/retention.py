"""Retention: values go after their time, a patient is forgotten, and who saw what is told.

The only code that changes or removes decisions; it announces itself to their trigger by a row in
``retention`` that is gone again when the transaction ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, func, or_, select, update

from fhir_adapter.ledger.database import reading, transaction
from fhir_adapter.ledger.dialect import insert
from fhir_adapter.ledger.names import Names
from fhir_adapter.ledger.outbox import WAITING
from fhir_adapter.ledger.tables import (
    ACCEPTANCES,
    ANSWERS,
    AUDIT,
    CARDS,
    CHANGED,
    DECISIONS,
    DECLINES,
    DISMISSALS,
    INPUTS,
    OUTBOX,
    RETENTION,
    SUBJECTS,
    USED_TOKENS,
)
from fhir_adapter.model.dates import instant
from fhir_adapter.ports import Clock

_FORGOTTEN = (DECISIONS, INPUTS, ANSWERS, CARDS, DISMISSALS, ACCEPTANCES, CHANGED, OUTBOX)
"""Tables of which nothing about a forgotten patient stays."""
_RENAMED = (SUBJECTS, AUDIT)
"""Tables whose rows stay under the keyed hash; so do declines, one per study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What a purge took, or would take."""

    decisions: int
    """Decisions that lose their values; the rows, with outcome and hashes, stay."""
    inputs: int
    """Records from which such decisions could be made again."""
    outbox: int
    """Proposals, done or given up: what nobody could send in all that time is no longer true."""
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One line about who or what read or wrote something about a patient."""

    at: int
    who: str
    what: str
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessReport:
    """What the ledger says about the ids of one patient."""

    accesses: tuple[Access, ...]
    """Oldest first."""
    held: tuple[tuple[str, int], ...]
    """Table and number of rows, of tables that hold something."""
    values: int
    """Decisions that are kept with their values."""
    forgotten: bool
    """Somebody asked for these ids to be forgotten."""


class Retention:
    """Over the engine of a ledger; each call is one transaction."""

    def __init__(self, engine: Engine, clock: Clock, names: Names) -> None:
        self._engine = engine
        self._clock = clock
        self._names = names

    def purge(self, before: int, *, write: bool) -> Purged:
        """Values older than an instant go; without ``write`` they are counted only."""
        old = (DECISIONS.c.recorded_at < before) & DECISIONS.c.body.is_not(None)
        sent = _gone(before)
        spent = USED_TOKENS.c.expires_at < self._now()
        with self._announced(write=write) as connection:
            last = select(DECISIONS.c.input).where(DECISIONS.c.recorded_at >= before)
            kept = last.where(DECISIONS.c.input.is_not(None))
            unused = INPUTS.c.digest.not_in(kept) & (INPUTS.c.kept_at < before)
            found = Purged(
                decisions=_count(connection, DECISIONS, old),
                inputs=_count(connection, INPUTS, unused),
                outbox=_count(connection, OUTBOX, sent),
                tokens=_count(connection, USED_TOKENS, spent),
            )
            if write:
                connection.execute(update(DECISIONS).where(old).values(body=None, input=None))
                connection.execute(delete(INPUTS).where(unused))
                connection.execute(delete(OUTBOX).where(sent))
                connection.execute(delete(USED_TOKENS).where(spent))
        return found

    def forget(
        self, patients: Sequence[str], *, who: str, write: bool
    ) -> tuple[tuple[str, int], ...]:
        """Everything about these ids of one patient: table and number of rows.

        What stays stands under a keyed hash: refusals, the memory of proposals, and the audit,
        which gets a row more that says so.
        """
        handles = [self._names.handle(one) for one in patients]
        with self._announced(write=write) as connection:
            found = _held(connection, patients)
            if write:
                for table in _FORGOTTEN:
                    connection.execute(delete(table).where(table.c.patient.in_(patients)))
                for patient, handle in zip(patients, handles, strict=True):
                    self._rename(connection, patient, handle)
                    self._audit(connection, who, "forget", handle)
        return found

    def access_report(self, patients: Sequence[str], *, who: str) -> AccessReport:
        """Who and what read or wrote; that this was asked is a row in the audit too."""
        with transaction(self._engine) as connection:
            names = list(self._names.of(connection, patients))
            rows = connection.execute(
                select(AUDIT).where(AUDIT.c.patient.in_(names)).order_by(AUDIT.c.at, AUDIT.c.id)
            ).mappings()
            accesses = tuple(
                Access(at=one["at"], who=one["who"], what=one["what"], purpose=one["purpose"])
                for one in rows
            )
            body = DECISIONS.c.patient.in_(names) & DECISIONS.c.body.is_not(None)
            found = AccessReport(
                accesses=accesses,
                held=_held(connection, names),
                values=_count(connection, DECISIONS, body),
                forgotten=any(one.what == "forget" for one in accesses),
            )
            for patient in patients:
                self._audit(connection, who, "access-report", self._named(found, patient))
        return found

    def _named(self, found: AccessReport, patient: str) -> str:
        """A patient who was forgotten is not brought back by asking."""
        return self._names.handle(patient) if found.forgotten else patient

    def _rename(self, connection: Connection, patient: str, handle: str) -> None:
        for table in _RENAMED:
            mine = table.c.patient == patient
            connection.execute(update(table).where(mine).values(patient=handle))
        declined = DECLINES.c.patient == patient
        rows = connection.execute(select(DECLINES).where(declined)).mappings().all()
        for row in rows:
            again = {name: value for name, value in row.items() if name != "id"}
            wanted = insert(connection, DECLINES).values(**{**again, "patient": handle})
            connection.execute(wanted.on_conflict_do_nothing())
        connection.execute(delete(DECLINES).where(declined))

    def _audit(self, connection: Connection, who: str, what: str, patient: str) -> None:
        row = {"at": self._now(), "who": who, "what": what, "patient": patient}
        connection.execute(AUDIT.insert().values(**row, purpose="retention"))

    @contextmanager
    def _announced(self, *, write: bool) -> Generator[Connection]:
        if not write:
            with reading(self._engine) as connection:
                yield connection
            return
        with transaction(self._engine) as connection:
            connection.execute(RETENTION.insert().values(run=1))
            yield connection
            connection.execute(delete(RETENTION))

    def _now(self) -> int:
        return instant(self._clock.now())


def _gone(before: int) -> ColumnElement[bool]:
    """Done or superseded before then, or waiting since before then."""
    ended = (OUTBOX.c.state != WAITING) & (OUTBOX.c.ended_at < before)
    return or_(ended, (OUTBOX.c.state == WAITING) & (OUTBOX.c.added_at < before))


def _held(connection: Connection, names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    ids = list(names)
    tables = (*_FORGOTTEN, DECLINES, *_RENAMED)
    found = ((one.name, _count(connection, one, one.c.patient.in_(ids))) for one in tables)
    return tuple((name, number) for name, number in found if number)


def _count(connection: Connection, table: Table, wanted: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(wanted)) or 0
