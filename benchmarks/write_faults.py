"""The teaching cohort's proposals through the faults that strike writes: what is lost or doubled.

A fault strikes one write in five, with dice of a seed. The same run is repeated until one has
nothing to write and nothing that failed; then the server must hold as many resources of each
type and status as without faults. Anything else ends the benchmark. On the sandbox alone: its
store is counted.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults import CHANCE, screened, teaching_cohort
from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.writing import writing
from fhir_adapter.ports import Written
from fhir_adapter.sandbox import Interactions, RunningSandbox
from fhir_adapter.screening import Screened
from fhir_adapter.settings import Settings
from tests import fault_proxy

NAMES = (
    "cut-after-commit",
    "error-after-commit",
    "double-create",
    "forgotten-create",
)
"""Not transaction-as-batch: writing back sends no transaction, so that nothing would strike."""
_WRITTEN = ("Device", "ResearchSubject", "GuidanceResponse", "Provenance")
_MOST_RUNS = 12

HEAD = (
    "### The teaching cohort's proposals through faults of writes, one in five\n\n"
    "| fault | struck | requests | runs until quiet | failed meanwhile | proposals "
    "| lost | twice |\n| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |"
)


@dataclass(kw_only=True)
class Told:
    """What the runs of one fault came to."""

    struck: int = 0
    requests: int = 0
    runs: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    """Proposals that a run could not write, by error code; the next one did."""
    held: Counter[str] = field(default_factory=Counter[str])
    """What stands at the end beside the cohort's own: type and status."""


def main() -> str:
    """One line per fault."""
    lines = [HEAD]
    whole = _through("")
    lines.append(_line("none", whole, whole))
    asked = os.environ.get("FAULTS", "").split(",")
    for name in NAMES if asked == [""] else [one for one in asked if one in NAMES]:
        told = _through(name)
        if told.held != whole.held:
            raise SystemExit(f"{name}: {told.held} stands, not {whole.held}")
        lines.append(_line(name, told, whole))
        sys.stderr.write(f"{lines[-1]}\n")
    return "\n".join(lines)


def _through(name: str) -> Told:
    made, told = teaching_cohort(), Told()
    before = _held(made)
    with RunningSandbox(made) as running, fault_proxy.FaultProxy(running.base_url) as proxy:
        people = list(screened(running.base_url).people.values())
        if name:
            fault, on = fault_proxy.BY_NAME[name]
            armed = proxy.arm(fault(), on=on, chance=CHANCE)
        _until_quiet(proxy.url, people, told)
        told.struck = armed.struck if name else 0
        told.requests = len(proxy.seen)
    told.held = _held(made) - before
    return told


def _until_quiet(base: str, people: Sequence[Screened], told: Told) -> None:
    with tempfile.TemporaryDirectory(prefix="write-faults-") as folder:
        settings = Settings(
            record_server=base, site_key="of this run", ledger=str(Path(folder) / "ledger.sqlite")
        )
        while told.runs < _MOST_RUNS:
            written = _written(settings, people)
            told.runs += 1
            told.failed.update(one.error for one in written if one.error)
            if not any(one.error or one.created or one.updated for one in written):
                return
    raise SystemExit(f"not quiet after {told.runs} runs: {told.failed}")


def _written(settings: Settings, people: Sequence[Screened]) -> list[Written]:
    with writing(settings, bootstrap.bench(settings), write=True) as desk:
        return list(desk.send_each(people))


def _held(made: Interactions) -> Counter[str]:
    found = ((kind, one) for kind in _WRITTEN for one in made.store.all_of(kind))
    return Counter(f"{kind} {one.get('status', '')}".strip() for kind, one in found)


def _line(name: str, told: Told, whole: Told) -> str:
    subjects = sum(n for what, n in told.held.items() if what.startswith("ResearchSubject"))
    lost, twice = (whole.held - told.held).total(), (told.held - whole.held).total()
    failed = ", ".join(f"{code} {n}" for code, n in sorted(told.failed.items())) or "0"
    return (
        f"| {name} | {told.struck} | {told.requests} | {told.runs} | {failed} | {subjects} "
        f"| {lost} | {twice} |"
    )
