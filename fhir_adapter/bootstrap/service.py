"""Wiring of the service: studies, the record server, the ledger, and a worklist kept in memory."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from uuid import uuid4

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.hooking import HookDesk
from fhir_adapter.bootstrap.judging import Bench, SystemClock, bench
from fhir_adapter.bootstrap.ledgers import ledger_of
from fhir_adapter.bootstrap.notices import NoticeDesk
from fhir_adapter.bootstrap.people import refusals_of
from fhir_adapter.bootstrap.records import categories_of, server_records
from fhir_adapter.client import FhirClient, Params
from fhir_adapter.criteria.names import canonical
from fhir_adapter.errors import AdapterError, ServerBroken, StudyNotFound
from fhir_adapter.evaluate.many import ManyStudies, SiteStudy
from fhir_adapter.fhir.reading import is_array, parts, text
from fhir_adapter.ledger import Ledger
from fhir_adapter.model.dates import instant
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.ports import Clock, Pulled, Resource
from fhir_adapter.present.worklist import Worklist
from fhir_adapter.present.worklist import worklist as worklist_of
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.screening import (
    GATES,
    AsOf,
    Screened,
    screen_facts,
    screen_pulled,
    with_answers,
)
from fhir_adapter.settings import Settings

_HANDLE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One study's list as it was made last."""

    worklist: Worklist
    screened: dict[str, Screened]
    """By handle."""
    made_at: int = 0
    failed: tuple[str, ...] = ()
    """Error codes of patients who could not be judged."""


@dataclass(slots=True)
class Progress:
    """How far the run over everybody is."""

    done: int = 0
    total: int = 0
    running: bool = False
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Service:
    """Everything that the routes need; made once, used by many threads."""

    benches: tuple[Bench, ...]
    many: ManyStudies
    records: Callable[[], ServerRecords]
    client: FhirClient
    """Of the record server."""
    record_base: str
    ledger: Ledger
    clock: Clock
    settings: Settings
    as_of: str | None = None
    unsigned_alerts: bool = False
    progress: Progress = field(default_factory=Progress)
    hook: HookDesk = field(init=False)
    """What the hook is answered from."""
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    notices: NoticeDesk | None = None
    """What the record server's notifications go to; None where nobody watches."""
    watch_error: str = ""
    """What the watcher has died of; empty as long as it lives, or where nobody watches."""
    _lists: dict[str, Listed] = field(default_factory=dict[str, Listed])
    _followed: dict[str, dict[str, Screened]] = field(
        default_factory=dict[str, dict[str, Screened]]
    )
    """Study to what was read since its list was made."""
    _patients: dict[str, str] = field(default_factory=dict[str, str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Work out once what every call needs."""
        self.hook = HookDesk(
            benches=self.benches,
            many=self.many,
            needs=tuple(dict.fromkeys(n for one in self.benches for n in one.screener.needs)),
            records=lambda: self.records(),  # noqa: PLW0108 - read anew at each call
            ledger=self.ledger,
            words=self._words,
            in_r4=self.client.in_r4,
            moment=lambda: self.moment(self.benches[0]),
        )

    def _words(self, resource_type: str, params: Params) -> Params:
        self.client.know_version()
        asked = dict(self.client.names(resource_type, params))
        wanted = categories_of(self.settings.record.categories).get(resource_type)
        return {**asked, "category": ",".join(wanted)} if wanted else asked

    def bench_of(self, study: str) -> Bench:
        """A study by id or registry number; StudyNotFound otherwise."""
        for one in self.benches:
            identity = one.package.study.identity
            if study in (one.package.study.id, f"{identity.registry}|{identity.number}"):
                return one
        known = ", ".join(one.package.study.id for one in self.benches)
        raise StudyNotFound("this service does not screen for that study", remedy=f"It has {known}")

    def moment(self, one: Bench, as_of: str | None = None) -> AsOf:
        """The moment of the question: asked for, or the service's own, or now."""
        return one.moment(as_of or self.as_of)

    def new_id(self) -> str:
        """A new UUID, for a card or a request."""
        return str(uuid4())

    # -- patients by handle --------------------------------------------------------------------

    def handle(self, patient: str) -> str:
        """An opaque name for a patient in addresses: changes with every start of the service."""
        made = hmac.new(self._key, patient.encode(), sha256).hexdigest()[:_HANDLE]
        self._patients[made] = patient
        return made

    def patient_of(self, handle: str) -> str | None:
        """The patient behind a handle; None where there is none."""
        return self._patients.get(handle)

    # -- judging -------------------------------------------------------------------------------

    def screen(self, patient: str, benches: Sequence[Bench], as_of: str | None) -> list[Screened]:
        """One patient from the record server for some studies, pulled once."""
        return self._judged(self._pulled(patient, benches), benches, as_of)

    def screen_known(
        self, patient: str, benches: Sequence[Bench], as_of: str | None
    ) -> list[Screened]:
        """The same for a caller who would take it for an answer: not without the Patient itself.

        ServerBroken where that did not come: no stop is known then, and nobody can be judged.
        """
        pulled = self._pulled(patient, benches)
        if not pulled.has_patient:
            why = pulled.why_no_patient or "not-retrieved"
            raise ServerBroken(
                f"the record server did not give the Patient ({why}): nothing can be judged",
                where="Patient",
                remedy="Ask again later; run `fhir-adapter server doctor`.",
            )
        return self._judged(pulled, benches, as_of)

    def _pulled(self, patient: str, benches: Sequence[Bench]) -> Pulled:
        needs = tuple(dict.fromkeys(need for one in benches for need in one.screener.needs))
        return self.records().pull(patient, needs)

    def _judged(
        self, pulled: Pulled, benches: Sequence[Bench], as_of: str | None
    ) -> list[Screened]:
        return [
            screen_facts(one.screener, record, self.moment(one, as_of))
            for one, record in self._normalised(pulled, benches)
        ]

    def _normalised(
        self, pulled: Pulled, benches: Sequence[Bench]
    ) -> Iterator[tuple[Bench, PatientRecord]]:
        """The record once for all studies of the site; people's answers are each study's own."""
        record = benches[0].screener.normalise(pulled)
        for one in benches:
            yield one, with_answers(one.screener, record)

    def screen_with_record(self, patient: str, one: Bench) -> tuple[Pulled, Screened]:
        """One patient for one study, with what was pulled."""
        pulled = self.records().pull(patient, one.screener.needs)
        return pulled, screen_pulled(one.screener, pulled, self.moment(one))

    def screen_bundle(
        self, record: Resource, patient: str, benches: Sequence[Bench], as_of: str | None
    ) -> list[Screened]:
        """One patient from a Bundle that was handed over; nothing is fetched."""
        source = BundleRecord(record)
        return [
            screen_pulled(
                one.screener, source.pull(patient, one.screener.needs), self.moment(one, as_of)
            )
            for one in benches
        ]

    # -- the worklist --------------------------------------------------------------------------

    def listed(self, study: str) -> Listed | None:
        """The list of a study as it was made last; None before the first one.

        What a watcher has read since then stands in it.
        """
        with self._lock:
            made, since = self._lists.get(study), self._followed.pop(study, {})
            if made is not None and since:
                everyone = {**made.screened, **since}
                made = self._lists[study] = self._list(everyone.values())
        return made

    def follow(self, record: PatientRecord) -> None:
        """A record as it was read just now: every list follows it."""
        for one in self.benches:
            study = one.package.study.id
            if study not in self._lists:
                continue  # the run over everybody is still to come
            try:
                facts = with_answers(one.screener, record)
                found = screen_facts(one.screener, facts, self.moment(one))
            except AdapterError as error:
                found = Screened(patient=record.patient, error=error)
            kept = replace(found, record=None, judged=None)
            with self._lock:
                self._followed.setdefault(study, {})[self.handle(record.patient)] = kept

    def refresh_soon(self) -> None:
        """Screen everybody in a thread, unless that is under way."""
        with self._lock:
            if self.progress.running:
                return
            self.progress = Progress(running=True)
        threading.Thread(target=self.refresh, daemon=True).start()

    def refresh(self) -> None:
        """Screen everybody for every study and put the new lists in place."""
        progress = self.progress
        try:
            found = self._screen_all(progress)
        except AdapterError as error:
            progress.error = error.code
        else:
            self._lists = found
        finally:
            progress.running = False

    def _screen_all(self, progress: Progress) -> dict[str, Listed]:
        patients = list(self.records().patients())
        progress.total = len(patients)
        made: dict[str, list[Screened]] = {one.package.study.id: [] for one in self.benches}
        for patient in patients:
            for one, screened in zip(self.benches, self._tried(patient), strict=True):
                # the record itself is not kept: pages pull it again
                made[one.package.study.id].append(replace(screened, record=None, judged=None))
            progress.done += 1
        return {study: self._list(found) for study, found in made.items()}

    def _tried(self, patient: str) -> list[Screened]:
        try:
            return self.screen(patient, self.benches, None)
        except AdapterError as error:
            return [Screened(patient=patient, error=error) for _ in self.benches]

    def _list(self, found: Iterable[Screened]) -> Listed:
        everyone = list(found)
        failed = tuple(one.error.code for one in everyone if one.error is not None)
        return Listed(
            worklist=worklist_of(
                [one.decision for one in everyone if one.decision is not None],
                failed=len(failed),
                worked_on={one.patient: one.statuses[-1] for one in everyone if one.statuses},
            ),
            screened={self.handle(one.patient): one for one in everyone},
            made_at=instant(self.clock.now()),
            failed=failed,
        )

    def close(self) -> None:
        """Stop workers and close the ledger."""
        self.hook.close()
        self.ledger.close()


def open_service(
    settings: Settings, *, as_of: str | None = None, unsigned_alerts: bool = False
) -> Service:
    """The service of some settings; every study, the site and the ledger are checked now."""
    clock = SystemClock()
    ledger = ledger_of(settings, clock, make=True)
    try:
        client = record_client(settings)
        benches = tuple(
            bench(one, answers=ledger, refusals=refusals_of(ledger))
            for one in settings.each_study()
        )
        if as_of is not None:
            benches[0].moment(as_of)
    except BaseException:
        ledger.close()
        raise
    return Service(
        benches=benches,
        many=ManyStudies([SiteStudy.of(one.screener.compiled) for one in benches], GATES),
        records=_records(settings, client),
        client=client,
        record_base=client.base_url,
        ledger=ledger,
        clock=clock,
        settings=settings,
        as_of=as_of,
        unsigned_alerts=unsigned_alerts,
    )


def _records(settings: Settings, client: FhirClient) -> Callable[[], ServerRecords]:
    """A fresh source for each run over one client; what the server offers is asked once."""
    first = server_records(settings, client)

    def fresh() -> ServerRecords:
        return server_records(settings, client, capability_of=first)

    return fresh


def plan_of(one: Bench) -> str:
    """The canonical of a study's PlanDefinition, with its version."""
    study = one.package.study
    return f"{canonical('PlanDefinition', study.id)}|{study.version}"


def identity_of(pulled: Iterable[Resource], patient: str) -> dict[str, str]:
    """Name, birth date and numbers of a Patient, for a page on which they were revealed."""
    for one in pulled:
        if one.get("resourceType") == "Patient" and one.get("id") == patient:
            numbers = [text(item.get("value")) for item in parts(one.get("identifier"))]
            names = [_name(item) for item in parts(one.get("name"))]
            found = {
                "id": patient,
                "name": next((name for name in names if name), ""),
                "birth date": text(one.get("birthDate")),
                "numbers": ", ".join(number for number in numbers if number),
            }
            return {label: value for label, value in found.items() if value}
    return {"id": patient}


def _name(name: Resource) -> str:
    if text(name.get("text")):
        return text(name["text"])
    given = name.get("given")
    first = " ".join(text(part) for part in given) if is_array(given) else ""
    return f"{text(name.get('family'))}, {first}".strip(", ")
