"""Loading a cohort from a server's Bulk Data export: what is asked for, of whom, since when."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.cohorts import fact_tables, open_store, reading_rules
from fhir_adapter.bootstrap.judging import whole_types
from fhir_adapter.client import Capability, ExportAsked, FhirClient
from fhir_adapter.errors import ExportLost, ServerBroken, SettingInvalid, StoreFault
from fhir_adapter.facts import KINDS
from fhir_adapter.model.hashing import digest
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.population import load
from fhir_adapter.ports import LoadCounts, LoadStep
from fhir_adapter.pull.export_folder import ExportFolder
from fhir_adapter.pull.references import COMPANION_TYPES
from fhir_adapter.pull.server_export import ExportStep, ServerExport
from fhir_adapter.settings import Settings
from fhir_adapter.warehouse.lock import locked
from fhir_adapter.warehouse.manifest import Manifest, read_manifest
from fhir_adapter.warehouse.work import make_folder, unwritable

__all__ = ["EXPORTED", "ExportStep", "Exported", "FromServer", "is_kept", "load_from_server"]

EXPORTED = tuple(sorted({*KINDS, "Composition", *COMPANION_TYPES}))
"""Whatever facts/ reads, and what it refers to: a store serves every study."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FromServer:
    """What to ask a server for, and how."""

    patients: bool = False
    group: str = ""
    without: tuple[str, ...] = ()
    """Resource types that the server will not export: what they would tell stays open."""
    download: Path | None = None
    """Where files wait; without it ``download`` in the store."""
    hours: float = 24.0
    """How long the server may take to make the export."""
    fresh: bool = False
    """Do not go on with what an earlier run left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What a finished load from a server came from."""

    files: int
    bytes: int
    """Downloaded by this run."""
    transaction_time: str
    resumed: bool
    """Whether it went on with what an earlier run left."""


Loading = Generator[LoadStep, None, tuple[LoadCounts, Exported]]


def load_from_server(
    settings: Settings,
    store: Path,
    wanted: FromServer,
    *,
    workers: int,
    update: bool,
    told: Callable[[ExportStep], None],
) -> Loading:
    """A server's export into a store; a run that ended early is gone on with."""
    _refuse_nonsense(wanted, update=update)
    client = record_client(settings, takes_r5=False)
    mappings = reading_rules(settings)
    origin = digest(client.base_url, wanted.patients, wanted.group, EXPORTED)
    before = _before(store, mappings, origin, update=update)
    return _loading(
        settings,
        store,
        wanted,
        _Known(client, mappings, origin, before),
        workers=workers,
        update=update,
        told=told,
    )


def is_kept(store: Path, wanted: FromServer) -> bool:
    """Whether a run that ended early left an export that the next one can go on with."""
    return ExportFolder(_folder(store, wanted)).is_kept


def _folder(store: Path, wanted: FromServer) -> Path:
    return wanted.download or store / "download"


@dataclass(frozen=True, slots=True)
class _Known:
    client: FhirClient
    mappings: Mappings
    origin: str
    before: Manifest | None


def _loading(
    settings: Settings,
    store: Path,
    wanted: FromServer,
    known: _Known,
    *,
    workers: int,
    update: bool,
    told: Callable[[ExportStep], None],
) -> Loading:
    folder = _folder(store, wanted)
    make_folder(store, mode=0o700)
    make_folder(folder, mode=0o700)
    tables = fact_tables(settings, store, known.mappings, workers=workers, update=update)
    try:
        with locked(folder), closing(known.client):
            source = _source(wanted, ExportFolder(folder), known, update=update, told=told)
            with closing(source):
                source.prepare(fresh=wanted.fresh, loaded=_loaded(known))
                try:
                    counts = yield from load(source, tables.loading())
                except ExportLost:
                    source.forget()
                    raise
                exported = _exported(source)
                source.finish()
                return counts, exported
    except OSError as fault:
        raise unwritable(fault) from None


def _source(
    wanted: FromServer,
    folder: ExportFolder,
    known: _Known,
    *,
    update: bool,
    told: Callable[[ExportStep], None],
) -> ServerExport:
    left_out = _left_out(known.client, wanted)
    asked = ExportAsked(
        types=tuple(name for name in EXPORTED if name not in left_out),
        patients=wanted.patients,
        group=wanted.group,
        since=known.before.transaction_time if update and known.before is not None else "",
    )
    return ServerExport(
        known.client.bulk(patience=wanted.hours * _HOUR),
        folder,
        asked,
        told=told,
        complete_types=whole_types(known.mappings),
        left_out=left_out,
        origin=known.origin,
    )


def _left_out(client: FhirClient, wanted: FromServer) -> dict[str, str]:
    """Types that are not asked for, and why: a server that does not know one may refuse all."""
    offered = {one.resource_type for one in _capability(client).types}
    unknown = [name for name in EXPORTED if offered and name not in offered]
    return dict.fromkeys(unknown, "not-supported") | dict.fromkeys(wanted.without, "not-asked")


def _capability(client: FhirClient) -> Capability:
    """ServerBroken in words of an export where a FHIR server hides it, as Medplum's router does.

    It is needed: a type that the server does not know is in no file, and would read as empty.
    """
    try:
        return client.capability()
    except ServerBroken as fault:
        raise ServerBroken(
            "it cannot be told whether this server exports ($export) and which types that would "
            f"hold: {fault.message}",
            where=client.base_url,
            remedy="The base URL may be right all the same: some servers show no "
            "CapabilityStatement. `screen --server` reads such a server patient by patient; files "
            "that it exported otherwise are loaded as a folder.",
        ) from None


def _refuse_nonsense(wanted: FromServer, *, update: bool) -> None:
    if wanted.group and wanted.patients:
        raise SettingInvalid(
            "--group and --patients are two exports", remedy="Leave one of them out."
        )
    if wanted.group and update:
        raise SettingInvalid(
            "an increment of a group would miss what is older of members who joined since",
            where="--update",
            remedy="Load the group again, without --update.",
        )
    unknown = sorted(set(wanted.without) - set(EXPORTED) | set(wanted.without) & {"Patient"})
    if unknown:
        raise SettingInvalid(
            f"{unknown[0]!r} cannot be left out",
            where="--without",
            remedy=f"These can: {', '.join(name for name in EXPORTED if name != 'Patient')}.",
        )


def _before(store: Path, mappings: Mappings, origin: str, *, update: bool) -> Manifest | None:
    """The store as it stands; for an increment it must be of the same export."""
    if not update:
        try:
            return read_manifest(store)
        except StoreFault:
            return None
    found = open_store(store, mappings).manifest
    if found.origin != origin or not found.transaction_time:
        raise SettingInvalid(
            "the store is not of an export of this server, with or without --patients as now",
            where="--update",
            remedy="Load it once without --update.",
        )
    return found


def _loaded(known: _Known) -> str:
    """The transaction time of the export that the store holds already."""
    before = known.before
    return before.transaction_time if before is not None and before.origin == known.origin else ""


def _exported(source: ServerExport) -> Exported:
    return Exported(
        files=source.steps,
        bytes=source.bytes,
        transaction_time=source.state().transaction_time,
        resumed=source.resumed,
    )
