"""The teaching cohort through every fault of the proxy: what it costs, and what it may change.

A fault strikes one request in five, with dice of a seed. Everybody is judged as without faults, or
is open because something was not retrieved, or failed by name, or (a gap, counted apart) lost a
stop with what was not retrieved; any other difference ends the run. `FHIR_SERVER=url` takes a
server that holds the cohort in place of the sandbox, `FAULTS=throttled,html` fewer faults.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fhir_adapter import bootstrap
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.client import FhirClient
from fhir_adapter.model.truth import Truth
from fhir_adapter.pull.record import ServerRecords
from fhir_adapter.sandbox import Interactions, RunningSandbox, load
from fhir_adapter.screening import Screened, screen_everyone
from fhir_adapter.settings import Settings
from tests import fault_proxy

AS_OF = "2026-11-22T07:40"
COHORT = mappings_dir() / "studies" / "NCT05985863" / "cohort"
CHANCE = 0.2
WRITING = frozenset(
    ("cut-after-commit", "error-after-commit", "transaction-as-batch", "double-create",
     "forgotten-create")
)  # fmt: skip
"""Strike writes alone: `write_faults` tells of them."""
PAGED = frozenset(("foreign-next", "relative-next", "expired-page", "unauthorized-page"))
"""Need a second page: asked for in pages of SHORT."""
SHORT = 5
LYING = frozenset(("emptied-patient",))
"""An empty answer with total 0, now and then, is that of a patient without data: nobody can tell.
Where a server always gives it, `server doctor` does."""
ALWAYS = frozenset(("no-metadata", "lying-metadata"))
"""Asked once in a run: a die of one in five would not strike."""
DELAY = 0.2
"""Seconds of the fault that delays; the proxy's own two would measure themselves."""

People = Mapping[str, Screened]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everybody, once."""

    people: People
    requests: int


@dataclass(kw_only=True)
class Compared:
    """Criteria of all patients against the run without faults."""

    equal: int = 0
    open: int = 0
    """Open now, and the record was not retrieved whole: that reason, or a question whose answer was
    not read is asked again."""
    failed: Counter[str] = field(default_factory=Counter[str])
    """Patients that were not judged, by error code."""
    incomplete: Counter[str] = field(default_factory=Counter[str])
    """Kind of facts and why it was not retrieved whole, to patients."""
    unseen: Counter[str] = field(default_factory=Counter[str])
    """Stops that were not seen in a record that was not retrieved whole: to patients."""
    different: list[str] = field(default_factory=list[str])
    """Criteria that answer otherwise without a reason: there must be none."""


def screened(base: str, patients: Iterable[str] | None = None, *, page_size: int = 500) -> Run:
    """Everybody on a server, without the pauses that it asks for."""
    client = FhirClient(base, sleep=lambda _: None)
    bench = bootstrap.bench(Settings())
    as_of = bootstrap.parse_as_of(AS_OF, bench.zone, bench.clock)
    source = ServerRecords(client, page_size=page_size)
    found = screen_everyone(bench.screener, source, as_of, patients or list(source.patients()))
    people = {one.patient: one for one in found}
    client.close()
    return Run(people=people, requests=client.requests)


def compared(whole: People, found: People) -> Compared:
    """Every criterion of everybody."""
    made = Compared()
    for patient, before in whole.items():
        now = found[patient]
        if now.error is not None:
            made.failed[now.error.code] += 1
            continue
        lost = _incomplete(made, before, now)
        _criteria(made, before, now, whole=not lost)
    return made


def _incomplete(made: Compared, before: Screened, now: Screened) -> bool:
    """Whether something was not retrieved whole that was before."""
    assert before.record is not None
    assert now.record is not None
    known = {(one.kind, one.why_not) for one in before.record.retrieved if not one.complete}
    rows = (one for one in now.record.retrieved if not one.complete)
    lost = {(one.kind, one.why_not) for one in rows} - known
    made.incomplete.update(f"{kind.value} ({why})" for kind, why in lost)
    return bool(lost)


def _criteria(made: Compared, before: Screened, now: Screened, *, whole: bool) -> None:
    assert before.decision is not None
    assert now.decision is not None
    theirs, ours = before.decision.results, now.decision.results
    stops = [one.value for one in before.decision.stops if one not in now.decision.stops]
    if stops and not whole:
        made.unseen.update(stops)
        return
    if len(theirs) != len(ours):
        made.different.append("stops")
        return
    for one, other in zip(theirs, ours, strict=True):
        if one.truth is other.truth and one.reason is other.reason:
            made.equal += 1
        elif other.truth is Truth.UNKNOWN and not whole:
            made.open += 1
        else:
            made.different.append(one.criterion)


@contextmanager
def teaching_server() -> Generator[str]:
    """Its base URL: the sandbox with the teaching cohort, unless another server is named."""
    if named := os.environ.get("FHIR_SERVER"):
        yield named
        return
    with RunningSandbox(teaching_cohort()) as running:
        yield running.base_url


def teaching_cohort() -> Interactions:
    """A new sandbox that holds it."""
    made = Interactions(now=lambda: datetime.now(UTC).isoformat())
    for path in sorted(COHORT.glob("*.json")):
        load(made.store, path)
    return made


def main() -> str:
    """One line per fault."""
    lines = [HEAD]
    with teaching_server() as base:
        whole = screened(base)
        none = Compared(equal=sum(_judged(one) for one in whole.people.values()))
        lines.append(_line("none", whole, 0, none))
        for name in _names():
            lines.append(_through(base, name, whole))  # noqa: PERF401 - each is told when it ends
            sys.stderr.write(f"{lines[-1]}\n")
    return "\n".join(lines)


def _names() -> list[str]:
    asked = os.environ.get("FAULTS", "").split(",")
    usual = [one for one in fault_proxy.BY_NAME if one not in WRITING | LYING]
    return usual if asked == [""] else [one for one in asked if one not in WRITING]


def _through(base: str, name: str, whole: Run) -> str:
    fault, on = fault_proxy.BY_NAME[name]
    made = fault_proxy.delayed(DELAY) if name == "delayed" else fault()
    with fault_proxy.FaultProxy(base) as proxy:
        armed = proxy.arm(made, on=on, chance=1.0 if name in ALWAYS else CHANCE)
        pages = SHORT if name in PAGED else 500
        found = screened(proxy.url, list(whole.people), page_size=pages)
        result = compared(whole.people, found.people)
    if result.different:
        raise SystemExit(f"{name}: different without a reason: {Counter(result.different)}")
    return _line(name, found, armed.struck, result)


def _judged(one: Screened) -> int:
    assert one.decision is not None
    return len(one.decision.results)


HEAD = (
    "### The teaching cohort through faults, one request in five\n\n"
    "| fault | struck | requests | criteria equal | open | stops not seen "
    "| not judged | incomplete for somebody |\n"
    "| --- | ---: | ---: | ---: | ---: | --- | --- | --- |"
)


def _line(name: str, run: Run, struck: int, found: Compared) -> str:
    failed, unseen = _listed(found.failed) or "0", _listed(found.unseen) or "0"
    return (
        f"| {name} | {struck} | {run.requests} | {found.equal} | {found.open} | {unseen} "
        f"| {failed} | {_listed(found.incomplete)} |"
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
