"""Profiles of hypothesis: short in `make test`, at length in `make test-deep`; the small study."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from fhir_adapter.client import dialect

from small_study import write_small_study

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile("short", max_examples=60, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("deep", max_examples=1500, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


_ONE_WORLD = frozenset(
    (
        "tests/cohort/test_cohort_screen.py",
        "tests/cohort/test_cohort_writing.py",
        "tests/facts/test_sample_outcomes.py",
        "tests/web/test_browser.py",
        "tests/web/test_feasibility_page.py",
    )
)
"""Files whose world takes seconds to make: one worker makes it, and runs them whole."""


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return file if file in _ONE_WORLD else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling | None:
    """Workers that steal (`make test`) have what is together in a file mostly together already."""
    return None if config.getvalue("dist") == "worksteal" else _Scheduling(config, log)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One worker more than processors for `make test`: some always wait for a server to stop."""
    return (os.cpu_count() or 1) + 1 if config.getvalue("dist") == "worksteal" else None


@pytest.fixture(autouse=True)
def _unknown_servers() -> None:
    """A port is used again: what the server of another test said is not said by this one."""
    dialect._SAID.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much this run has proved: answers that were compared, and events of the proof."""
    counts = [int(one) for one in _noted(terminalreporter, "answers of two lanes compared")]
    if counts:
        terminalreporter.write_line(
            f"One answer: {len(counts)} batches, {sum(counts):,} answers of two lanes, all equal."
        )
    for told in _noted(terminalreporter, "people and machine"):
        terminalreporter.write_line(f"People and machine: {told}")


def _noted(terminalreporter: pytest.TerminalReporter, wanted: str) -> list[object]:
    """What passed tests noted under a name, whatever worker they ran in."""
    return [
        value
        for report in terminalreporter.stats.get("passed", ())
        for name, value in report.user_properties
        if name == wanted
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Coverage is held by tests that say what they test, not by what chance generates.

    Tracing takes longer than what it traces: properties, samples and whole runs, which reach no
    line of their own, go without. (``no_cover`` of pytest-cov does nothing in a worker of xdist.)
    """
    if not (item.get_closest_marker("property") or item.get_closest_marker("untraced")):
        return (yield)
    here, in_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type] # as its documentation has it
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(in_threads)  # type: ignore[arg-type] # likewise


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a study of six criteria, to be read only."""
    return str(write_small_study(tmp_path_factory.mktemp("study") / "small"))


@pytest.fixture
def with_small_study(small_study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands take the small study where they name none."""
    monkeypatch.setenv("FHIR_ADAPTER_STUDY", small_study)
