"""Watching put together: feeds, the durable queue, and workers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.judging import Bench, SystemClock, basis_holds, bench, run_id
from fhir_adapter.bootstrap.keeping import purge
from fhir_adapter.bootstrap.ledgers import ledger_of
from fhir_adapter.bootstrap.notices import NoticeDesk
from fhir_adapter.bootstrap.people import refusals_of
from fhir_adapter.bootstrap.profiles import record_profile
from fhir_adapter.bootstrap.records import server_records
from fhir_adapter.bootstrap.writing import WritingDesk, writing
from fhir_adapter.client import FhirClient
from fhir_adapter.errors import ServerFault, SettingInvalid
from fhir_adapter.ledger import ChangedPatient, Ledger, Mark, at_work, open_ledger, worker_of
from fhir_adapter.model.dates import instant
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.server import ServerProfile
from fhir_adapter.ports import ChangeFeed, Claimed, Clock, Written
from fhir_adapter.pull.changes import Census, Pollable, feeds_of, in_the_house, of_group
from fhir_adapter.pull.notified import Notified
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.pull.record_server import LISTS_NOTHING
from fhir_adapter.screening import Screened, Screener
from fhir_adapter.settings import Settings
from fhir_adapter.watching import Watch, Watched

_LEAST_OVERLAP = 180
_PURGED = "purged"
"""Name under which the day of the last purge is kept."""
_LIST_GAP = timedelta(minutes=1)
"""Between two writings of a study's List."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_UNPOLLED = frozenset(("GuidanceResponse", "Provenance", "Device", "List", "Task"))
"""What we write ourselves, and no fact is read from."""


class LedgerQueue:
    """ChangedPatients and Cursors over a ledger, for one worker."""

    def __init__(self, ledger: Ledger, clock: Clock, worker: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._worker = worker
        self._taken: dict[str, ChangedPatient] = {}
        self.at_once: bool = False
        """Whether who is marked is read at once: no burst of changes is waited for."""

    def mark(self, patients: Iterable[str], reason: str) -> None:
        """See ChangedPatients."""
        now = self._now()
        soon = now if self.at_once else 0
        self._ledger.changed.mark_all(
            Mark(patient=one, reason=reason, seen_at=now, not_before=soon) for one in patients
        )

    def claim(self, limit: int) -> Sequence[Claimed]:
        """See ChangedPatients."""
        found = self._ledger.changed.claim(self._worker, self._now(), limit)
        self._taken = {one.patient: one for one in found}
        return [
            Claimed(
                patient=one.patient, reason=one.reason, sequence=one.sequence, tries=one.attempts
            )
            for one in found
        ]

    def done(self, claimed: Claimed, *, next_at: int | None = None) -> bool:
        """See ChangedPatients."""
        return self._ledger.changed.done(
            claimed.patient, claimed.sequence, worker=self._worker, next_at=next_at
        )

    def failed(self, claimed: Claimed, code: str) -> None:
        """See ChangedPatients."""
        self._ledger.changed.failed(self._taken[claimed.patient], code, self._now())

    def cursor(self, name: str) -> str:
        """See Cursors."""
        return self._ledger.cursor(name) or ""

    def keep_cursor(self, name: str, value: str) -> None:
        """See Cursors."""
        self._ledger.set_cursor(name, value)

    def _now(self) -> int:
        return instant(self._clock.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Everything that keeps a site's proposals up to date, ready to run."""

    feeds: tuple[ChangeFeed, ...]
    pollable: Pollable
    queue: LedgerQueue
    """Of the one who looks; each worker has its own."""
    worker: Callable[[int], Watch]
    notices: NoticeDesk
    workers: int
    poll_seconds: float
    waiting: Callable[[], int]
    """How many wait in the queue, for now or for a date."""
    tidy: Callable[[], Sequence[str]] = lambda: ()
    """Once a day: values whose days are over go from the ledger."""


@contextmanager
def watching(
    settings: Settings,
    *,
    write: bool,
    as_of: str | None = None,
    read: Callable[[PatientRecord], None] = lambda _record: None,
) -> Generator[Watching]:
    """Feeds, queue and workers of some settings; a dry run keeps its queue for itself.

    ``as_of``: records that do not grow older, for trying things; None: now.
    """
    clock = SystemClock()
    with ExitStack() as open_:
        ledger = _ledger(settings, clock, open_, write=write)
        run = run_id()
        open_.enter_context(at_work(run))
        ledger.changed.free(instant(clock.now()))
        client = record_client(settings)
        first = server_records(settings, client)
        studies = [
            _Study(settings=one, bench=_bench(one, ledger), ledger=ledger)
            for one in settings.each_study()
        ]
        for study in studies:
            study.desk = open_.enter_context(writing(study.settings, study.bench, write=write))
        moment = _moment(studies[0].bench, as_of)
        made = _put_together(settings, ledger, client, first, studies, clock, read, run)
        yield made if as_of is None else replace(made, worker=_frozen(made.worker, moment))


def _frozen(worker: Callable[[int], Watch], moment: Callable[[], int]) -> Callable[[int], Watch]:
    return lambda number: replace(worker(number), now=moment, frozen=True)


def _moment(asked: Bench, as_of: str | None) -> Callable[[], int]:
    fixed = asked.moment(as_of)
    if isinstance(fixed, int):
        return lambda: fixed
    raise SettingInvalid(
        "what is watched is judged as of one moment",
        where="--as-of",
        remedy="Name a day or a time, or leave it out: now.",
    )


@dataclass(slots=True, kw_only=True)
class _Study:
    settings: Settings
    bench: Bench
    ledger: Ledger
    desk: WritingDesk | None = None

    def screener(self) -> Screener:
        """With the basis as it is today."""
        made = self.bench.screener
        held = basis_holds(self.bench.mappings, self.bench.package.study, self.bench.clock)
        return made if made.basis is held else replace(made, basis=held)

    def send(self, one: Screened) -> Written | None:
        """Judged now, whenever the desk was set up."""
        return self._desk_now().send(one)

    def is_list_due(self) -> bool:
        """Whether the study's List on the server, if one is wanted, is not up to date."""
        return self.desk is not None and self.desk.is_list_due()

    def list_proposals(self) -> str:
        """Bring it up to date; what is to be said of it."""
        return self._desk_now().list_proposals()

    def _desk_now(self) -> WritingDesk:
        assert self.desk is not None
        now = self.bench.clock.now().isoformat(timespec="seconds")
        return replace(self.desk, desk=replace(self.desk.desk, judged_at=now))


def _bench(settings: Settings, ledger: Ledger) -> Bench:
    return bench(settings, answers=ledger, refusals=refusals_of(ledger))


def _ledger(settings: Settings, clock: Clock, open_: ExitStack, *, write: bool) -> Ledger:
    """The installation's; a dry run has one of its own that ends with it."""
    if write:
        ledger = ledger_of(settings, clock, make=True)
    else:
        folder = open_.enter_context(tempfile.TemporaryDirectory(prefix="fhir-adapter-"))
        ledger = open_ledger(str(Path(folder) / "dry-run.sqlite"), clock)
    open_.callback(ledger.close)
    return ledger


def _put_together(  # noqa: PLR0913, PLR0917 - all that there is
    settings: Settings,
    ledger: Ledger,
    client: FhirClient,
    first: ServerRecords,
    studies: Sequence[_Study],
    clock: Clock,
    read: Callable[[PatientRecord], None],
    run: str,
) -> Watching:
    benches = [one.bench for one in studies]
    needs = tuple(dict.fromkeys(need for one in benches for need in one.screener.needs))
    types = [one.resource_type for one in needs]
    feeds, able = _feeds(settings, client, first, types, clock.now, benches[0].zone)
    queue = LedgerQueue(ledger, clock, worker_of(run, "look"))

    def was_read(record: PatientRecord) -> None:
        ledger.audit(
            who=f"fhir-adapter, run {run}",
            what="read",
            patient=record.patient,
            purpose="pre-screening",
        )
        read(record)

    def worker(number: int) -> Watch:
        return Watch(
            queue=LedgerQueue(ledger, clock, worker_of(run, str(number))),
            source=lambda: server_records(settings, client, capability_of=first),
            normalise=benches[0].screener.normalise,
            needs=needs,
            studies=tuple(Watched(screener=one.screener, send=one.send) for one in studies),
            now=lambda: instant(clock.now()),
            read=was_read,
        )

    return Watching(
        feeds=tuple(feeds),
        pollable=able,
        queue=queue,
        worker=worker,
        notices=NoticeDesk(read=Notified(client, queue).take, queue=queue),
        workers=_number(settings.watch_workers, "watch_workers", 1, 32),
        poll_seconds=_number(settings.poll_seconds, "poll_seconds", 1, 86_400),
        waiting=ledger.changed.count,
        tidy=_Tidying(settings=settings, ledger=ledger, clock=clock, studies=studies),
    )


@dataclass(slots=True, kw_only=True)
class _Tidying:
    """What is done beside the patients: the daily purge, and the Lists once a minute at most."""

    settings: Settings
    ledger: Ledger
    clock: Clock
    studies: Sequence[_Study]
    listed_at: datetime | None = None

    def __call__(self) -> Sequence[str]:
        """What is to be said of it."""
        now = self.clock.now()
        today = now.date().isoformat()
        if self.ledger.cursor(_PURGED) != today:
            purge(self.settings, self.ledger, write=True)
            self.ledger.set_cursor(_PURGED, today)
        if self.listed_at is not None and now - self.listed_at < _LIST_GAP:
            return ()
        due = [study for study in self.studies if study.is_list_due()]
        if due:
            self.listed_at = now
        return tuple(said for study in due if (said := study.list_proposals()))


def _feeds(
    settings: Settings,
    client: FhirClient,
    records: ServerRecords,
    needed: Sequence[str],
    now: Callable[[], datetime],
    zone: tzinfo,
) -> tuple[list[ChangeFeed], Pollable]:
    """Polls where they serve, a census where they do not, and a sweep over all in any case."""
    types = tuple(dict.fromkeys(("Patient", *needed)))
    seconds = _number(settings.overlap_seconds, "overlap_seconds", _LEAST_OVERLAP, 86_400)
    polled = [name for name in types if name not in _UNPOLLED]
    overlap = timedelta(seconds=seconds)
    feeds, able = feeds_of(client, polled, now=now, overlap=overlap, unused=_seen_to_fail(settings))
    if able.lists_nothing and not (record_profile(settings) or ServerProfile()).verdicts:
        able = replace(able, remedies=(*able.remedies, LISTS_NOTHING))
    census = _census(settings, client, able)
    if census is not None:
        minutes = _number(settings.census_minutes, "census_minutes", 1, 100_000)
        feeds.append(Census(census, now=now, every=timedelta(minutes=minutes)))
    hours = _number(settings.sweep_hours, "sweep_hours", 1, 10_000)
    everybody = _everybody(records, census)
    at = _sweep_at(settings.sweep_at, zone)
    feeds.append(Census(everybody, now=now, every=timedelta(hours=hours), at=at, name="sweep"))
    return feeds, able


def _sweep_at(text: str, zone: tzinfo) -> time | None:
    if not text:
        return None
    if not _TIME.fullmatch(text):
        raise SettingInvalid(
            "sweep_at is no time of day", where="sweep_at", remedy="Write HH:MM, such as 02:30."
        )
    return time.fromisoformat(text).replace(tzinfo=zone)


def _seen_to_fail(settings: Settings) -> Callable[[str], frozenset[str]]:
    """Parameters by type that the doctor's kept profile says do not serve; without one none."""
    profile = record_profile(settings) or ServerProfile()
    if profile.fails("query.last-updated"):
        return lambda _resource_type: frozenset(("_lastUpdated",))
    return profile.unused_parameters


def _everybody(
    records: ServerRecords, census: Callable[[], Iterable[str]] | None
) -> Callable[[], Iterable[str]]:
    """All patients of the server; those of the census where it does not list them."""

    def found() -> Iterable[str]:
        try:
            return list(records.patients())
        except ServerFault:
            if census is None:
                raise
            return census()

    return found


def _census(
    settings: Settings, client: FhirClient, able: Pollable
) -> Callable[[], Iterable[str]] | None:
    kind, _, name = settings.census.partition(":")
    match kind:
        case "auto":
            return (lambda: in_the_house(client)) if able.why_not or able.not_reached else None
        case "off":
            return None
        case "encounters":
            return lambda: in_the_house(client)
        case "group" if name:
            return lambda: of_group(client, name)
        case "file" if name:
            return lambda: _of_file(Path(name))
        case _:
            raise SettingInvalid(
                "the census is not one that is known",
                where="census",
                remedy="Write auto, off, encounters, group:ID, or file:PATH.",
            )


def _of_file(path: Path) -> Iterator[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        raise SettingInvalid(
            "the file of the census cannot be read",
            where=path.name,
            remedy="Name a text file with one patient id per line.",
        ) from None
    yield from (line.strip() for line in lines if line.strip())


def _number(text: str, name: str, least: int, most: int) -> int:
    if text.strip().isdecimal() and least <= int(text) <= most:
        return int(text)
    raise SettingInvalid(
        f"{name} is not a number that serves",
        where=name,
        remedy=f"Write a whole number between {least} and {most}.",
    )
