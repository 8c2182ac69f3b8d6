"""Write docs/server-matrix.md from real runs: make servers, python -m tests.servers.make_matrix."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from fhir_adapter.client import FhirClient, RetryBudget, Timeouts
from fhir_adapter.doctor import Report, examine
from fhir_adapter.present.server_report import Column, matrix
from fhir_adapter.sandbox import HAPI, TIDY, Habits, Interactions, RunningSandbox
from tests.servers import real_servers

PAGE = Path(__file__).parents[2] / "docs" / "server-matrix.md"


@contextmanager
def sandbox(habits: Habits) -> Iterator[str]:
    """The sandbox with these habits; its base URL."""
    made = Interactions(now=lambda: datetime.now(UTC).isoformat(), habits=habits)
    with RunningSandbox(made) as running:
        yield running.base_url


def doctored(base: str) -> Report:
    """The whole doctor on one server, with time enough for a slow one."""
    client = FhirClient(
        base,
        timeouts=Timeouts(connect=5, read=30),
        budget=RetryBudget(tries=2, seconds=10),
    )
    return examine(client, token=f"doctor-{uuid4().hex[:12]}", write=True, seconds=400)


def installed(name: str) -> str:
    """What `make servers` installs for a server that does not say what it is."""
    package = Path(__file__).parent / name.lower() / "package.json"
    wanted = json.loads(package.read_text("utf-8"))["dependencies"]
    found = next((one for one in wanted if "fhir-router" in one), "")
    return f"{found} {wanted[found]}" if found else ""


SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "sandbox": lambda: sandbox(TIDY),
    "sandbox as HAPI": lambda: sandbox(HAPI),
    "HAPI, defaults": lambda: real_servers.hapi("defaults"),
    "HAPI, all on": lambda: real_servers.hapi("all-on"),
    "Medplum": real_servers.medplum,
}
_HEAD = """# What FHIR servers do

What `fhir-adapter server doctor URL --write` saw, on {day}, Python {python}. Made by
`make servers` and `python -m tests.servers.make_matrix` (the versions are those that it installs);
nothing here is typed by hand. `?` = cannot tell, with the reason.

"HAPI, defaults" and "HAPI, all on" are HAPI's JPA server over H2 in memory, as it comes and with
bulk export, subscriptions, clinical reasoning (`Library/$evaluate`) and lenient references turned
on. Medplum is its router over its store in
memory, which states no version of itself. "sandbox as HAPI" is our sandbox with the habits seen
here (`fhir_adapter.sandbox.HAPI`): `tests/servers/test_doctor_servers.py` holds it equal to HAPI on
every check but those that it does not claim (`fhir_adapter/sandbox/claims.py`). What a failure
means for the adapter, and what to do about it, the doctor says.

"""


def main() -> int:
    """0 where every server was examined and left clean."""
    columns, left = [], 0
    for name, started in SERVERS.items():
        with started() as base:
            report = doctored(base)
        left += len(report.left_behind)
        software = report.software or installed(name)
        columns.append(Column(name=name, software=software, findings=report.findings))
        said = f"{name}: {report.requests} requests, {len(report.left_behind)} left behind"
        print(said, flush=True)  # noqa: T201 - a script
    now = datetime.now(UTC).date().isoformat()
    head = _HEAD.format(day=now, python=platform.python_version())
    PAGE.write_text(head + matrix(columns), "utf-8")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
