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
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed on this machine"),
    pytest.mark.untraced,
    pytest.mark.slow,
]
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


def new_page(browser: Any, *, scheme: str = "light", script: bool = True, width: int = 1280) -> Any:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
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


def test_twenty_patients_are_seen_without_scrolling(browser: Any, address: str) -> None:
    page = new_page(browser)
    ready(page, address)
    boxes = [row.bounding_box() for row in page.locator("#rows tbody tr").all()]
    assert len([box for box in boxes if box["y"] + box["height"] <= 900]) >= 20
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_narrow_screen(browser: Any, address: str, scheme: str) -> None:
    page = new_page(browser, width=390, scheme=scheme)
    ready(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    page.click("#rows tbody tr:nth-child(12) a")
    page.wait_for_selector("h1:has-text('Needs data')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []
    page.context.close()


def test_no_text_of_a_plot_lies_on_another(browser: Any, address: str) -> None:
    page = new_page(browser)
    ready(page, address)
    for row in (3, 12, 16):
        page.goto(f"{address}/worklist/NCT05985863")
        page.click(f"#rows tbody tr:nth-child({row}) a")
        for drawing in page.locator("figure svg").all():
            boxes = [text.bounding_box() for text in drawing.locator("text").all()]
            assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if overlap(a, b)]
    page.context.close()


def overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    return across > 1 and down > 3


def test_a_needs_data_patient_is_opened_and_read(browser: Any, address: str) -> None:
    page = new_page(browser)
    ready(page, address)
    page.click("nav.tabs a:has-text('needs data')")
    page.wait_for_selector("nav.tabs a[aria-current]:has-text('needs data')")
    page.click("tbody tr:nth-child(2) a")
    page.wait_for_selector("td.effect")
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
