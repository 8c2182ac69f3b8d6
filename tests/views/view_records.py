"""Records as rows of every view and as facts, side by side."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from fhir_adapter import bootstrap
from fhir_adapter.facts import KINDS
from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.fhir.wire import decode, encode
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.ports import Need, Pulled
from fhir_adapter.settings import Settings

from every_shape import RECORD
from view_runner import run

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "profiles/views").glob("*.json"))
VIEWS = {path.stem: json.loads(path.read_text("utf-8")) for path in FILES}
COHORT = sorted((ROOT / "mappings/studies/NCT05985863/cohort").glob("*.json"))
Row = dict[str, Any]


class Record:
    """One patient's resources, as rows of every view and as facts."""

    def __init__(self, bench: bootstrap.Bench, resources: list[Any]) -> None:
        self.resources = resources
        patient = next(one["id"] for one in resources if one["resourceType"] == "Patient")
        pulled = Pulled(patient=patient, resources=resources, types=())
        self.facts: dict[str, Fact] = {}
        self.dates = DateReader(bench.zone)
        for fact in bench.screener.normalise(pulled).facts:
            if fact.kind is not Kind.PATIENT:
                assert fact.source not in self.facts
                self.facts[fact.source] = fact

    def rows(self, name: str) -> list[tuple[str, Row]]:
        """(source of the fact, row) of one view."""
        kind = VIEWS[name]["resource"]
        rows = run(VIEWS[name], self.resources)
        return [(f"{kind}/{row['id']}{_component(row)}", row) for row in rows]

    def of_type(self, kind: str, *, components: bool = False) -> dict[str, Fact]:
        """Facts of one resource type: of components, or of the resources themselves."""
        return {
            source: fact
            for source, fact in self.facts.items()
            if source.startswith(f"{kind}/") and (fact.component is not None) is components
        }


def _component(row: Row) -> str:
    index = row.get("component_index")
    return "" if index is None else f"#component[{index}]"


def resources_of(text: bytes) -> list[Any]:
    return [entry["resource"] for entry in decode(text)["entry"]]


def _unowned(resource: Any) -> str:
    return f"Patient/{resource['id']}" if resource["resourceType"] == "Patient" else ""


def _people(resources: list[Any]) -> list[list[Any]]:
    """The records of a bundle, one per Patient."""
    owned: dict[str, list[Any]] = defaultdict(list)
    for one in resources:
        names = ("subject", "patient", "individual")
        owner = next((one[name]["reference"] for name in names if name in one), None)
        owned[owner or _unowned(one)].append(one)
    shared = owned.pop("", [])
    return [[*own, *shared] for own in owned.values()]


DATA = ROOT.parent / "shared" / "data"
SAMPLES = (("synthea-24", "synthea", 3), ("mimic3-demo-10", "mimic3-demo", 1))
"""Public records beside this checkout, where they are: folder, site, how many of the smallest."""


def _sampled(folder: str, site: str, count: int) -> list[Record]:
    if not (DATA / folder).is_dir():
        return []
    bench = bootstrap.bench(Settings(site=site))
    source = bootstrap.folder_records(DATA / folder, bench.mappings)
    needs = [Need(kind=kind, resource_type=name, code_sets=()) for name, kind in KINDS.items()]
    pulled = [list(source.pull(patient, needs).resources) for patient in source.patients()]
    return [Record(bench, own) for own in sorted(pulled, key=len)[:count]]


def all_records(bench: bootstrap.Bench) -> list[Record]:
    """The teaching cohort, the made-up record, and what lies beside this checkout."""
    bundles = [resources_of(path.read_bytes()) for path in COHORT]
    made_up = {"resourceType": "Bundle", "entry": [{"resource": one} for one in RECORD]}
    bundles.append(resources_of(encode(made_up)))
    made = [Record(bench, own) for bundle in bundles for own in _people(bundle)]
    return made + [one for sample in SAMPLES for one in _sampled(*sample)]
