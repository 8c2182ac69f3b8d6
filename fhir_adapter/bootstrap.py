"""Wiring: settings -> adapters and ready-to-use stories. The only place with a clock."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from msgspec.json import format as json_format

from fhir_adapter import __version__, publishing
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.client import BearerAuth, Capability, FhirClient, decode, encode, escaped
from fhir_adapter.criteria.names import canonical
from fhir_adapter.errors import (
    BasisMissing,
    ServerFault,
    ServerRefused,
    SettingInvalid,
    StudyNotFound,
)
from fhir_adapter.evaluate.record import compile_study
from fhir_adapter.facts import KINDS, Normaliser
from fhir_adapter.ledger import Ledger, open_ledger
from fhir_adapter.model.dates import instant, local_date, start_of
from fhir_adapter.model.fact import FACTS_SCHEMA
from fhir_adapter.model.hashing import digest
from fhir_adapter.model.mapping import Mappings, UnitTable
from fhir_adapter.model.study import Study
from fhir_adapter.ports import (
    Answers,
    Clock,
    Need,
    RecordSource,
    Resource,
    StudyPackage,
    Written,
)
from fhir_adapter.present.proposals import Desk, proposal
from fhir_adapter.present.resources import device
from fhir_adapter.present.worklist import is_listed
from fhir_adapter.pull.doctor import Finding, ServerDoctor
from fhir_adapter.pull.folder import FolderRecords
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.pull.study import PublishReport, ServerStudies
from fhir_adapter.sandbox import Habits, Interactions, Loaded, RunningSandbox, load, save
from fhir_adapter.screening import (
    LAST_FACT,
    AsOf,
    Refusals,
    Screened,
    Screener,
    nobody_refused,
)
from fhir_adapter.settings import Settings
from fhir_adapter.terminology import (
    load_calculators,
    load_code_sets,
    load_mappings,
    load_units,
)
from fhir_adapter.writeback import ServerSink, choose

STUDY_FILES = ("protocol.md", "study.yaml", "criteria.yaml")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)


def study_folder(name: str) -> Path:
    """The folder of a study: a path, or a name in mappings/studies."""
    given = Path(name)
    if given.is_dir():
        return given
    studies = mappings_dir() / "studies"
    found = studies / name
    if found.is_dir() and name not in ("", ".", ".."):
        return found
    known = ", ".join(sorted(path.name for path in studies.iterdir() if path.is_dir()))
    raise StudyNotFound(f"no study folder {name!r}", remedy=f"Give a path, or one of: {known}.")


def study_files(folder: Path) -> dict[str, str]:
    """The texts of a study's files, by name; one that is missing is left for criteria/ to name."""
    return {
        name: (folder / name).read_text("utf-8")
        for name in STUDY_FILES
        if (folder / name).is_file()
    }


def package_from_folder(name: str) -> StudyPackage:
    """A study from its files, with the value sets and calculators of mappings/."""
    mappings = mappings_dir()
    return publishing.package_of(
        study_files(study_folder(name)),
        load_code_sets(mappings / "terminology" / "value-sets"),
        load_calculators(mappings / "calculators"),
    )


def package_from_server(client: FhirClient, name: str) -> StudyPackage:
    """A published study, read back from a FHIR server."""
    return publishing.from_fhir(ServerStudies(client).fetch(name))


def study_package(settings: Settings) -> StudyPackage:
    """The study of the settings: from the study server where one is set, else from its folder."""
    if settings.study_server:
        return package_from_server(study_client(settings), settings.study)
    return package_from_folder(settings.study)


def units() -> UnitTable:
    """The unit table that all sites share."""
    return load_units(mappings_dir() / "terminology" / "units.toml")


def value_set_resources(package: StudyPackage) -> tuple[Resource, ...]:
    """The curated ValueSets of a study's code sets: wording, displays, sources."""
    folder = mappings_dir() / "terminology" / "value-sets"
    files = (folder / f"{code_set.name}.json" for code_set in package.code_sets)
    found = (decode(path.read_bytes()) for path in files if path.is_file())
    return tuple(resource for resource in found if resource is not None)


def _client(base: str, token: str, name: str) -> FhirClient:
    if not base:
        raise SettingInvalid(
            f"no {name.replace('_', ' ')} is set",
            remedy=f"Give a base URL: --{name.replace('_', '-')}, or {name} in fhir-adapter.toml.",
        )
    return FhirClient(base, auth=BearerAuth(lambda: token) if token else None)


def record_client(settings: Settings) -> FhirClient:
    """The server that records come from."""
    return _client(settings.record_server, settings.record_token, "record_server")


def study_client(settings: Settings) -> FhirClient:
    """The server that studies come from; the record server where no other is set."""
    if not settings.study_server:
        return record_client(settings)
    return _client(settings.study_server, settings.study_token, "study_server")


def write_client(settings: Settings) -> FhirClient:
    """The server that proposals go to; the record server where no other is set."""
    if not settings.write_server:
        return record_client(settings)
    return _client(settings.write_server, settings.write_token, "write_server")


def site_mappings(settings: Settings, package: StudyPackage) -> Mappings:
    """The site's mappings over the study's own expansions."""
    return load_mappings(mappings_dir(), settings.site, code_sets=package.code_sets)


def folder_records(path: Path, mappings: Mappings) -> FolderRecords:
    """Records from a folder or file; the site file says what its exports hold whole."""
    whole = set(mappings.site.complete_kinds)
    types = [name for name, kind in KINDS.items() if kind.value in whole]
    return FolderRecords(path, complete_types=types)


def record_source(settings: Settings, path: Path | None, mappings: Mappings) -> RecordSource:
    """Records from a folder where one is given, else from the record server."""
    if path is not None:
        return folder_records(path, mappings)
    return ServerRecords(record_client(settings))


def basis_holds(mappings: Mappings, study: Study, clock: Clock) -> bool:
    """Whether the site file records a basis for this study that is in force by the clock."""
    today = local_date(instant(clock.now()), mappings.site.zone)
    return any(
        basis.study == study.id and basis.valid_from <= today <= basis.valid_to
        for basis in mappings.site.bases
    )


def own_studies(study: Study) -> frozenset[str]:
    """Names by which a record may know this study."""
    identity = study.identity
    return frozenset((f"ResearchStudy/{study.id}", f"{identity.registry}|{identity.number}"))


def make_screener(
    package: StudyPackage,
    mappings: Mappings,
    clock: Clock,
    *,
    answers: Answers | None = None,
    refusals: Refusals | None = None,
) -> Screener:
    """A study ready to judge patients of one site."""
    study_hash = publishing.hash_of(package)
    compiled = compile_study(
        package.study,
        mappings,
        calculators={item.name: item for item in package.calculators},
        hashes=publishing.criterion_hashes(package),
    )
    return Screener(
        compiled=compiled,
        normalise=Normaliser(mappings),
        needs=publishing.needs(package),
        study_hash=study_hash,
        basis_hash=digest(study_hash, mappings.version, FACTS_SCHEMA, __version__),
        basis=basis_holds(mappings, package.study, clock),
        own_studies=own_studies(package.study),
        answers=answers,
        refusals=refusals or nobody_refused(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that a command needs to judge patients."""

    package: StudyPackage
    mappings: Mappings
    screener: Screener
    clock: Clock

    @property
    def zone(self) -> ZoneInfo:
        """The site's zone."""
        return self.mappings.site.zone


def bench(settings: Settings, **more: Any) -> Bench:
    """Study, mappings and screener from settings."""
    clock = SystemClock()
    package = study_package(settings)
    mappings = site_mappings(settings, package)
    screener = make_screener(package, mappings, clock, **more)
    return Bench(package=package, mappings=mappings, screener=screener, clock=clock)


def parse_as_of(text: str | None, zone: ZoneInfo, clock: Clock) -> AsOf:
    """``last-fact``, a date (the end of that day in the site's zone), a moment, or now."""
    if text is None:
        return instant(clock.now())
    if text.split(":", 1)[0] == LAST_FACT:
        return text
    try:
        if len(text) == len("2026-11-22"):
            return start_of(date.fromisoformat(text).toordinal() + 1, zone) - 1
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingInvalid(
            "--as-of is not a date or time",
            remedy="Write 2026-11-22, 2026-11-22T07:40, the same with a zone, or last-fact.",
        ) from None
    return instant(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def run_id() -> str:
    """A name for one run, for logs and the ledger."""
    return uuid4().hex[:12]


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


def written_json(one: Written) -> dict[str, object]:
    """What one proposal came to, for --json."""
    return {
        "patient": one.patient,
        "created": list(one.created),
        "updated": list(one.updated),
        "deleted": list(one.deleted),
        "unchanged": list(one.unchanged),
        "left-to-person": one.left_to_person,
        "dry-run": one.dry_run,
        "notes": list(one.notes),
    }


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


DEMO_AS_OF = "2026-11-22T07:40"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSite:
    """A running sandbox with the teaching cohort in it."""

    settings: Settings
    resources: int
    as_of: str
    server: Interactions

    def first_subject(self, patient: str) -> str:
        """A patient's ResearchSubject as JSON text; empty where there is none."""
        for resource in self.server.store.all_of("ResearchSubject"):
            if resource["individual"]["reference"] == f"Patient/{patient}":
                return encode(resource).decode()
        return ""


@contextmanager
def demo_site(keep: Path, *, fresh: bool) -> Generator[DemoSite]:
    """The sandbox for the demo; what is written to it is kept in a folder for the next run."""
    clock = SystemClock()
    if fresh:
        for path in (*keep.glob("*.ndjson"), *keep.glob("ledger.sqlite*")):
            path.unlink()
    server = sandbox_server(clock)
    first = not any(keep.glob("*.ndjson"))
    study = package_from_folder(Settings().study)
    loaded = load(server.store, study_folder(study.study.id) / "cohort" if first else keep)
    with RunningSandbox(server) as running:
        settings = Settings(
            record_server=running.base_url,
            site_key="the demo's key is no secret",
            ledger=str(keep / "ledger.sqlite"),
        )
        keep.mkdir(parents=True, exist_ok=True)
        publish(study, record_client(settings), clock, write=True)
        try:
            yield DemoSite(
                settings=settings, resources=loaded.resources, as_of=DEMO_AS_OF, server=server
            )
        finally:
            save(server.store, keep)


def sandbox_server(clock: Clock, habits: Habits | None = None) -> Interactions:
    """An empty sandbox whose lastUpdated comes from the clock."""
    return Interactions(
        now=lambda: clock.now().isoformat(timespec="milliseconds"), habits=habits or Habits()
    )


def publish(
    package: StudyPackage, client: FhirClient, clock: Clock, *, write: bool
) -> PublishReport:
    """The study's FHIR form onto a server; without ``write`` only what would change."""
    today = clock.now().date().isoformat()
    resources = publishing.build(package, value_set_resources(package), published=today)
    return ServerStudies(client).publish(resources, write=write)


def build_to_folder(package: StudyPackage, out: Path) -> int:
    """The study's FHIR form as files; how many."""
    today = SystemClock().now().date().isoformat()
    resources = publishing.build(package, value_set_resources(package), published=today)
    out.mkdir(parents=True, exist_ok=True)
    for resource in resources:
        name = f"{resource['resourceType']}-{resource['id']}.json"
        (out / name).write_bytes(json_format(encode(resource), indent=2) + b"\n")
    return len(resources)


Findings = Sequence[Finding]


def examine(settings: Settings, needs: Sequence[Need], *, known_patient: str) -> Findings:
    """What the record server can do for a study."""
    return ServerDoctor(record_client(settings)).examine(needs, known_patient=known_patient)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRun:
    """A sandbox that serves until it is stopped."""

    base_url: str
    loaded: int
    issues: tuple[str, ...]
    running: RunningSandbox

    def wait(self) -> None:
        """Until somebody stops it."""
        self.running.join()


@contextmanager
def sandbox(folder: Path | None, *, port: int, keep: Path | None) -> Generator[SandboxRun]:
    """The sandbox over a folder; with ``keep`` everything is saved at the end."""
    server = sandbox_server(SystemClock())
    source = keep if keep is not None and any(keep.glob("*.ndjson")) else folder
    loaded = load(server.store, source) if source is not None else Loaded(resources=0, issues=())
    with RunningSandbox(server, port=port) as running:
        try:
            yield SandboxRun(
                base_url=running.base_url,
                loaded=loaded.resources,
                issues=loaded.issues,
                running=running,
            )
        finally:
            if keep is not None:
                save(server.store, keep)
