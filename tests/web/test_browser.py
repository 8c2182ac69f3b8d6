"""The whole way in a real browser: list, patient, mock chart, dismissal; axe in both themes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed on this machine")
IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`demo --serve` as a process, as a person would start it."""
    keep = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "fhir_adapter", "demo", "--serve", "--port", "0", "--quiet",
               "--keep", str(keep)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = None
        for line in process.stdout:
            found = re.search(r"(http://127\.0\.0\.1:\d+)/worklist/", line)
            if found:
                break
        assert found is not None
        yield found[1]
        process.terminate()
        assert process.wait(timeout=30) == 0, "a graceful stop"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as found:
        launched = found.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def new_page(browser: Any, *, scheme: str = "light", script: bool = True) -> Any:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    return context.new_page()


def ready(page: Any, address: str) -> None:
    page.goto(f"{address}/worklist/NCT05985863")
    page.wait_for_selector("#rows", timeout=30_000)


def keep(page: Any, name: str) -> None:
    if os.environ.get("MAKE_IMAGES"):
        page.screenshot(path=str(IMAGES / f"{name}.png"))


def violations(page: Any) -> list[str]:
    return [one["id"] for one in Axe().run(page).response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_in_both_themes(browser: Any, address: str, scheme: str) -> None:
    page = new_page(browser, scheme=scheme)
    ready(page, address)
    assert violations(page) == []
    keep(page, f"worklist-{scheme}")
    page.goto(f"{address}/worklist/NCT05985863?tab=needs-data")
    page.click("tbody tr:nth-child(4) a")
    page.wait_for_selector("h1:has-text('Needs data')")
    assert violations(page) == []
    keep(page, f"patient-{scheme}")
    for path in ("/", "/login", "/try-out"):
        page.goto(f"{address}{path}")
        assert violations(page) == []
    page.context.close()


def test_a_needs_data_patient_is_opened_and_read(browser: Any, address: str) -> None:
    page = new_page(browser)
    ready(page, address)
    page.click("nav.tabs a:has-text('needs data')")
    page.click("tbody tr:nth-child(2) a")
    rows = page.locator("table tbody tr")
    assert rows.count() == 32
    effects = set(page.locator("td.effect").all_inner_texts())
    assert {"fits", "open"} <= effects
    assert page.locator("svg circle").count() > 0
    assert page.locator("h2:has-text('To ask next') + ol li").count() >= 1
    page.context.close()


def test_filtering_works_with_the_keyboard_and_without_a_reload(browser: Any, address: str) -> None:
    page = new_page(browser)
    ready(page, address)
    page.focus("#q")
    page.keyboard.type("bleeding")
    page.wait_for_selector("caption:has-text('1 shown')")
    assert "q=" not in page.url
    page.context.close()


def test_the_list_works_without_javascript(browser: Any, address: str) -> None:
    page = new_page(browser, script=False)
    ready(page, address)
    page.fill("#q", "bleeding")
    page.click("button:has-text('Filter')")
    assert page.locator("#rows tbody tr").count() == 1
    page.context.close()


def test_identifiers_appear_after_a_reveal_only(browser: Any, address: str) -> None:
    page = new_page(browser)
    ready(page, address)
    assert "09-no-pregnancy-test" not in page.content()
    page.click("button:has-text('Reveal')")
    page.wait_for_selector("text=This was recorded")
    assert "09-no-pregnancy-test" in page.content()
    page.context.close()


def test_the_mock_chart_shows_the_card_and_a_dismissal_silences_it(
    browser: Any, address: str
) -> None:
    page = new_page(browser)
    page.goto(f"{address}/try-out")
    page.select_option("#patient", "09-no-pregnancy-test")
    page.click("text=Open the chart")
    page.wait_for_selector(".card")
    assert "May fit trial NCT05985863" in page.inner_text(".card")
    assert violations(page) == []
    keep(page, "card")
    page.click("button:has-text('Dismiss')")
    page.select_option("#patient", "09-no-pregnancy-test")
    page.click("text=Open the chart")
    page.wait_for_selector("text=No card for this patient")
    page.context.close()


def test_a_page_prints(browser: Any, address: str, tmp_path: Path) -> None:
    page = new_page(browser)
    ready(page, address)
    page.pdf(path=str(tmp_path / "list.pdf"))
    assert (tmp_path / "list.pdf").stat().st_size > 10_000
    page.context.close()
