"""Profiles of hypothesis: short in `make test`, at length in `make test-deep`; the small study."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from small_study import write_small_study

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile("short", max_examples=60, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("deep", max_examples=1500, deadline=None, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage is the work of tests that say what they test, not of what chance generates.

    Tracing takes twice as long as what it traces: whole runs and samples that reach no line of
    their own are marked ``no_cover`` too.
    """
    for item in items:
        if item.get_closest_marker("property"):
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a study of six criteria, to be read only."""
    return str(write_small_study(tmp_path_factory.mktemp("study") / "small"))


@pytest.fixture
def with_small_study(small_study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands take the small study where they name none."""
    monkeypatch.setenv("FHIR_ADAPTER_STUDY", small_study)
