"""Writing back: proposals, the ledger, and what a run came to."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.bootstrap.clients import write_client
from fhir_adapter.bootstrap.judging import Bench, run_id
from fhir_adapter.client import Capability, FhirClient, escaped
from fhir_adapter.criteria.names import canonical
from fhir_adapter.errors import (
    AdapterError,
    BasisMissing,
    ServerBroken,
    ServerFault,
    ServerRefused,
    ServerUnreachable,
    SettingInvalid,
    WriteFault,
)
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Clock, Proposal, Written
from fhir_adapter.present.failures import failure, is_failed_evaluation
from fhir_adapter.present.proposals import Desk, proposal
from fhir_adapter.present.resources import device
from fhir_adapter.present.worklist import is_listed
from fhir_adapter.screening import Screened
from fhir_adapter.settings import Settings
from fhir_adapter.version import __version__
from fhir_adapter.writeback import ServerSink, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingDesk:
    """Sends the proposals of one run; without ``write`` it only says what would happen."""

    desk: Desk
    sink: ServerSink
    ledger: Ledger | None
    run: str
    write: bool

    def send(self, one: Screened) -> Written | None:
        """One patient's proposal; the decision goes to the ledger. None where nothing is due."""
        made = self._made(one)
        if made is None:
            return None
        sent = self.sink.send(made, write=self.write)
        if self.write and self.ledger is not None and one.decision is not None:
            self.ledger.record_decision(one.decision, run=self.run, listed=is_listed(one.decision))
        return sent

    def send_each(self, screened: Iterable[Screened]) -> Iterator[Written]:
        """Everybody's; a fault stops one patient, a server that does not answer stops the rest."""
        gone: ServerUnreachable | None = None
        for one in screened:
            if gone is not None:
                if one.decision is not None:
                    yield self._failed(one, gone)
                continue
            try:
                sent = self.send(one)
            except (ServerFault, WriteFault) as fault:
                gone = fault if isinstance(fault, ServerUnreachable) else None
                sent = self._failed(one, fault)
            if sent is not None:
                yield sent

    def _made(self, one: Screened) -> Proposal | None:
        aliases = () if one.record is None else one.record.aliases
        ids = (one.patient, *aliases)
        known = () if self.ledger is None else self.ledger.subjects_of(self.desk.study.id, ids)
        if one.decision is not None:
            # the id under which the patient was proposed first: the key is kept through merges
            first = known[0].patient if known else one.patient
            return proposal(one.decision, self.desk, first_patient=first, ids=ids)
        if one.error is None or not known or not is_failed_evaluation(one.error):
            return None
        return failure(one.error, self.desk, key=known[-1].key, patient=one.patient, ids=ids)

    def _failed(self, one: Screened, fault: AdapterError) -> Written:
        return Written(
            key="",
            patient=one.patient,
            dry_run=not self.write,
            notes=(str(fault),),
            error=fault.code,
        )


@contextmanager
def writing(settings: Settings, bench: Bench, *, write: bool) -> Generator[WritingDesk]:
    """Everything that writing back needs; a missing basis or key is said before that."""
    if write:
        _refuse_without_basis(bench)
    key = settings.site_key or ("" if write else "dry run")
    if not key:
        raise SettingInvalid(
            "no site_key is set",
            remedy="Set FHIR_ADAPTER_SITE_KEY to a secret of this site, and keep it: it names "
            "every ResearchSubject.",
        )
    client = write_client(settings)
    ledger = _ledger(settings, bench.clock, make=write)
    try:
        yield WritingDesk(
            desk=_desk(settings, bench, client, key),
            sink=ServerSink(client, ledger, choice=choose(_capability(client))),
            ledger=ledger,
            run=run_id(),
            write=write,
        )
    finally:
        if ledger is not None:
            ledger.close()


def _capability(client: FhirClient) -> Capability | None:
    """None where the server says nothing usable of itself: the careful way of writing is taken."""
    try:
        return client.capability()
    except (ServerRefused, ServerBroken):
        return None


def _refuse_without_basis(bench: Bench) -> None:
    if not bench.screener.basis:
        raise BasisMissing(
            f"the site file records no basis for {bench.package.study.id} that is in force today",
            where=f"site {bench.mappings.site.name}",
            remedy="Add a basis with approval, dates and visible-to; nothing was written.",
        )


def _ledger(settings: Settings, clock: Clock, *, make: bool) -> Ledger | None:
    """A dry run reads what was written before, or its counts are those of a first run."""
    path = Path(settings.ledger)
    if not make and not path.is_file():
        return None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return open_ledger(path, clock)


def _desk(settings: Settings, bench: Bench, client: FhirClient, key: str) -> Desk:
    study = bench.package.study
    url = f"{canonical('PlanDefinition', study.id)}|{study.version}"
    return Desk(
        study=study,
        site_key=key.encode(),
        study_reference=f"ResearchStudy/{_study_id(client, study)}",
        plan=url,
        device=device(settings.device, __version__),
        judged_at=bench.clock.now().isoformat(timespec="seconds"),
        zone=bench.zone,
    )


def _study_id(client: FhirClient, study: Study) -> str:
    """The logical id of the ResearchStudy on the server that is written to; else our own."""
    token = f"{escaped(study.identity.registry)}|{escaped(study.identity.number)}"
    try:
        found = client.search("ResearchStudy", {"identifier": token}).matches
    except ServerFault:
        return study.id
    return str(found[0]["id"]) if found else study.id


def written_sentence(written: Sequence[Written], *, write: bool) -> str:
    """How much was, or would be, created, updated, deleted, left alone."""
    created = sum(len(one.created) for one in written)
    updated = sum(len(one.updated) for one in written)
    deleted = sum(len(one.deleted) for one in written)
    left = sum(1 for one in written if one.left_to_person)
    counts = f"{created} created, {updated} updated, {deleted} deleted"
    people = f"; {left} left to people" if left else ""
    if not (created or updated or deleted):
        counts = "nothing; all stands already"
    said = "Written" if write else "Dry run, nothing written. With --write"
    return f"{said}: {counts}{people}"
