"""Ledger: one small typed class over the tables; each call is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, select

from fhir_adapter.ledger.address import shown, url_of
from fhir_adapter.ledger.alerts import AlertLedger
from fhir_adapter.ledger.changes import ChangedPatients
from fhir_adapter.ledger.database import open_engine, transaction
from fhir_adapter.ledger.decisions import DecisionLedger
from fhir_adapter.ledger.dialect import insert
from fhir_adapter.ledger.given import answer_fact, fact_of, row_of
from fhir_adapter.ledger.inputs import Judged
from fhir_adapter.ledger.names import Names, is_forgotten
from fhir_adapter.ledger.outbox import Outbox
from fhir_adapter.ledger.retention import Retention
from fhir_adapter.ledger.rows import LedgerCounts, StoredDecision, StoredSubject, SubjectState
from fhir_adapter.ledger.tables import (
    ANSWERS,
    AUDIT,
    CURSORS,
    DECISIONS,
    DECLINES,
    INPUTS,
    LEDGER_SCHEMA,
    SUBJECTS,
)
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.fact import Fact
from fhir_adapter.ports import Clock, Proposal

_CHUNK = 500
EVERY_STUDY = "*"
"""In the place of a study: the patient declined them all."""
"""Ids per statement: SQLite limits the number of parameters."""


def open_ledger(
    address: Path | str, clock: Clock, *, password: str = "", site_key: str = ""
) -> Ledger:
    """The ledger in a file, made (mode 0600) where there is none, or in a PostgreSQL database.

    A file's folder must exist, and so must a database.
    """
    return Ledger(str(address), clock, password=password, site_key=site_key)


class Ledger:
    """Durable state. Raises SettingInvalid where the database cannot be used or is newer than we.

    ``site_key``: by it patients who were forgotten are still known as having refused.
    """

    def __init__(
        self, address: str, clock: Clock, *, password: str = "", site_key: str = ""
    ) -> None:
        self._clock = clock
        self._engine = open_engine(address, password=password)
        self._names = Names(site_key)
        self.place: str = shown(url_of(address))
        """Where it is, as it may be printed."""
        self.kind: str = self._engine.dialect.name
        """sqlite or postgresql."""
        self.alerts: AlertLedger = AlertLedger(self._engine, clock, self._names)
        self.changed: ChangedPatients = ChangedPatients(self._engine)
        self.outbox: Outbox = Outbox(self._engine, clock)
        self.decisions: DecisionLedger = DecisionLedger(self._engine, clock, self.outbox)
        self.retention: Retention = Retention(self._engine, clock, self._names)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def record_decision(
        self,
        decision: Decision,
        *,
        run: str,
        listed: bool,
        judged: Judged | None = None,
        proposal: Proposal | None = None,
    ) -> bool:
        """Append a decision; False where this run already recorded it (a repeat after a crash).

        Values are kept only for listed patients: without ``listed`` body and record are left out.
        ``proposal`` goes to the outbox in the same transaction.
        """
        return self.decisions.record(
            decision, run=run, listed=listed, judged=judged, proposal=proposal
        )

    def last_decision(self, patient: str, study: str) -> StoredDecision | None:
        """The decision recorded last for this id and study."""
        found = self.decisions.stored(patient=patient, study=study, last=True)
        return next(found, None)

    def subject(self, key: str) -> StoredSubject | None:
        """What we last wrote under this key."""
        with self._transaction() as connection:
            row = connection.execute(select(SUBJECTS).where(SUBJECTS.c.key == key)).mappings()
            found = row.first()
        return None if found is None else StoredSubject(**found)

    def subjects_of(self, study: str, patients: Iterable[str]) -> tuple[StoredSubject, ...]:
        """All attempts of one patient under any id: the key of the first proposal is kept."""
        wanted = select(SUBJECTS).where(SUBJECTS.c.study == study)
        with self._transaction() as connection:
            names = self._names.of(connection, patients)
            rows = [
                replace(StoredSubject(**row), patient=names[row["patient"]])
                for some in _chunks(names)
                for row in connection.execute(wanted.where(SUBJECTS.c.patient.in_(some))).mappings()
            ]
        return tuple(sorted(rows, key=lambda row: (row.attempt, row.key)))

    def subjects_in(self, study: str) -> tuple[StoredSubject, ...]:
        """Whatever was ever proposed for a study; forgotten patients under their keyed hash."""
        wanted = select(SUBJECTS).where(SUBJECTS.c.study == study).order_by(SUBJECTS.c.key)
        with self._transaction() as connection:
            return tuple(StoredSubject(**row) for row in connection.execute(wanted).mappings())

    def remember_subject(
        self,
        *,
        key: str,
        patient: str,
        study: str,
        reference: str,
        status: str,
        fingerprint: str,
        state: SubjectState,
        attempt: int = 1,
    ) -> None:
        """Keep what now stands on the server; patient, study and attempt stay as first given."""
        now = {
            "reference": reference,
            "status": status,
            "fingerprint": fingerprint,
            "state": state,
            "changed_at": self._now(),
        }
        first = {"key": key, "patient": patient, "study": study, "attempt": attempt}
        wanted = insert(self._engine, SUBJECTS).values(**first, **now)
        with self._transaction() as connection:
            connection.execute(wanted.on_conflict_do_update(index_elements=["key"], set_=now))

    def add_answer(
        self,
        *,
        patient: str,
        study: str,
        question: Code,
        value: Code,
        who: str,
        role: str,
        at: datetime | None = None,
    ) -> bool:
        """A person's answer; ``at`` in the site's zone, now where not given; False: kept before.

        ``question`` is ``question_code(study, id)``, ``value`` one of YES, NO, NOT_KNOWN.
        """
        moment = at or self._clock.now()
        fact = answer_fact(patient=patient, study=study, question=question, value=value, at=moment)
        row = row_of(fact, study=study, who=who, role=role, document="", given_at=fact.start_lo)
        return self._add(ANSWERS, row)

    def add_entered(
        self, fact: Fact, *, study: str, who: str, role: str, document: str = ""
    ) -> bool:
        """An outside value typed in by a person, with its source document; False: kept before.

        The fact comes normalised (facts/), of kind entered, or answer where it carries a date of
        its own (an anchor); its source is given here.
        """
        row = row_of(fact, study=study, who=who, role=role, document=document, given_at=self._now())
        return self._add(ANSWERS, row)

    def studies_answered(self, patients: Iterable[str]) -> frozenset[str]:
        """Studies in which anybody answered anything about these ids of one patient."""
        wanted = select(ANSWERS.c.study).distinct()
        with self._transaction() as connection:
            return frozenset(
                found
                for some in _chunks(patients)
                for found in connection.scalars(wanted.where(ANSWERS.c.patient.in_(some)))
            )

    def answers_of(self, study: str, patients: Iterable[str]) -> tuple[Fact, ...]:
        """All facts given by people about these ids of one patient, oldest first."""
        wanted = select(ANSWERS).where(ANSWERS.c.study == study)
        with self._transaction() as connection:
            rows = [
                row
                for some in _chunks(patients)
                for row in connection.execute(wanted.where(ANSWERS.c.patient.in_(some))).mappings()
            ]
        rows.sort(key=lambda row: (row["given_at"], row["id"]))
        return tuple(fact_of(row) for row in rows)

    def of(self, study: str, patients: Iterable[str]) -> tuple[Fact, ...]:
        """The name that the Answers port has for ``answers_of``."""
        return self.answers_of(study, patients)

    def answered(self, study: str) -> frozenset[str]:
        """Ids of patients of whom a person has answered or typed in something for a study."""
        wanted = select(ANSWERS.c.patient).where(ANSWERS.c.study == study).distinct()
        with self._transaction() as connection:
            return frozenset(connection.scalars(wanted))

    def proposed(self, study: str) -> frozenset[str]:
        """Ids of patients who were ever proposed for a study and not forgotten since."""
        wanted = select(SUBJECTS.c.patient).where(SUBJECTS.c.study == study).distinct()
        with self._transaction() as connection:
            return frozenset(one for one in connection.scalars(wanted) if not is_forgotten(one))

    def decline(self, *, patients: Iterable[str], study: str, who: str, role: str) -> bool:
        """One patient does not want this study; False where that was known. Never undone here.

        It is kept under every id that the patient has now: should a merge turn out to be wrong,
        each of the two stands as the one who declined (the stricter wins).
        """
        said = {"study": study, "who": who, "role": role, "declined_at": self._now()}
        rows = [{"patient": one, **said} for one in sorted(set(patients))]
        wanted = insert(self._engine, DECLINES).on_conflict_do_nothing()
        with self._transaction() as connection:
            return [connection.execute(wanted.values(**row)).rowcount for row in rows].count(1) > 0

    def opt_out(self, *, patients: Iterable[str], who: str, role: str) -> bool:
        """One patient wants no research at all: as ``decline``, of every study to come too."""
        return self.decline(patients=patients, study=EVERY_STUDY, who=who, role=role)

    def opted_out(self, patients: Iterable[str]) -> frozenset[str]:
        """Which of these ids opted out of research: any of one patient's ids is enough."""
        return self.declined(EVERY_STUDY, patients)

    def anybody_opted_out(self) -> bool:
        """Whether asking who did is worth while."""
        wanted = select(DECLINES.c.id).where(DECLINES.c.study == EVERY_STUDY).limit(1)
        with self._transaction() as connection:
            return connection.execute(wanted).first() is not None

    def declined(self, study: str, patients: Iterable[str]) -> frozenset[str]:
        """Which of these ids declined: any of one patient's ids is enough (the stricter wins)."""
        wanted = select(DECLINES.c.patient).where(DECLINES.c.study == study)
        with self._transaction() as connection:
            names = self._names.of(connection, patients)
            return frozenset(
                names[found]
                for some in _chunks(names)
                for found in connection.scalars(wanted.where(DECLINES.c.patient.in_(some)))
            )

    def cursor(self, name: str) -> str | None:
        """How far a poll has read; None before the first time."""
        with self._transaction() as connection:
            return connection.scalar(select(CURSORS.c.value).where(CURSORS.c.name == name))

    def set_cursor(self, name: str, value: str) -> None:
        """The poll has read so far: to be said after what it found was marked."""
        now = {"value": value, "changed_at": self._now()}
        wanted = insert(self._engine, CURSORS).values(name=name, **now)
        with self._transaction() as connection:
            connection.execute(wanted.on_conflict_do_update(index_elements=["name"], set_=now))

    def audit(self, *, who: str, what: str, patient: str, purpose: str) -> None:
        """Who did what (a code) about which patient (empty: several), and for which purpose."""
        row = {"at": self._now(), "who": who, "what": what, "patient": patient, "purpose": purpose}
        self._add(AUDIT, row)

    def status(self) -> LedgerCounts:
        """Counts, no contents."""
        by_state = select(SUBJECTS.c.state, func.count()).group_by(SUBJECTS.c.state)
        listed = select(func.count()).select_from(DECISIONS).where(DECISIONS.c.listed)
        with self._transaction() as connection:
            return LedgerCounts(
                schema=LEDGER_SCHEMA,
                decisions=_count(connection, DECISIONS),
                listed=connection.scalar(listed) or 0,
                answers=_count(connection, ANSWERS),
                declines=_count(connection, DECLINES),
                audit=_count(connection, AUDIT),
                inputs=_count(connection, INPUTS),
                subjects=tuple(sorted((row[0], row[1]) for row in connection.execute(by_state))),
            )

    def _now(self) -> int:
        return instant(self._clock.now())

    def _transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine)

    def _add(self, table: Table, row: Mapping[str, Any]) -> bool:
        wanted = insert(self._engine, table).values(**row).on_conflict_do_nothing()
        with self._transaction() as connection:
            return connection.execute(wanted).rowcount == 1


def _chunks(patients: Iterable[str]) -> Iterator[list[str]]:
    ids = sorted(set(patients))
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0
