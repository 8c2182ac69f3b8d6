"""The public API: a study, a record, a decision and why. Everything else may move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fhir_adapter.bootstrap import (
    Bench,
    bench,
    record_source,
)
from fhir_adapter.errors import RecordFault
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.study import Study
from fhir_adapter.present.rows import CriterionRow, criterion_rows
from fhir_adapter.pull.folder import BundleRecord
from fhir_adapter.screening import AsOf, Screened, screen_everyone, screen_one
from fhir_adapter.settings import Settings

Moment = datetime | date | str
"""A moment with a zone; a date (the end of that day at the site); or text as for ``--as-of``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStudy:
    """A study read, checked for form and compiled for one site. Make it once, use it often."""

    bench: Bench

    @property
    def study(self) -> Study:
        """The study as data."""
        return self.bench.package.study

    def moment(self, as_of: Moment) -> AsOf:
        """The instant (microseconds since the epoch) that ``as_of`` names at this site."""
        text = as_of if isinstance(as_of, str) else as_of.isoformat()
        return self.bench.moment(text)


def load_study(name: str = "NCT05985863", *, site: str = "demo", server: str = "") -> LoadedStudy:
    """A study by name in mappings/studies, by folder, or by identifier on a FHIR server.

    ``site`` is a file of mappings/sites by name, or a path to one; it gives the zone, the local
    codes and the basis without which nobody is screened. StudyInvalid names file, line,
    criterion and remedy; StudyNotFound and SiteInvalid name what there is.

    >>> load_study().study.id
    'NCT05985863'
    """
    settings = Settings(study=name, site=site, study_server=server)
    return LoadedStudy(bench=bench(settings))


def screen_record(
    study: LoadedStudy, bundle: Mapping[str, Any], *, as_of: Moment, patient: str = ""
) -> Decision:
    """Judge one patient from a Bundle as of one moment. Nothing is fetched, nothing is written.

    A collection, batch or transaction Bundle is taken as the whole record; a document (IPS) holds
    no type whole, so that what it does not say is *not retrieved*, never *no*. Without ``patient``
    the Bundle must hold exactly one Patient. Numbers should be Decimal; floats are read by their
    shortest text. RecordFault where no single patient is meant.

    >>> ana = {"resource": {"resourceType": "Patient", "id": "a", "birthDate": "1980-05-01"}}
    >>> bundle = {"resourceType": "Bundle", "type": "collection", "entry": [ana]}
    >>> decision = screen_record(load_study(), bundle, as_of="2026-11-22")
    >>> decision.outcome.value
    'not-proposed'
    """
    source = BundleRecord(dict(bundle))
    wanted = patient or _only(tuple(source.patients()))
    one = screen_one(study.bench.screener, source, wanted, study.moment(as_of))
    if one.error is not None:
        raise one.error
    assert one.decision is not None
    return one.decision


def _only(patients: tuple[str, ...]) -> str:
    if len(patients) != 1:
        raise RecordFault(
            f"the Bundle holds {len(patients)} patients",
            where="Bundle",
            remedy="Name the one that is meant with patient=.",
        )
    return patients[0]


def screen(
    study: LoadedStudy, records: Path | str, *, as_of: Moment, token: str = ""
) -> Iterator[Screened]:
    """Judge everybody in a folder (NDJSON, Bundles) or on a FHIR server (an http address).

    Lazily, in the order of the source; a patient that cannot be judged is yielded with its error,
    never dropped. ``token`` is a bearer token for a server.

    >>> from fhir_adapter.artifacts import mappings_dir
    >>> cohort = mappings_dir() / "studies" / "NCT05985863" / "cohort"
    >>> found = screen(load_study(), cohort, as_of="2026-11-22T07:40")
    >>> sum(one.decision is not None for one in found)
    43
    """
    is_server = isinstance(records, str) and records.startswith(("http://", "https://"))
    settings = Settings(record_server=str(records) if is_server else "", record_token=token)
    folder = None if is_server else Path(records)
    source = record_source(settings, folder, study.bench.mappings)
    return screen_everyone(study.bench.screener, source, study.moment(as_of))


def explain(study: LoadedStudy, decision: Decision) -> tuple[CriterionRow, ...]:
    """One row per criterion in protocol order, effect first, with evidence and what to ask.

    Empty where a stop came before any criterion.

    >>> ana = {"resource": {"resourceType": "Patient", "id": "a", "birthDate": "1980-05-01"}}
    >>> bundle = {"resourceType": "Bundle", "type": "collection", "entry": [ana]}
    >>> study = load_study()
    >>> explain(study, screen_record(study, bundle, as_of="2026-11-22"))[0].say
    'Fits: Age 18 to 70 years (1980-05-01)'
    """
    return criterion_rows(decision, study.study, study.bench.zone)
