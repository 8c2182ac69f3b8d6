"""`cohort report`: over fact tables and over records, in the terminal, as JSON and as a page."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.feasibility import tally_of
from fhir_adapter.cli.cohort_report import _write_page
from fhir_adapter.cli.feasibility_page import bar, page, share
from fhir_adapter.cli.feasibility_tables import print_report
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.model.decision import Stop
from fhir_adapter.model.feasibility import Counted
from fhir_adapter.present.feasibility import Feasibility, feasibility
from fhir_adapter.present.feasibility_json import feasibility_json, feasibility_schema

from cli.cli_for_tests import AS_OF, ONE, run
from cohort_store import loaded
from story.cohort_for_tests import COHORT

STUDY = bootstrap.package_from_folder("NCT05985863").study
SAID = {"as_of": "2026-11-22 07:40", "site": "demo"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("tables") / "store"
    loaded(COHORT, made)
    return str(made)


@pytest.mark.slow
@pytest.mark.usefixtures("with_small_study")
def test_a_store_and_its_folder_of_records_have_the_same_report(store: str, tmp_path: Path) -> None:
    page_of = tmp_path / "report.html"
    args = ("--as-of", AS_OF, "--order", "E3a,I2c", "--json", "--min-cell", "1")
    ran = run("cohort", "report", store, *args, "--html", str(page_of))
    assert ran.status == 0, ran.flat
    assert ran.json["patients"] == 43
    assert [one["order"] for one in ran.json["attrition"]][1] == "order asked for"
    assert run("cohort", "report", str(COHORT), *args).json == ran.json
    jsonschema.validate(ran.json, feasibility_schema())
    assert "Feasibility of NCT05985863" in page_of.read_text("utf-8")


def test_nothing_in_a_report_says_who(tmp_path: Path) -> None:
    page_of = tmp_path / "report.html"
    ran = run("cohort", "report", str(COHORT), "--as-of", AS_OF, "--html", str(page_of))
    text = ran.out + page_of.read_text("utf-8")
    assert ONE not in text
    assert not [path.stem for path in COHORT.glob("*.json") if path.stem in text]
    assert f"Page: {page_of}" in ran.out.replace("\n", "")
    assert "withheld" in text


def test_a_page_is_not_written_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for name in (tmp_path / "no" / "page.html", tmp_path):
        ran = run("cohort", "report", str(COHORT), "--html", str(name))
        assert ran.status == 2
        assert "does not exist" in ran.flat


def test_a_page_that_cannot_be_written_is_said() -> None:
    report = made(some(fits=50, against=20, still_open=30))
    with pytest.raises(SettingInvalid, match="cannot be written"):
        _write_page(Path("/dev/full"), report, SAID)


def test_an_order_of_unknown_criteria_is_refused() -> None:
    ran = run("cohort", "report", str(COHORT), "--as-of", AS_OF, "--order", "E99")
    assert ran.status == 2
    assert "no criterion E99" in ran.flat


def made(counted: Counted, *, min_cell: int = 5, failed: int = 0) -> Feasibility:
    everyone = sum(counted.combinations.values()) + sum(counted.stops.values()) + failed
    found = tally_of(STUDY, [counted], "", everyone=everyone, failed=failed)
    return feasibility(found, STUDY, min_cell=min_cell, issues={"no-unit": 7})


def some(*, fits: int, against: int, still_open: int, stopped: int = 0) -> Counted:
    """People who differ in the first criterion (mark 5: against) and in the second (12: open)."""
    size = len(STUDY.criteria) - 2
    return Counted(
        combinations={
            bytes((0, 0)) + bytes(size): fits,
            bytes((5, 0)) + bytes(size): against,
            bytes((0, 12)) + bytes(size): still_open,
        },
        stops={Stop.DECEASED: stopped},
    )


def printed(report: Feasibility, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_report(console, report, **SAID)
    found = console.file
    assert isinstance(found, io.StringIO)
    return found.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_report_fits_its_width(width: int) -> None:
    text = printed(made(some(fits=50, against=20, still_open=30, stopped=9), failed=6), width)
    assert max(map(len, text.splitlines())) <= width
    assert "could not be judged" in text
    assert "stopped: deceased" in text
    assert "no-unit 7" in text
    assert ("\u2588" in text) is (width == 120), "bars stand where there is room"


def test_withheld_counts_are_dots_and_grey() -> None:
    few = made(some(fits=50, against=2, still_open=30))
    assert "p-withheld" in page(few, **SAID)
    text = printed(few, 120)
    assert "withheld: fewer than 5 people" in text
    assert "\u2022" in text
    half = printed(made(some(fits=3, against=20, still_open=30)), 120)
    assert "\u2022" in half
    assert "\u2022" not in printed(made(some(fits=3, against=2, still_open=1), min_cell=1), 120)
    assert "Most restrictive" not in printed(made(some(fits=9, against=0, still_open=0)), 120)


def test_nobody_has_a_report_too() -> None:
    report = made(Counted())
    assert "everyone" in printed(report, 120)
    assert "keeps anybody out" in page(report, **SAID)
    jsonschema.validate(feasibility_json(report, **SAID), feasibility_schema())


def test_the_page_asks_for_nothing_and_allows_nothing() -> None:
    text = page(made(some(fits=50, against=20, still_open=30)), **SAID)
    assert "default-src 'none'" in unescape(text)
    assert re.findall(r'(?:src|href)="(?!#|data:)', text) == []
    assert " style=" not in text
    assert 'combinations">' not in text, "counts of combinations would show single people"


def test_the_page_carries_combinations_where_nothing_is_withheld() -> None:
    report = made(some(fits=50, against=20, still_open=30), min_cell=1)
    text = page(report, **SAID)
    found = re.search(r'id="combinations">(.*?)</script>', text)
    assert found is not None
    assert sum(count for _, count in json.loads(found[1])) == 100
    assert "do not pass this page on" in text


def test_a_bar_is_whole_or_says_what_is_withheld() -> None:
    assert [one.width for one in bar((("a", 25), ("b", 75)), 100)] == [25, 75]
    assert [one.kind for one in bar((("a", 25), ("b", None)), 100)] == ["a", "withheld"]
    assert bar((("a", 1),), None) == ()
    assert share(None, 3) == ""
    assert share(1, 4) == "25 %"
