"""The feasibility page in a real browser: accessible, self-contained, moved by keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from cli.cli_for_tests import AS_OF, run
from story.cohort_for_tests import COHORT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed on this machine"),
    pytest.mark.slow,
    pytest.mark.untraced,
]
IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One page with all counts, one as it is made by default."""
    folder = tmp_path_factory.mktemp("pages")
    found: dict[str, str] = {}
    for name, more in (("whole", ("--min-cell", "1")), ("withheld", ("--order", "E3a"))):
        path = folder / f"{name}.html"
        args = ("cohort", "report", str(COHORT), "--as-of", AS_OF, "--quiet", *more)
        assert run(*args, "--html", str(path)).status == 0
        found[name] = path.as_uri()
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as found:
        launched = found.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def opened(browser: Any, address: str, *, scheme: str = "light", width: int = 1180) -> Any:
    """The page; whatever it asks for or complains about is kept."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.heard = []
    page.on("console", lambda said: page.heard.append(said.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda asked: page.heard.append(asked.url))
    page.goto(address)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "withheld"])
@pytest.mark.slow
def test_the_page_is_accessible_and_asks_for_nothing(
    browser: Any, pages: dict[str, str], name: str, scheme: str
) -> None:
    page = opened(browser, pages[name], scheme=scheme)
    assert [one["id"] for one in Axe().run(page).response["violations"]] == []
    assert [said for said in page.heard if said != pages[name] and said != "data:,"] == []
    assert page.evaluate("document.querySelectorAll('svg.b rect').length") > 100
    if os.environ.get("MAKE_IMAGES") and name == "whole" and scheme == "light":
        page.set_viewport_size({"width": 1180, "height": 1250})
        page.screenshot(path=str(IMAGES / "feasibility.png"))
    page.context.close()


def test_nothing_is_cut_off_on_a_narrow_screen(browser: Any, pages: dict[str, str]) -> None:
    page = opened(browser, pages["whole"], width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def rows(page: Any) -> list[list[str]]:
    found = page.locator("#attrition-1 tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in found]


def test_moving_a_criterion_by_keyboard_counts_again(browser: Any, pages: dict[str, str]) -> None:
    page = opened(browser, pages["whole"])
    before = rows(page)
    page.focus("[aria-label='Move I2a up']")
    page.keyboard.press("Enter")
    after = rows(page)
    assert [row[1].split()[0] for row in after[:2]] == ["I2a", "I1"]
    assert page.inner_text("#said") == "I2a is number 1 of 32"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Move I2a up"
    assert after[0][3:] != before[0][3:]
    assert [row[3:6] for row in after[1:]] == [row[3:6] for row in before[1:]]
    page.keyboard.press("Enter")
    assert rows(page) == after, "it stands first already"
    page.click("#order-protocol")
    assert rows(page) == before, "the page counts as the report did"
    page.context.close()


def test_the_most_restrictive_first_is_the_same_in_the_page_and_in_the_report(
    browser: Any, pages: dict[str, str]
) -> None:
    page = opened(browser, pages["whole"])
    page.click("#order-most")
    page.click("summary:has-text('Most restrictive first')")
    moved = [row[1:] for row in rows(page)]
    table = page.locator("#attrition-2 tbody tr").all()
    assert moved == [row.locator("td").all_inner_texts() for row in table]
    page.context.close()


def test_a_page_that_withholds_has_orders_and_no_arrows(
    browser: Any, pages: dict[str, str]
) -> None:
    page = opened(browser, pages["withheld"])
    assert page.locator("td.move button").count() == 0
    assert page.locator("details").count() == 3
    page.context.close()


def test_the_page_prints(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    page = opened(browser, pages["whole"])
    page.pdf(path=str(tmp_path / "report.pdf"))
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    page.context.close()
