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
    ServerFault,
    ServerRefused,
    ServerUnreachable,
    SettingInvalid,
    WriteFault,
)
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Clock, Written
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

    def send(self, one: Screened) -> Written:
        """One patient's proposal; the decision goes to the ledger."""
        assert one.decision is not None
        aliases = () if one.record is None else one.record.aliases
        ids = (one.patient, *aliases)
        made = proposal(one.decision, self.desk, first_patient=self._first(ids), ids=ids)
        sent = self.sink.send(made, write=self.write)
        if self.ledger is not None:
            self.ledger.record_decision(one.decision, run=self.run, listed=is_listed(one.decision))
        return sent

    def send_each(self, judged: Iterable[Screened]) -> Iterator[Written]:
        """Everybody's; a fault stops one patient, a server that does not answer stops the rest."""
        gone: ServerUnreachable | None = None
        for one in judged:
            if gone is not None:
                yield self._failed(one, gone)
                continue
            try:
                yield self.send(one)
            except (ServerFault, WriteFault) as fault:
                gone = fault if isinstance(fault, ServerUnreachable) else None
                yield self._failed(one, fault)

    def _failed(self, one: Screened, fault: AdapterError) -> Written:
        return Written(
            key="",
            patient=one.patient,
            dry_run=not self.write,
            notes=(str(fault),),
            error=fault.code,
        )

    def _first(self, ids: tuple[str, ...]) -> str:
        """The id under which the patient was proposed first; the key is kept through merges."""
        if self.ledger is None:
            return ids[0]
        known = self.ledger.subjects_of(self.desk.study.id, ids)
        return known[0].patient if known else ids[0]


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
    ledger = _ledger(settings, bench.clock) if write else None
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
    try:
        return client.capability()
    except ServerRefused:
        return None


def _refuse_without_basis(bench: Bench) -> None:
    if not bench.screener.basis:
        raise BasisMissing(
            f"the site file records no basis for {bench.package.study.id} that is in force today",
            where=f"site {bench.mappings.site.name}",
            remedy="Add a basis with approval, dates and visible-to; nothing was written.",
        )


def _ledger(settings: Settings, clock: Clock) -> Ledger:
    path = Path(settings.ledger)
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
    if write:
        nothing = not (created or updated or deleted)
        return (
            f"Written: nothing; all stands already{people}"
            if nothing
            else (f"Written: {counts}{people}")
        )
    return f"Dry run, nothing written. With --write: {counts}{people}"
