"""The ledger kept in order: its state, retention, duplicates on the server."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fhir_adapter.bootstrap.clients import record_client, write_client
from fhir_adapter.bootstrap.judging import Bench, SystemClock, bench
from fhir_adapter.bootstrap.ledgers import ledger_of, retention_days
from fhir_adapter.bootstrap.records import server_records
from fhir_adapter.bootstrap.writing import choice_of, refuse_without_basis, study_id
from fhir_adapter.client import why_not_of
from fhir_adapter.errors import AdapterError, PatientNotFound, ServerFault
from fhir_adapter.ledger import Ledger, Mark, OutboxCounts, Purged, StoredSubject
from fhir_adapter.ledger.rows import LedgerCounts
from fhir_adapter.model.dates import instant
from fhir_adapter.present.resources import (
    SUBJECT_KEY,
    device,
    provenance,
    research_subject,
)
from fhir_adapter.pull.endpoint import is_endpoint, no_endpoint
from fhir_adapter.settings import Settings
from fhir_adapter.version import __version__
from fhir_adapter.writeback import Aliases, Forms, Repair, Repaired, Sender, Stored, Strategy

_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """What `ledger status` says: counts and places, no contents."""

    kind: str
    place: str
    counts: LedgerCounts
    waiting: int
    failing: int
    oldest_due: int | None
    outbox: OutboxCounts


@contextmanager
def opened(settings: Settings) -> Generator[Ledger]:
    """The ledger that is there, for as long as the block lasts."""
    ledger = ledger_of(settings, SystemClock())
    try:
        yield ledger
    finally:
        ledger.close()


def state_of(ledger: Ledger) -> LedgerState:
    """The ledger as it is now."""
    return LedgerState(
        kind=ledger.kind,
        place=ledger.place,
        counts=ledger.status(),
        waiting=ledger.changed.count(),
        failing=ledger.changed.failing(),
        oldest_due=ledger.changed.oldest(),
        outbox=ledger.outbox.counts(),
    )


def purge(settings: Settings, ledger: Ledger, *, write: bool) -> Purged:
    """Values whose days are over."""
    before = instant(SystemClock().now()) - retention_days(settings) * _DAY
    return ledger.retention.purge(before, write=write)


def refuse(ledger: Ledger, patients: Sequence[str], *, study: str, who: str, role: str) -> None:
    """One patient, by all ids, wants a study no more; every study where none is named."""
    if study:
        ledger.decline(patients=patients, study=study, who=who, role=role)
    else:
        ledger.opt_out(patients=patients, who=who, role=role)
    # a proposal may stand: the patient is read again at once, and not with the next sweep
    now = instant(SystemClock().now())
    ledger.changed.mark_all(
        Mark(patient=one, reason="person", seen_at=now, not_before=now) for one in patients
    )
    what = "decline" if study else "opt-out"
    for one in patients:
        ledger.audit(who=who, what=what, patient=one, purpose=study or "all research")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """Ids of one patient, looked for on the record server; a refusal is recorded all the same."""

    unknown: tuple[int, ...] = ()
    """Places (from 1) of the ids that the server does not know, in the order given."""
    why_not: str = ""
    """Why nobody was looked for, or not all: no-record-server, unreachable, ...; else empty."""


def looked_up(settings: Settings, ledger: Ledger, patients: Sequence[str], *, who: str) -> LookedUp:
    """Whether the record server knows these ids: a mistyped one refuses for nobody.

    Raises nothing: a server that cannot be asked, or settings that lead to none, are said. The
    first fault ends it, so that nobody waits once for every id.
    """
    if not settings.record_server:
        return LookedUp(why_not="no-record-server")
    unknown = list[int]()
    try:
        client = record_client(settings)
        for place, one in enumerate(patients, 1):
            if client.read("Patient", one) is None:
                if not is_endpoint(client):
                    return LookedUp(why_not=why_not_of(no_endpoint(client)))
                unknown.append(place)
            ledger.audit(who=who, what="read", patient=one, purpose="whether the id is known")
    except ServerFault as fault:
        return LookedUp(unknown=tuple(unknown), why_not=why_not_of(fault))
    except AdapterError as fault:
        return LookedUp(unknown=tuple(unknown), why_not=fault.code)
    return LookedUp(unknown=tuple(unknown))


def repair(settings: Settings, *, write: bool) -> tuple[Repaired, ...]:
    """Duplicates of the settings' study on the server that is written to."""
    found = bench(settings)
    if write:
        refuse_without_basis(found)
    client = write_client(settings)
    choice = choice_of(settings, client)
    if choice.strategy is Strategy.LEDGER_ONLY:
        return ()
    study = f"ResearchStudy/{study_id(client, found.package.study)}"
    like_ours = research_subject(key="", status="", study=study, patient="")
    forms = Forms(
        study=study,
        system=SUBJECT_KEY,
        status=like_ours["_status"],
        device=device(settings.device, __version__),
        provenance=provenance(
            patient="",
            sources=(),
            recorded=found.clock.now().isoformat(timespec="seconds"),
        ),
    )
    with opened(settings) as ledger:
        rows = ledger.subjects_in(found.package.study.id)
        sender = Sender(client=client, choice=choice, write=write)
        stored = [_stored(row) for row in rows]
        aliases = _aliases(settings, found, ledger)
        made = Repair(sender=sender, forms=forms, stored=stored, aliases=aliases).run()
        if write:
            _remember(ledger, rows, made)
    return made


def _aliases(settings: Settings, bench: Bench, ledger: Ledger) -> Aliases:
    """Who was merged with a patient, as the record server says; nobody where none is set."""
    if not settings.record_server:
        return lambda _: ()
    source = server_records(settings)

    def aliases(patient: str) -> tuple[str, ...] | None:
        purpose = f"duplicates in {bench.package.study.id}"
        ledger.audit(who="fhir-adapter, repair", what="read", patient=patient, purpose=purpose)
        try:
            found = source.pull(patient, ())
        except PatientNotFound:
            return ()
        return found.aliases if found.has_patient and not found.why_no_patient else None

    return aliases


def _stored(row: StoredSubject) -> Stored:
    patient = "" if row.patient.startswith("#") else row.patient
    return Stored(key=row.key, patient=patient, last=row)


def _remember(ledger: Ledger, rows: tuple[StoredSubject, ...], made: tuple[Repaired, ...]) -> None:
    """What was put away is no deletion by a person: the key now stands for what was kept.

    That is proposed under its own key where it has another, from before a merge.
    """
    kept = {away: one.kept for one in made for act, away in one.done if act != "tell"}
    known = {row.reference for row in rows}
    for row in rows:
        if row.reference in kept:
            ledger.remember_subject(
                key=row.key,
                patient=row.patient,
                study=row.study,
                reference=kept[row.reference],
                status=row.status,
                fingerprint="",
                state="taken-back" if kept[row.reference] in known else row.state,
            )
