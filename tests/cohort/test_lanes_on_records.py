"""Both lanes on records that somebody made: the teaching cohort, synthetic and real samples."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.judging import own_studies
from fhir_adapter.facts import Normaliser
from fhir_adapter.model.dates import instant
from fhir_adapter.terminology import load_mappings

import lanes

pytestmark = pytest.mark.untraced

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
SAMPLES = {
    "teaching cohort": (ROOT / "mappings/studies/NCT05985863/cohort", "demo", "2026-11-22T07:40"),
    "synthea-24": (SHARED / "synthea-24", "synthea", "2020-06-01T00:00"),
    "mimic3-demo-10": (SHARED / "mimic3-demo-10", "mimic3-demo", "2150-06-01T00:00"),
}


@pytest.mark.parametrize(
    "name",
    [
        "teaching cohort",
        pytest.param("synthea-24", marks=pytest.mark.deep),
        pytest.param("mimic3-demo-10", marks=pytest.mark.deep),
    ],
)
@pytest.mark.slow
def test_both_lanes_answer_everybody_alike(name: str) -> None:
    folder, site, as_of = SAMPLES[name]
    if not folder.is_dir():
        pytest.skip("shared sample data is not beside this checkout")
    package = bootstrap.package_from_folder("NCT05985863")
    mappings = load_mappings(ROOT / "mappings", site, code_sets=package.code_sets)
    source = bootstrap.folder_records(folder, mappings)
    normalise = Normaliser(mappings)
    screener = bootstrap.make_screener(package, mappings, bootstrap.SystemClock())
    study = screener.compiled.study
    records = [normalise(source.pull(p, screener.needs)) for p in source.patients()]
    moment = datetime.fromisoformat(as_of).replace(tzinfo=mappings.site.zone)
    given: dict[str, Any] = {
        "calculators": {item.name: item for item in package.calculators},
        "own_studies": own_studies(package.study),
    }
    ours = lanes.by_sql(study, mappings, records, instant(moment), **given)
    theirs = lanes.by_closures(study, mappings, records, instant(moment), **given)
    assert lanes.differences(ours, theirs) == []
    assert len(ours) == len(records) > 0
