"""One server of each kind per test process, started when a test first asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import real_servers


@pytest.fixture(scope="session")
def hapi_defaults() -> Iterator[str]:
    with real_servers.hapi("defaults") as base:
        yield base


@pytest.fixture(scope="session")
def hapi_all_on() -> Iterator[str]:
    with real_servers.hapi("all-on") as base:
        yield base


@pytest.fixture(scope="session")
def medplum() -> Iterator[str]:
    with real_servers.medplum() as base:
        yield base


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with real_servers.postgres() as url:
        yield url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for one in real_servers.MEASURES:
        terminalreporter.write_line(
            f"{one.name}: ready in {one.ready_seconds:.1f} s, at most {one.peak_mib} MiB resident"
        )
