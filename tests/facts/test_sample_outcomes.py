"""The sample data, screened: the tables of docs/sample-data.md, and no COVID patient proposed.

The data are not part of this project, so these tests skip where ../shared/data is not there.
"""

from __future__ import annotations

import csv
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.feasibility import tally_decisions
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.feasibility import CriterionTally
from fhir_adapter.screening import screen_everyone
from fhir_adapter.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
AS_OF = "last-fact:total-bilirubin"
SITES = {"synthea-24": "synthea", "mimic3-demo-10": "mimic3-demo"}
HEADINGS = {"synthea-24": "## Synthea", "mimic3-demo-10": "## MIMIC-III"}

pytestmark = [
    pytest.mark.skipif(
        not DATA.is_dir(),
        reason="../shared/data is not beside this checkout: nothing to compare with",
    ),
    pytest.mark.slow,
    pytest.mark.untraced,
]


@cache
def screened(folder: str) -> tuple[bootstrap.Bench, dict[str, Decision]]:
    bench = bootstrap.bench(Settings(site=SITES[folder]))
    source = bootstrap.folder_records(DATA / folder, bench.mappings)
    found = screen_everyone(bench.screener, source, AS_OF)
    return bench, {one.patient: one.decision for one in found if one.decision is not None}


def line(row: CriterionTally) -> str:
    why = ", ".join(f"{reason} {count}" for reason, count in row.open) or "-"
    counts = f"{row.fits} | {row.assumed} | {row.against_total} | {row.not_applicable}"
    return f"| {row.criterion} | {counts} | {why} |"


def printed(folder: str) -> list[str]:
    text = (ROOT / "docs" / "sample-data.md").read_text("utf-8")
    section = text.split(HEADINGS[folder], 1)[1].split("\n## ", 1)[0]
    rows = [row for row in section.splitlines() if row.startswith("| ")]
    return [row for row in rows if row.split()[1][0] in "IE" and row.split()[1] != "criterion"]


@pytest.mark.parametrize("folder", SITES)
def test_the_documented_table_is_what_came_out(folder: str) -> None:
    bench, decisions = screened(folder)
    made, _ = tally_decisions(bench.package.study, list(decisions.values()), "", failed=0)

    assert printed(folder) == [line(row) for row in made.criteria]


def test_everyone_has_one_outcome_as_documented() -> None:
    _, synthea = screened("synthea-24")
    _, mimic = screened("mimic3-demo-10")

    assert Counter(d.outcome for d in synthea.values()) == {
        Outcome.NEEDS_DATA: 4,
        Outcome.NOT_NOW: 6,
        Outcome.NOT_PROPOSED: 13,
        Outcome.NOT_SCREENED: 1,
    }
    assert Counter(d.outcome for d in mimic.values()) == {
        Outcome.NOT_NOW: 1,
        Outcome.NOT_PROPOSED: 9,
    }


def test_no_patient_with_covid_is_proposed_or_in_the_default_list() -> None:
    _, decisions = screened("synthea-24")
    with (DATA / "synthea-24" / "facts.csv").open() as file:
        covid = [decisions[row["patient"]] for row in csv.DictReader(file) if row["covid19"] == "1"]

    assert covid
    for decision in covid:
        assert decision.outcome is not Outcome.CANDIDATE
        assert decision.labs_only or decision.outcome is not Outcome.NEEDS_DATA
