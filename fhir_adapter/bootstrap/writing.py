"""Writing back: proposals, the ledger, and what a run came to."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fhir_adapter.bootstrap.clients import what_it_can, write_client
from fhir_adapter.bootstrap.judging import Bench, run_id
from fhir_adapter.bootstrap.ledgers import is_there, judged_of, ledger_of
from fhir_adapter.bootstrap.profiles import write_profile
from fhir_adapter.client import FhirClient, escaped
from fhir_adapter.criteria.names import canonical
from fhir_adapter.errors import (
    AdapterError,
    BasisMissing,
    ServerFault,
    ServerUnreachable,
    SettingInvalid,
    WriteFault,
)
from fhir_adapter.ledger import Ledger, Outgoing, at_work, worker_of
from fhir_adapter.model.server import ServerProfile
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Proposal, Written
from fhir_adapter.present.failures import failure, is_failed_evaluation
from fhir_adapter.present.proposals import Desk, proposal
from fhir_adapter.present.resources import device, screening_list
from fhir_adapter.present.worklist import is_listed
from fhir_adapter.screening import Screened
from fhir_adapter.settings import Settings
from fhir_adapter.version import __version__
from fhir_adapter.writeback import Choice, Listing, Sender, ServerSink, choose

_BY_ANOTHER = "another run is writing for this patient: left to it"


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingDesk:
    """Sends the proposals of one run; without ``write`` it only says what would happen."""

    desk: Desk
    sink: ServerSink
    ledger: Ledger | None
    run: str
    write: bool
    mappings: str = ""
    """Version of the site's mappings."""
    listing: Listing | None = None
    """The study's List on the server; None where none is wanted, and in a dry run."""

    def list_proposals(self) -> str:
        """Bring the study's List up to what stands proposed; what is to be said of it, if anything.

        It repeats what stands elsewhere: a fault there stops nothing, and the next run mends it.
        """
        if self.listing is None or not self.is_list_due():
            return ""
        try:
            listed = self.listing.show(self._proposed(), now=self.desk.judged_at)
        except (ServerFault, WriteFault) as fault:
            return f"The screening List could not be written. {fault}"
        return f"The screening List was left alone: {listed.note}." if listed.note else ""

    def is_list_due(self) -> bool:
        """Whether anything was proposed or taken back since the List was written."""
        return self.listing is not None and self.listing.is_due(self._proposed())

    def _proposed(self) -> list[str]:
        """What stands proposed by the ledger, the oldest first; not of who has declined."""
        ledger, study = self.ledger, self.desk.study.id
        rows = () if ledger is None else ledger.subjects_in(study)
        proposed = [row for row in rows if row.state == "proposed" and row.reference]
        said_no = ledger.declined(study, [row.patient for row in proposed]) if ledger else ()
        standing = [row for row in proposed if row.patient not in said_no]
        found = sorted(standing, key=lambda row: row.changed_at)
        return list(dict.fromkeys(row.reference for row in found))

    def send(self, one: Screened) -> Written | None:
        """One patient's proposal; None where nothing is due.

        Decision and proposal go to the ledger together, and only then to the server: a run that is
        killed in between leaves the proposal in the outbox, where the next one finds it.
        """
        made = self._made(one)
        if made is None:
            return None
        known = self._keys(one)
        sent = self._send(one, made)
        # without its ledger it has just learnt under which keys one of several ids was proposed
        again = self._made(one) if self._keys(one) - known - {made.key} else None
        return sent if again is None else self._send(one, again)

    def _keys(self, one: Screened) -> frozenset[str]:
        """Keys in the ledger of somebody with several ids."""
        aliases = () if one.record is None else one.record.aliases
        if not aliases or self.ledger is None:
            return frozenset()
        rows = self.ledger.subjects_of(self.desk.study.id, (one.patient, *aliases))
        return frozenset(row.key for row in rows)

    def _send(self, one: Screened, made: Proposal) -> Written:
        if made.action == "take-back":
            for other in self._from_before_a_merge(one, made):
                self.sink.send(other, write=self.write)
        ledger = self.ledger
        if not self.write or ledger is None or one.decision is None:
            return self.sink.send(made, write=self.write)
        ledger.record_decision(
            one.decision,
            run=self.run,
            listed=is_listed(one.decision),
            judged=judged_of(one, self.mappings),
            proposal=made,
        )
        sent = [self._deliver(ledger, taken) for taken in self._mine(ledger, made.key)]
        if sent:
            return _together(sent)
        if ledger.outbox.is_held(made.key):  # it sends this one too, once it is done with its own
            return Written(
                key=made.key,
                patient=made.patient,
                dry_run=False,
                notes=(_BY_ANOTHER,),
                waits=True,
            )
        return self.sink.send(made, write=True)

    def send_left(self) -> Iterator[Written]:
        """What earlier runs were killed before, or could not send: this study's, oldest first."""
        if not self.write or self.ledger is None:
            return
        while taken := self.ledger.outbox.take(worker_of(self.run), study=self.desk.study.id):
            try:
                yield self._deliver(self.ledger, taken[0])
            except (ServerFault, WriteFault) as fault:
                yield self._failed(taken[0].proposal.patient, fault)
                if isinstance(fault, ServerUnreachable):
                    return

    def _mine(self, ledger: Ledger, key: str) -> Iterator[Outgoing]:
        """All that waits for one key, in order; the newest is the one of this run."""
        while taken := ledger.outbox.take(worker_of(self.run), key=key, at_once=True):
            yield taken[0]

    def _deliver(self, ledger: Ledger, taken: Outgoing) -> Written:
        """Sent, read back as sent, and only then done."""
        try:
            sent = self.sink.send(taken.proposal, write=True)
        except AdapterError as fault:
            ledger.outbox.failed(taken, fault.code)
            raise
        ledger.outbox.done(taken)
        if sent.created or sent.updated:
            ledger.audit(
                who=f"fhir-adapter, run {self.run}",
                what="write",
                patient=taken.proposal.patient,
                purpose=f"proposal for {taken.proposal.study}",
            )
        return sent

    def send_each(self, screened: Iterable[Screened]) -> Iterator[Written]:
        """Everybody's, then what earlier runs left of others.

        A fault stops one patient, a server that does not answer stops the rest.
        """
        gone: ServerUnreachable | None = None
        for one in screened:
            if gone is not None:
                if one.decision is not None:
                    yield self._failed(one.patient, gone)
                continue
            try:
                sent = self.send(one)
            except (ServerFault, WriteFault) as fault:
                gone = fault if isinstance(fault, ServerUnreachable) else None
                sent = self._failed(one.patient, fault)
            if sent is not None:
                yield sent
        if gone is None:
            yield from self.send_left()

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

    def _from_before_a_merge(self, one: Screened, made: Proposal) -> Iterator[Proposal]:
        """Each of two patients was proposed before they were known to be one: both go."""
        ids = made.patient_ids
        known = () if self.ledger is None else self.ledger.subjects_of(self.desk.study.id, ids)
        for row in known:
            if one.decision is not None and row.key != made.key:
                other = proposal(one.decision, self.desk, first_patient=row.patient, ids=ids)
                if other.key == row.key:
                    yield other

    def _failed(self, patient: str, fault: AdapterError) -> Written:
        return Written(
            key="",
            patient=patient,
            dry_run=not self.write,
            notes=(str(fault),),
            error=fault.code,
        )


@contextmanager
def writing(settings: Settings, bench: Bench, *, write: bool) -> Generator[WritingDesk]:
    """Everything that writing back needs; a missing basis or key is said before that."""
    if write:
        refuse_without_basis(bench)
    key = settings.site_key or ("" if write else "dry run")
    if not key:
        raise SettingInvalid(
            "no site_key is set",
            remedy="Set FHIR_ADAPTER_SITE_KEY to a secret of this site, and keep it: it names "
            "every ResearchSubject.",
        )
    client = write_client(settings)
    choice = choice_of(settings, client)
    # a dry run reads what was written before, or its counts are those of a first run
    there = write or is_there(settings)
    ledger = ledger_of(settings, bench.clock, make=write) if there else None
    listed = _listing(settings, bench, client, ledger, choice, key) if write else None
    try:
        run = run_id()
        with at_work(run):
            if write and ledger is not None:
                ledger.outbox.free()
            yield WritingDesk(
                desk=_desk(settings, bench, client, key, stand_in=choice.stand_in),
                listing=listed,
                sink=ServerSink(client, ledger, choice=choice),
                ledger=ledger,
                run=run,
                write=write,
                mappings=bench.mappings.version,
            )
    finally:
        if ledger is not None:
            ledger.close()


def _listing(  # noqa: PLR0913, PLR0917 - what a desk is made of
    settings: Settings,
    bench: Bench,
    client: FhirClient,
    ledger: Ledger | None,
    choice: Choice,
    key: str,
) -> Listing | None:
    if settings.screening_list not in {"on", "off"}:
        raise SettingInvalid(
            f"screening_list is {settings.screening_list!r}", remedy="Write on or off."
        )
    if settings.screening_list == "off" or ledger is None:
        return None
    study = bench.package.study
    return Listing(
        sender=Sender(client=client, choice=choice, write=True),
        memory=ledger,
        head=screening_list(
            key.encode(),
            f"{study.identity.registry}|{study.identity.number}",
            title=f"Pre-screening: {study.id}",
            device=settings.device,
        ),
    )


def choice_of(settings: Settings, client: FhirClient) -> Choice:
    """How to write to this server: as the doctor saw it, where its profile is kept."""
    return chosen(client, write_profile(settings))


def chosen(client: FhirClient, profile: ServerProfile | None) -> Choice:
    """The same for a profile at hand, as the doctor has it."""
    capability = what_it_can(client)
    if capability is not None and profile is not None:
        profile.refuse_other(capability.software, where=client.base_url)
    return choose(capability, profile)


def refuse_without_basis(bench: Bench) -> None:
    """BasisMissing where the site records none for this study that is in force today."""
    if not bench.screener.basis:
        raise BasisMissing(
            f"the site file records no basis for {bench.package.study.id} that is in force today",
            where=f"site {bench.mappings.site.name}",
            remedy="Add a basis with approval, dates and visible-to; nothing was written.",
        )


def _desk(settings: Settings, bench: Bench, client: FhirClient, key: str, *, stand_in: str) -> Desk:
    study = bench.package.study
    url = f"{canonical('PlanDefinition', study.id)}|{study.version}"
    return Desk(
        study=study,
        site_key=key.encode(),
        study_reference=f"ResearchStudy/{study_id(client, study)}",
        plan=url,
        device=device(settings.device, __version__),
        judged_at=bench.clock.now().isoformat(timespec="seconds"),
        zone=bench.zone,
        stand_in=stand_in,
    )


def _together(sent: Sequence[Written]) -> Written:
    """All that was sent for one key: the last one's, with what the others did."""
    return replace(
        sent[-1],
        created=tuple(name for one in sent for name in one.created),
        updated=tuple(dict.fromkeys(name for one in sent for name in one.updated)),
    )


def study_id(client: FhirClient, study: Study) -> str:
    """The logical id of the ResearchStudy on the server that is written to; else our own."""
    token = f"{escaped(study.identity.registry)}|{escaped(study.identity.number)}"
    try:
        found = client.search("ResearchStudy", {"identifier": token}).matches
    except ServerFault:
        return study.id
    return str(found[0]["id"]) if found else study.id


def written_sentence(written: Sequence[Written], *, write: bool) -> str:
    """How much was, or would be, created, updated, left alone; what failed is no success."""
    created = sum(len(one.created) for one in written)
    updated = sum(len(one.updated) for one in written)
    left = sum(1 for one in written if one.left_to_person)
    counts = f"{created} created, {updated} updated"
    failed = sum(1 for one in written if one.error)
    doubled = sum(len(one.duplicates) for one in written)
    people = f"; {left} left to people" if left else ""
    people += f"; {doubled} found twice" if doubled else ""
    people += f"; {failed} failed, as said above" if failed else ""
    if not (created or updated):
        counts = "nothing" if failed or doubled else "nothing; all stands already"
    said = "Written" if write else "Dry run, nothing written. With --write"
    return f"{said}: {counts}{people}"
