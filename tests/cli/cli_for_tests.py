"""Running commands in this process, and a sandbox to run them against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from typer.testing import CliRunner

from fhir_adapter.cli import app
from fhir_adapter.sandbox import Habits, Interactions, RunningSandbox, load

from story.cohort_for_tests import COHORT

AS_OF = "2026-11-22T07:40"
ONE = "03-encephalopathy-without-grade"


@dataclass(frozen=True, kw_only=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def flat(self) -> str:
        """Everything said, line breaks of the terminal taken out."""
        return " ".join((self.out + " " + self.err).split())


def run(*args: str, **env: str) -> Ran:
    found = CliRunner().invoke(app, list(args), env={"COLUMNS": "200", **env})
    assert "Traceback" not in found.output
    return Ran(status=found.exit_code, out=found.stdout, err=found.stderr)


@contextmanager
def sandbox(*, patients: tuple[str, ...] = (), **habits: Any) -> Iterator[RunningSandbox]:
    """The teaching cohort (or a few of it) on a server with habits."""
    zone = ZoneInfo("UTC")
    made = Interactions(now=lambda: datetime.now(zone).isoformat(), habits=Habits(**habits))
    for path in sorted(COHORT.glob("*.json")):
        if not patients or path.stem in patients:
            load(made.store, path)
    with RunningSandbox(made) as running:
        yield running
