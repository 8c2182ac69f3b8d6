"""A store and the record lane over the same folder, for tests that hold them equal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap import folder_records
from fhir_adapter.bootstrap.cohorts import EVERY_NEED, SiteReader, whole_types
from fhir_adapter.facts import Normaliser
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.population import load
from fhir_adapter.ports import LoadCounts, LoadStep
from fhir_adapter.pull.export import FolderExport
from fhir_adapter.terminology import facts_basis, load_mappings
from fhir_adapter.warehouse.loading import FactTables
from fhir_adapter.warehouse.store import Store

_MAPPINGS: dict[str, Mappings] = {}


def mappings_of(site: str) -> Mappings:
    if site not in _MAPPINGS:
        _MAPPINGS[site] = load_mappings(mappings_dir(), site)
    return _MAPPINGS[site]


def tables(store: Path, site: str = "demo", **more: Any) -> FactTables:
    mappings = mappings_of(site)
    given: dict[str, Any] = {
        "folder": store,
        "site": mappings.site.name,
        "facts_basis": facts_basis(mappings),
        "reader": SiteReader(site, mappings_dir()),
    }
    return FactTables(**{**given, **more})


def loaded(folder: Path, store: Path, site: str = "demo", **more: Any) -> LoadCounts:
    source = FolderExport(folder, complete_types=whole_types(mappings_of(site)))
    counts, _ = finished(load(source, tables(store, site, **more).loading()))
    return counts


def finished(running: Any) -> tuple[LoadCounts, list[LoadStep]]:
    steps: list[LoadStep] = []
    while True:
        try:
            steps.append(next(running))
        except StopIteration as end:
            return end.value, steps


def opened(store: Path, site: str = "demo") -> Store:
    mappings = mappings_of(site)
    return Store.open(store, site=mappings.site.name, facts_basis=facts_basis(mappings))


def stored(store: Path, site: str = "demo") -> dict[str, PatientRecord]:
    found = opened(store, site)
    records = [one for bucket in found.buckets for one in found.records(bucket)]
    assert len({one.patient for one in records}) == len(records)
    return {one.patient: one for one in sorted(records, key=lambda one: one.patient)}


def pulled(folder: Path, site: str = "demo") -> tuple[dict[str, PatientRecord], dict[str, int]]:
    """The record lane's records of everybody in a folder, and its issues."""
    mappings = mappings_of(site)
    normalise = Normaliser(mappings)
    source = folder_records(folder, mappings)
    records = {one: normalise(source.pull(one, EVERY_NEED)) for one in source.patients()}
    return records, dict(source.issues)


def assert_equal(folder: Path, store: Path, site: str = "demo", **more: Any) -> LoadCounts:
    """Load, and hold every record and every issue count to the record lane's."""
    counts = loaded(folder, store, site, **more)
    records, issues = pulled(folder, site)
    assert stored(store, site) == records
    assert counts.issues == issues
    assert counts.patients == len(records)
    return counts


def write_lines(path: Path, resources: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (one if isinstance(one, str) else json.dumps(one) for one in resources)
    path.write_text("".join(f"{line}\n" for line in lines))
