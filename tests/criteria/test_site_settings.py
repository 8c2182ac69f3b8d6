"""Lengths of time that a study leaves to its sites."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fhir_adapter import load_study, screen_record
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.criteria.site_settings import named_settings, settled_study
from fhir_adapter.errors import SiteInvalid, StudyInvalid
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.study import SiteSetting

import worlds
from teaching.teaching_parts import typical

LABS = tree.Events(
    kind=("observation",),  # type: ignore[arg-type] # stands for the real one
    codes="marker",
    window=tree.Window(from_="as-of - how-far", to="as-of - 1 day"),
)
FAR = SiteSetting(name="how-far", default="30 days", text="{value} far")
STUDY = msgspec.structs.replace(
    worlds.study_of(tree.Any(of=LABS), tree.Alive()), site_settings=(FAR,)
)


@pytest.mark.parametrize(("given", "days"), [({}, "30 days"), ({"how-far": "7 days"}, "7 days")])
def test_a_name_becomes_the_sites_number_and_is_printed(given: dict[str, str], days: str) -> None:
    found = settled_study(STUDY, given)
    assert not named_settings(found.study)
    test = found.study.criteria[0].test
    assert isinstance(test, tree.Any)
    assert test.of.window == tree.Window(from_=f"as-of - {days}", to="as-of - 1 day")
    assert found.notes == {"C1": (f"{days} far",), "C2": ()}


def test_a_study_that_leaves_nothing_to_its_sites_stays_as_it_is() -> None:
    study = worlds.study_of(tree.Alive())
    assert settled_study(study, {}) == (study, {"C1": ()})


@pytest.mark.parametrize(
    ("name", "remedy"), [("how-farr", "Did you mean 'how-far'"), ("age", "Take it out")]
)
def test_a_site_sets_only_what_the_study_leaves_to_it(name: str, remedy: str) -> None:
    with pytest.raises(SiteInvalid) as raised:
        settled_study(STUDY, {name: "7 days"})
    assert remedy in raised.value.remedy


def test_a_name_that_nothing_defines_stops_the_study() -> None:
    with pytest.raises(StudyInvalid, match="how-far"):
        settled_study(msgspec.structs.replace(STUDY, site_settings=()), {})


def test_the_baseline_of_the_first_trial_is_the_sites(tmp_path: Path) -> None:
    """48 three days before the onset's start is no baseline, unless the site lets it end there."""
    chart, _ = typical("case")
    chart.lab("bilirubin", "30", "2026-11-19T07:00")
    chart.lab("platelets", "40", "2026-11-14T07:00")
    chart.lab("platelets", "41", "2026-11-15T07:00")
    site = (mappings_dir() / "sites" / "demo.toml").read_text("utf-8")
    more = '\n[[study-setting]]\nstudy = "NCT05985863"\nname = "baseline-to"\nvalue = "2 days"\n'
    (tmp_path / "near.toml").write_text(site + more, "utf-8")
    effects = []
    for name in ("demo", str(tmp_path / "near.toml")):
        decision = screen_record(
            load_study("NCT05985863", site=name), chart.bundle(), as_of="2026-11-22T07:40"
        )
        result = next(one for one in decision.results if one.criterion == "E2a")
        effects.append((result.effect.value, result.notes[-1]))
    assert effects == [
        ("open", "baseline to 14 days before the onset"),
        ("against", "baseline to 2 days before the onset"),
    ]
