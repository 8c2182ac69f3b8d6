"""kill -9 in a child process: what was marked or proposed is neither lost nor doubled."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_adapter.client import FhirClient
from fhir_adapter.ledger.changes import SECOND
from fhir_adapter.model.dates import instant
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.ports import Proposal
from fhir_adapter.sandbox import RunningSandbox
from fhir_adapter.writeback import ServerSink
from tests.ledger.conftest import KEY, Place, StandingClock
from tests.writeback.proposals import propose

from cli.cli_for_tests import sandbox

ROOT = Path(__file__).parents[2]
_COMMON = """
import json, os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from fhir_adapter.ledger import Mark, open_ledger
from fhir_adapter.model.dates import instant

class Now:
    def now(self):
        return datetime.now(UTC)

clock = Now()
now = lambda: instant(clock.now())
ledger = open_ledger(sys.argv[1], clock, password=sys.argv[2], site_key=sys.argv[3])
worker = f"worker {os.getpid()}"
"""
_QUEUE = (
    _COMMON
    + """
journal = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    found = ledger.changed.claim(worker, now(), 3, lease_seconds=0.5)
    if not found and not ledger.changed.count():
        break
    if not found:
        time.sleep(0.05)
    for one in found:
        os.write(journal, f"{one.patient} {one.sequence}\\n".encode())
        ledger.changed.done(one.patient, one.sequence, worker=worker)
"""
)
_OUTBOX = (
    _COMMON
    + """
from fhir_adapter.client import FhirClient
from fhir_adapter.writeback import ServerSink

sink = ServerSink(FhirClient(sys.argv[4]), ledger)
while True:
    found = ledger.outbox.take(worker, at_once=True, lease_seconds=0.3)
    if not found and not ledger.outbox.counts().waiting:
        break
    if not found:
        time.sleep(0.05)
    for one in found:
        sink.send(one.proposal, write=True)
        ledger.outbox.done(one)
"""
)


def child(code: str, place: Place, *more: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", code, place.address, place.password, KEY, *more]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.Popen(words, env=environment, cwd=ROOT)


def killed_and_run_again(code: str, place: Place, kills: int, *more: str) -> int:
    """So many workers killed at a moment of chance, then one that may end; how many were killed."""
    chance, done = random.Random(7), 0
    for _ in range(kills):
        worker = child(code, place, *more)
        time.sleep(0.8 + chance.random() * 0.6)
        done += worker.poll() is None
        worker.kill()
        worker.wait(60)
    last = child(code, place, *more)
    assert last.wait(100) == 0
    return done


@pytest.mark.deep
@pytest.mark.untraced
def test_a_queue_whose_workers_are_killed_loses_nobody(
    place: Place, clock: StandingClock, tmp_path: Path
) -> None:
    ledger = place.open(clock)
    early = instant(clock.now()) - 3600 * SECOND
    wanted = {f"p{number}" for number in range(1500)}
    for one in sorted(wanted):
        ledger.changed.mark_changed(one, "sweep", early)
    journal = tmp_path / "journal"
    assert killed_and_run_again(_QUEUE, place, 4, str(journal)) >= 1
    assert ledger.changed.count() == 0
    ledger.close()
    seen = Counter(line.split()[0] for line in journal.read_text().splitlines())
    assert set(seen) == wanted
    assert sum(seen.values()) <= len(wanted) + 4 * 3, "only what was under a killed claim"


def proposals(count: int) -> Iterator[Proposal]:
    """Of as many patients, each with a key of its own."""
    for number in range(count):
        made = replace(propose(), key=f"k{number}", patient=f"p{number}")
        assert made.subject is not None
        assert made.opinion is not None
        yield replace(
            made,
            patient_ids=(made.patient,),
            subject={
                **made.subject,
                "identifier": [{**made.subject["identifier"][0], "value": made.key}],
                "individual": {"reference": f"Patient/{made.patient}"},
            },
            opinion={
                **made.opinion,
                "identifier": [{**made.opinion["identifier"][0], "value": made.key}],
                "subject": {"reference": f"Patient/{made.patient}"},
                "moduleCanonical": "https://example.org/PlanDefinition/s1",
            },
        )


def standing(server: RunningSandbox) -> list[tuple[str, str, str]]:
    """Type, id and version of everything on the server."""
    store = server._interactions.store
    return sorted(
        (kind, one["id"], one["meta"]["versionId"])
        for kind in ("Device", "ResearchSubject", "GuidanceResponse", "Provenance")
        for one in store.all_of(kind)
    )


@pytest.mark.deep
@pytest.mark.untraced
def test_an_outbox_whose_workers_are_killed_writes_everything_once(
    place: Place, clock: StandingClock
) -> None:
    ledger = place.open(clock)
    everything = list(proposals(80))
    for number, made in enumerate(everything):
        assert ledger.record_decision(
            Decision(
                patient=made.patient, study="s1", study_version="1", as_of=1,
                outcome=Outcome.CANDIDATE,
            ),
            run=f"r{number}", listed=True, proposal=made,
        )  # fmt: skip
    with sandbox(patients=("nobody",)) as server:
        assert killed_and_run_again(_OUTBOX, place, 4, server.base_url) >= 1
        assert (ledger.outbox.counts().waiting, ledger.outbox.counts().done) == (0, 80)
        kinds = Counter(kind for kind, _, _ in standing(server))
        assert (kinds["ResearchSubject"], kinds["GuidanceResponse"], kinds["Device"]) == (80, 80, 1)
        subjects = server._interactions.store.all_of("ResearchSubject")
        keys = {one["identifier"][0]["value"] for one in subjects}
        assert keys == {one.key for one in everything}

        before = standing(server)
        sink = ServerSink(FhirClient(server.base_url), ledger)
        for one in everything:
            written = sink.send(one, write=True)
            assert (written.created, written.updated) == ((), ())
        assert standing(server) == before
    ledger.close()
