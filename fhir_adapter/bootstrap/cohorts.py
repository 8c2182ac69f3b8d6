"""Loading a cohort: an export, the normaliser of a site and a store, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap.judging import Bench, whole_types
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.evaluate.cohort import CohortStatements, ForStudy, compile_cohorts
from fhir_adapter.facts import KINDS, Normaliser
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.population import PartScreened, Question, Spoken, load, screen
from fhir_adapter.ports import ExportState, LoadCounts, LoadStep, Need, Piece
from fhir_adapter.pull.export import FolderExport
from fhir_adapter.pull.groups import PiecesRead
from fhir_adapter.screening import LAST_FACT, AsOf
from fhir_adapter.settings import Settings
from fhir_adapter.terminology import facts_basis, load_mappings
from fhir_adapter.warehouse.cohort import CohortStore
from fhir_adapter.warehouse.dialects import Dialect, render
from fhir_adapter.warehouse.engine import Engine
from fhir_adapter.warehouse.loading import FactTables
from fhir_adapter.warehouse.spark import SparkEngine, connect
from fhir_adapter.warehouse.store import Store

EVERY_NEED = tuple(Need(kind=kind, resource_type=name) for name, kind in KINDS.items())
"""Whatever facts/ reads: a store serves every study."""


class RecordsRead(PiecesRead):
    """Pieces of one bucket as normalised records."""

    def __init__(
        self,
        normaliser: Callable[..., PatientRecord],
        pieces: Iterable[Piece],
        state: ExportState,
        companions: Mapping[str, bytes],
        is_wanted: Callable[[str], bool],
    ) -> None:
        super().__init__(pieces, state, companions, is_wanted)
        self._normalise = normaliser

    def records(self) -> Iterator[PatientRecord]:
        """One per patient."""
        return map(self._normalise, self.pulled(EVERY_NEED))


@dataclass(frozen=True, slots=True)
class SiteReader:
    """BucketReader with the rules of one site; made anew in every worker process."""

    site: str
    mappings_folder: Path

    def __call__(
        self,
        pieces: Iterable[Piece],
        state: ExportState,
        companions: Mapping[str, bytes],
        is_wanted: Callable[[str], bool],
    ) -> RecordsRead:
        """The records of some pieces, not yet read."""
        normaliser = _normaliser(self.mappings_folder, self.site)
        return RecordsRead(normaliser, pieces, state, companions, is_wanted)


@lru_cache(maxsize=1)
def _normaliser(folder: Path, site: str) -> Normaliser:
    return Normaliser(load_mappings(folder, site))


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_cohort(
    settings: Settings, folder: Path, store: Path, *, workers: int, update: bool = False
) -> Generator[LoadStep, None, LoadCounts]:
    """An export into a store; only what changed since the last load where ``update`` says so."""
    if store.resolve().is_relative_to(folder.resolve()):
        raise SettingInvalid(
            "the fact tables would lie among the records they are made from",
            where="--store",
            remedy="Name a folder outside the export.",
        )
    mappings = reading_rules(settings)
    tables = fact_tables(settings, store, mappings, workers=workers, update=update)
    source = FolderExport(folder, complete_types=whole_types(mappings))
    return load(source, tables.loading())


def reading_rules(settings: Settings) -> Mappings:
    """The site's rules for reading records; no study's value sets are among them."""
    return load_mappings(mappings_dir(), settings.site)


def fact_tables(
    settings: Settings, store: Path, mappings: Mappings, *, workers: int, update: bool
) -> FactTables:
    """Where a load of this site goes, and how."""
    return FactTables(
        folder=store,
        site=mappings.site.name,
        facts_basis=facts_basis(mappings),
        reader=SiteReader(settings.site, mappings_dir()),
        workers=workers,
        update=update,
    )


def open_store(store: Path, mappings: Mappings) -> Store:
    """The tables of a store for questions; refused where they were made otherwise."""
    return Store.open(store, site=mappings.site.name, facts_basis=facts_basis(mappings))


_STATEMENTS: dict[tuple[object, ...], CohortStatements] = {}
_KEPT = 4


def statement_of(bench: Bench, *, counting: bool = False) -> CohortStatements:
    """One study's statement; a process that asks again compiles it once."""
    return statements_of([bench], counting=counting)


def statements_of(benches: Sequence[Bench], *, counting: bool = False) -> CohortStatements:
    """Several studies of a site in one pass; what two of them read alike is worked out once."""
    keys = ((one.screener.basis_hash, one.screener.own_studies) for one in benches)
    key = (*keys, counting)
    if key not in _STATEMENTS:
        while len(_STATEMENTS) >= _KEPT:
            del _STATEMENTS[next(iter(_STATEMENTS))]
        _STATEMENTS[key] = compile_cohorts([_for(one) for one in benches], counting=counting)
    return _STATEMENTS[key]


def _for(bench: Bench) -> ForStudy:
    return ForStudy(
        study=bench.screener.compiled.study,
        mappings=bench.mappings,
        calculators={item.name: item for item in bench.package.calculators},
        own_studies=bench.screener.own_studies,
    )


@contextmanager
def cohort_engine(settings: Settings) -> Generator[Engine | None]:
    """What runs the statement, as the settings say; None: DuckDB, one engine per core."""
    match settings.engine:
        case "duckdb":
            yield None
        case "spark":
            engine = SparkEngine(connect(_remote(settings)))
            try:
                yield engine
            finally:
                engine.close()
        case _:
            raise SettingInvalid(
                f"there is no engine {settings.engine!r}",
                where="engine",
                remedy="Write duckdb or spark.",
            )


def _remote(settings: Settings) -> str:
    if settings.spark_remote:
        return settings.spark_remote
    raise SettingInvalid(
        "it is not said where Spark is",
        where="spark_remote",
        remedy="Name it: --spark-remote sc://HOST:PORT (or local[*], where pyspark is installed).",
    )


def screen_cohort(
    benches: Sequence[Bench],
    store: Path,
    as_of: AsOf,
    spoken: Callable[[str], Spoken],
    engine: Engine | None = None,
) -> CohortScreening:
    """Everybody of a store for some studies, ready to be asked part by part.

    By DuckDB where no engine is given; the engine is used while the parts are read, and not closed.
    """
    if len(benches) > 1 and not isinstance(as_of, int) and as_of != LAST_FACT:
        raise SettingInvalid(
            "each study has a moment of its own by the newest fact of a value set",
            where="--as-of",
            remedy=f"Screen one study at a time, or name a day, or {LAST_FACT}.",
        )
    refuse_twice(benches)
    found = open_store(store, benches[0].mappings)
    tables = CohortStore(found, engine=engine, workers=cores())
    passes = _passes(benches)
    return CohortScreening(
        issues=found.manifest.issues,
        incomplete=found.manifest.incomplete,
        everyone=found.manifest.patients,
        parts=_screened(tables, passes, as_of, spoken),
        total=len(tables.parts) * len(passes),
    )


def refuse_twice(benches: Sequence[Bench]) -> None:
    """SettingInvalid where two names were of one study: a folder and an identifier."""
    if len({one.package.study.id for one in benches}) < len(benches):
        raise SettingInvalid(
            "a study is named twice", where="--study", remedy="Name each study once."
        )


def _passes(benches: Sequence[Bench]) -> list[list[Bench]]:
    """Studies that are judged together: with a basis, and without one, which stops everybody."""
    held = [[one for one in benches if one.screener.basis is there] for there in (True, False)]
    return [group for group in held if group]


def _screened(
    tables: CohortStore,
    passes: Sequence[Sequence[Bench]],
    as_of: AsOf,
    spoken: Callable[[str], Spoken],
) -> Iterator[tuple[Sequence[Bench], PartScreened]]:
    for benches in passes:
        questions = [
            Question(screener=one.screener, spoken=spoken(one.package.study.id)) for one in benches
        ]
        for part in screen(tables, statements_of(benches), questions, as_of):
            yield benches, part


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortScreening:
    """A screening of everybody that has not begun."""

    parts: Iterator[tuple[Sequence[Bench], PartScreened]]
    """The studies of a pass, and what is said of one part for each of them."""
    total: int
    issues: Mapping[str, int]
    """What was wrong with the files of the export, with counts."""
    incomplete: Mapping[str, int]
    """Kind of fact to patients for whom it was not retrieved whole."""
    everyone: int


def statement_text(benches: Sequence[Bench], dialect: Dialect) -> str:
    """The statement of one study, or of several in one pass, for an auditor's eyes."""
    refuse_twice(benches)
    return render(statements_of(benches).tree, dialect, pretty=True)
