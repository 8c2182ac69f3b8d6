"""Decisions in the ledger: appended with what they were made from and what they propose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Select, select

from fhir_adapter.ledger.database import reading, transaction
from fhir_adapter.ledger.dialect import insert
from fhir_adapter.ledger.inputs import Basis, Judged, packed
from fhir_adapter.ledger.outbox import Outbox
from fhir_adapter.ledger.rows import StoredDecision
from fhir_adapter.ledger.tables import DECISIONS, INPUTS
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision, Hashes, Outcome
from fhir_adapter.model.hashing import canonical
from fhir_adapter.ports import Clock, Proposal

_PAGE = 200
"""Decisions read at a time: with their records they may be large."""


class DecisionLedger:
    """Append-only; a trigger holds everybody but retention to it."""

    def __init__(self, engine: Engine, clock: Clock, outbox: Outbox) -> None:
        self._engine = engine
        self._clock = clock
        self._outbox = outbox

    def record(
        self,
        decision: Decision,
        *,
        run: str,
        listed: bool,
        judged: Judged | None,
        proposal: Proposal | None,
    ) -> bool:
        """One transaction: the decision, its record (kept once for all decisions), the proposal.

        False, and nothing at all, where this run recorded the decision before.
        """
        row = _row(decision, run=run, listed=listed, recorded_at=instant(self._clock.now()))
        if judged is not None:
            on = judged.on
            row |= {"mappings": on.mappings, "engine": on.engine, "facts_schema": on.facts_schema}
            row |= {"basis": on.basis, "declined": on.declined, "opted_out": on.opted_out}
        with transaction(self._engine) as connection:
            if judged is not None and listed:
                row["input"] = _keep(connection, judged, row["recorded_at"])
            wanted = insert(connection, DECISIONS).values(**row).on_conflict_do_nothing()
            new = connection.execute(wanted).rowcount == 1
            if new and proposal is not None:
                self._outbox.add(connection, proposal, run=run)
        return new

    def stored(
        self,
        *,
        decision: int | None = None,
        patient: str | None = None,
        study: str | None = None,
        last: bool = False,
    ) -> Iterator[StoredDecision]:
        """Those that are asked for, in order of recording (``last``: the newest only)."""
        wanted = _wanted(decision, patient, study)
        if last:
            wanted = wanted.order_by(DECISIONS.c.id.desc()).limit(1)
            yield from self._page(wanted)
            return
        after = 0
        while True:
            page = wanted.where(DECISIONS.c.id > after).order_by(DECISIONS.c.id).limit(_PAGE)
            found = self._page(page)
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1].id

    def _page(self, wanted: Select[Any]) -> list[StoredDecision]:
        with reading(self._engine) as connection:
            return [_decision(row) for row in connection.execute(wanted).mappings()]


def _wanted(decision: int | None, patient: str | None, study: str | None) -> Select[Any]:
    wanted = select(DECISIONS, INPUTS.c.body.label("record")).join(
        INPUTS, DECISIONS.c.input == INPUTS.c.digest, isouter=True
    )
    if decision is not None:
        wanted = wanted.where(DECISIONS.c.id == decision)
    if patient is not None:
        wanted = wanted.where(DECISIONS.c.patient == patient)
    return wanted if study is None else wanted.where(DECISIONS.c.study == study)


def _keep(connection: Connection, judged: Judged, now: int) -> str:
    digest, body = packed(judged.record)
    row = {"digest": digest, "patient": judged.record.patient, "body": body, "kept_at": now}
    wanted = insert(connection, INPUTS).values(**row)
    kept = wanted.on_conflict_do_update(index_elements=["digest"], set_={"kept_at": now})
    connection.execute(kept)
    return digest


def _row(decision: Decision, *, run: str, listed: bool, recorded_at: int) -> dict[str, Any]:
    hashes = decision.hashes or Hashes(study="", basis="", outcome="", alert="")
    return {
        "run": run,
        "patient": decision.patient,
        "study": decision.study,
        "attempt": decision.attempt,
        "as_of": decision.as_of,
        "recorded_at": recorded_at,
        "study_version": decision.study_version,
        "outcome": decision.outcome.value,
        "outcome_fingerprint": hashes.outcome,
        "alert_fingerprint": hashes.alert,
        "study_hash": hashes.study,
        "basis_hash": hashes.basis,
        "listed": listed,
        "body": canonical(decision).decode() if listed else None,
    }


def _decision(row: RowMapping) -> StoredDecision:
    hashes = Hashes(
        study=row["study_hash"],
        basis=row["basis_hash"],
        outcome=row["outcome_fingerprint"],
        alert=row["alert_fingerprint"],
    )
    return StoredDecision(
        id=row["id"],
        run=row["run"],
        patient=row["patient"],
        study=row["study"],
        attempt=row["attempt"],
        as_of=row["as_of"],
        recorded_at=row["recorded_at"],
        study_version=row["study_version"],
        study_hash=row["study_hash"],
        listed=row["listed"],
        outcome=Outcome(row["outcome"]),
        hashes=hashes if hashes.outcome else None,
        body=None if row["body"] is None else row["body"].encode(),
        on=_basis(row),
        record=row["record"],
    )


def _basis(row: RowMapping) -> Basis | None:
    if row["engine"] is None:
        return None
    return Basis(
        mappings=row["mappings"],
        engine=row["engine"],
        facts_schema=row["facts_schema"],
        basis=row["basis"],
        declined=row["declined"],
        opted_out=row["opted_out"],
    )
