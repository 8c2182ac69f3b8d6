"""Judging: a study, a site's mappings and a source of records, put together from settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.criteria.package import criterion_hashes, hash_of, needs, package_of
from fhir_adapter.criteria.site_settings import settled_study
from fhir_adapter.errors import SettingInvalid, StudyInvalid, StudyNotFound
from fhir_adapter.evaluate.record import compile_study
from fhir_adapter.facts import KINDS, Normaliser
from fhir_adapter.model.dates import instant, local_date, start_of
from fhir_adapter.model.fact import FACTS_SCHEMA
from fhir_adapter.model.hashing import digest
from fhir_adapter.model.mapping import Mappings, UnitTable
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Answers, Clock, RecordSource, StudyPackage
from fhir_adapter.pull.folder import FolderRecords
from fhir_adapter.screening import LAST_FACT, AsOf, Refusals, Screener, nobody_refused
from fhir_adapter.settings import Settings
from fhir_adapter.terminology import load_calculators, load_code_sets, load_mappings, load_units
from fhir_adapter.version import __version__

_CENTURIES = ("19", "20", "21")
"""Years in which somebody may ask: at the edges of time no moment can be printed."""
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
    if Path(name).is_file():
        raise StudyNotFound(
            f"{name!r} is a file", remedy="Give the folder that holds it and the study's others."
        )
    if "," in name:
        raise StudyNotFound(
            "several studies are named, and here only one can be",
            remedy="`cohort screen` judges several in one pass; run other commands once per study.",
        )
    raise StudyNotFound(f"no study folder {name!r}", remedy=f"Give a path, or one of: {known}.")


def study_files(folder: Path) -> dict[str, str]:
    """The texts of a study's files, by name; one that is missing is left for criteria/ to name."""
    return {name: _text(folder / name) for name in STUDY_FILES if (folder / name).is_file()}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        remedy = "Save it as UTF-8."
        raise StudyInvalid("the file is not UTF-8", where=file.name, remedy=remedy) from None


def package_from_folder(name: str) -> StudyPackage:
    """A study from its files, with the value sets and calculators of mappings/."""
    mappings = mappings_dir()
    return package_of(
        study_files(study_folder(name)),
        load_code_sets(mappings / "terminology" / "value-sets"),
        load_calculators(mappings / "calculators"),
    )


def study_package(settings: Settings) -> StudyPackage:
    """The study of the settings: from the study server where one is set, else from its folder."""
    if not settings.study_server:
        return package_from_folder(settings.study)
    # reading FHIR studies loads the FHIR models: nobody else waits for them
    from fhir_adapter.bootstrap.clients import study_client  # noqa: PLC0415 - as said above
    from fhir_adapter.bootstrap.studies import package_from_server  # noqa: PLC0415 - as said above

    return package_from_server(study_client(settings), settings.study)


def units() -> UnitTable:
    """The unit table that all sites share."""
    return load_units(mappings_dir() / "terminology" / "units.toml")


def site_mappings(settings: Settings, package: StudyPackage) -> Mappings:
    """The site's mappings over the study's own expansions."""
    return load_mappings(mappings_dir(), settings.site, code_sets=package.code_sets)


def folder_records(path: Path, mappings: Mappings) -> FolderRecords:
    """Records from a folder or file; the site file says what its exports hold whole."""
    return FolderRecords(path, complete_types=whole_types(mappings))


def whole_types(mappings: Mappings) -> list[str]:
    """Resource types that the site's exports hold whole, file or not."""
    whole = set(mappings.site.complete_kinds)
    return [name for name, kind in KINDS.items() if kind.value in whole]


def types_of(kind: str) -> str:
    """The resource types that give facts of a kind, for people who know FHIR's names.

    >>> types_of("condition")
    'Condition'
    """
    return ", ".join(name for name, given in KINDS.items() if given.value == kind)


def record_source(settings: Settings, path: Path | None, mappings: Mappings) -> RecordSource:
    """Records from a folder where one is given, else from the record server."""
    if path is not None:
        return folder_records(path, mappings)
    # who reads a folder does not wait for the network's libraries
    from fhir_adapter.bootstrap.records import server_records  # noqa: PLC0415 - as said above

    return server_records(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What a source of records could not read: codes with counts, and places."""

    issues: Mapping[str, int]
    places: tuple[str, ...]


def damage_of(source: RecordSource) -> Damage:
    """The damage of a folder; a server answers or fails, patient by patient."""
    if isinstance(source, FolderRecords):
        return Damage(issues=source.issues, places=source.damaged)
    return Damage(issues={}, places=())


def basis_holds(mappings: Mappings, study: Study, clock: Clock) -> bool:
    """Whether the site file records a basis for this study that is in force by the clock."""
    today = local_date(instant(clock.now()), mappings.site.zone)
    return any(
        basis.study == study.id and basis.valid_from <= today <= basis.valid_to
        for basis in mappings.site.bases
    )


def settings_of(mappings: Mappings, study: Study) -> dict[str, str]:
    """What the site has set of a study's settings, by name."""
    return {name: value for of, name, value in mappings.site.study_settings if of == study.id}


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
    hashes = criterion_hashes(package)
    study_hash = hash_of(package, hashes)
    settled = settled_study(package.study, settings_of(mappings, package.study))
    compiled = compile_study(
        settled.study,
        mappings,
        calculators={item.name: item for item in package.calculators},
        hashes=hashes,
        notes=settled.notes,
    )
    return Screener(
        compiled=compiled,
        normalise=Normaliser(mappings),
        needs=needs(package),
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

    def moment(self, text: str | None) -> AsOf:
        """What an as_of in words means here; a value set that nobody knows is refused."""
        found = parse_as_of(text, self.zone, self.clock)
        if isinstance(found, str) and found != LAST_FACT:
            _refuse_unknown(found.removeprefix(f"{LAST_FACT}:"), self.mappings.by_name)
        return found


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
        return _moment(text, zone)
    except ValueError:
        raise SettingInvalid(
            "--as-of is not a date or time of the years 1900 to 2199",
            remedy="Write 2026-11-22, 2026-11-22T07:40, the same with a zone, or last-fact.",
        ) from None


def _refuse_unknown(name: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if name in names:
        return
    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]!r}? Or" if near else "Name one of the study's value sets, or"
    raise SettingInvalid(
        f"--as-of names {name!r}, which is no value set of this study",
        remedy=f"{hint} leave the name out: last-fact.",
    )


def _moment(text: str, zone: ZoneInfo) -> int:
    if text[:2] not in _CENTURIES:
        raise ValueError(text[:2])
    if len(text) == len("2026-11-22"):
        return start_of(date.fromisoformat(text).toordinal() + 1, zone) - 1
    moment = datetime.fromisoformat(text)
    return instant(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def run_id() -> str:
    """A name for one run, for logs and the ledger."""
    return uuid4().hex[:12]
