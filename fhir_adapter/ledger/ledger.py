"""Ledger: one small typed class over the tables; each call is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, select
from sqlalchemy.dialects.sqlite import insert

from fhir_adapter.ledger.alerts import AlertLedger
from fhir_adapter.ledger.database import open_engine, transaction
from fhir_adapter.ledger.given import answer_fact, fact_of, row_of
from fhir_adapter.ledger.rows import LedgerCounts, StoredDecision, StoredSubject, SubjectState
from fhir_adapter.ledger.tables import (
    ANSWERS,
    AUDIT,
    DECISIONS,
    DECLINES,
    LEDGER_SCHEMA,
    SUBJECTS,
)
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision, Hashes, Outcome
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.hashing import canonical
from fhir_adapter.ports import Clock

_CHUNK = 500
"""Ids per statement: SQLite limits the number of parameters."""


def open_ledger(path: Path, clock: Clock) -> Ledger:
    """The ledger in a file, made (mode 0600) where there is none; its folder must exist."""
    return Ledger(f"sqlite:///{path}", clock)


class Ledger:
    """Durable state. Raises SettingInvalid where the file cannot be used or is newer than we."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        self._engine = open_engine(url)
        self.alerts: AlertLedger = AlertLedger(self._engine, clock)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def record_decision(self, decision: Decision, *, run: str, listed: bool) -> bool:
        """Append a decision; False where this run already recorded it (a repeat after a crash).

        Values are kept only for listed patients: without ``listed`` the body is left out.
        """
        hashes = decision.hashes or Hashes(study="", basis="", outcome="", alert="")
        row = {
            "run": run,
            "patient": decision.patient,
            "study": decision.study,
            "attempt": decision.attempt,
            "as_of": decision.as_of,
            "recorded_at": self._now(),
            "study_version": decision.study_version,
            "outcome": decision.outcome.value,
            "outcome_fingerprint": hashes.outcome,
            "alert_fingerprint": hashes.alert,
            "study_hash": hashes.study,
            "basis_hash": hashes.basis,
            "listed": listed,
            "body": canonical(decision).decode() if listed else None,
        }
        return self._add(DECISIONS, row)

    def last_decision(self, patient: str, study: str) -> StoredDecision | None:
        """The decision recorded last for this id and study."""
        wanted = (
            select(DECISIONS)
            .where(DECISIONS.c.patient == patient, DECISIONS.c.study == study)
            .order_by(DECISIONS.c.id.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            row = connection.execute(wanted).mappings().first()
        return None if row is None else _decision(row)

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
            rows = [
                row
                for some in _chunks(patients)
                for row in connection.execute(wanted.where(SUBJECTS.c.patient.in_(some))).mappings()
            ]
        found = (StoredSubject(**row) for row in rows)
        return tuple(sorted(found, key=lambda row: (row.attempt, row.key)))

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
        wanted = insert(SUBJECTS).values(**first, **now)
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
        """Ids of patients who were ever proposed for a study."""
        wanted = select(SUBJECTS.c.patient).where(SUBJECTS.c.study == study).distinct()
        with self._transaction() as connection:
            return frozenset(connection.scalars(wanted))

    def decline(self, *, patient: str, study: str, who: str, role: str) -> bool:
        """The patient does not want this study; False where that was known. Never undone here."""
        row = {
            "patient": patient,
            "study": study,
            "who": who,
            "role": role,
            "declined_at": self._now(),
        }
        return self._add(DECLINES, row)

    def declined(self, study: str, patients: Iterable[str]) -> frozenset[str]:
        """Which of these ids declined: any of one patient's ids is enough (the stricter wins)."""
        wanted = select(DECLINES.c.patient).where(DECLINES.c.study == study)
        with self._transaction() as connection:
            return frozenset(
                found
                for some in _chunks(patients)
                for found in connection.scalars(wanted.where(DECLINES.c.patient.in_(some)))
            )

    def audit(self, *, who: str, what: str, patient: str, purpose: str) -> None:
        """Who did what (a code) about which patient (an opaque handle), and for which purpose."""
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
                subjects=tuple(sorted((row[0], row[1]) for row in connection.execute(by_state))),
            )

    def _now(self) -> int:
        return instant(self._clock.now())

    def _transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine)

    def _add(self, table: Table, row: Mapping[str, Any]) -> bool:
        wanted = insert(table).values(**row).on_conflict_do_nothing()
        with self._transaction() as connection:
            return connection.execute(wanted).rowcount == 1


def _chunks(patients: Iterable[str]) -> Iterator[list[str]]:
    ids = sorted(set(patients))
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _decision(row: RowMapping) -> StoredDecision:
    hashes = Hashes(
        study=row["study_hash"],
        basis=row["basis_hash"],
        outcome=row["outcome_fingerprint"],
        alert=row["alert_fingerprint"],
    )
    return StoredDecision(
        run=row["run"],
        patient=row["patient"],
        study=row["study"],
        attempt=row["attempt"],
        as_of=row["as_of"],
        recorded_at=row["recorded_at"],
        study_version=row["study_version"],
        outcome=Outcome(row["outcome"]),
        hashes=hashes if hashes.outcome else None,
        body=None if row["body"] is None else row["body"].encode(),
    )
