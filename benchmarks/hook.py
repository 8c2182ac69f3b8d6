"""The CDS hook from another process: 1, 10 and 100 studies, 50 and 500 prefetched Observations.

Every study is the seed study under another number; three of them fit the patient, the others are
refuted by the age gate, as most of a hospital's studies are. The yardstick of the same run is
``/health`` of the same service.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import uvicorn

from benchmarks.measure import Figure, table, timed
from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.bootstrap.service import open_service
from fhir_adapter.fhir.wire import encode
from fhir_adapter.sandbox import Habits, Interactions, RunningSandbox
from fhir_adapter.sandbox.chart import Chart
from fhir_adapter.settings import Settings
from fhir_adapter.web import create_app
from fhir_adapter.web.limits import RateLimit

CALLS = 150
FITTING = 3
AS_OF = "2026-11-22T07:40"
HOOK = "/cds-services/fhir-adapter-patient-view"


def serve(count: int, folder: str) -> None:
    """The service of the measured process: prints its port, then serves until it is killed."""
    server = Interactions(now=lambda: "2026-11-22T00:00:00Z", habits=Habits())
    with RunningSandbox(server) as sandbox:
        names = ",".join(_studies(count, Path(folder)))
        site = _site(count, Path(folder))
        settings = Settings(
            record_server=sandbox.base_url, study=names, site=str(site), ledger=f"{folder}/l.sqlite"
        )
        service = open_service(settings, as_of=AS_OF, unsigned_alerts=True)
        app = create_app(service, demo=True, refresh=False, rate=RateLimit(1e9, 10**9))
        config = uvicorn.Config(app, port=0, log_level="critical", access_log=False)
        made = uvicorn.Server(config)
        started = made.startup

        async def startup(sockets: Any = None) -> None:
            await started(sockets)
            print(made.servers[0].sockets[0].getsockname()[1], flush=True)

        made.startup = startup  # type: ignore[method-assign] # one method of one server
        made.run()


def _studies(count: int, folder: Path) -> list[str]:
    source = mappings_dir() / "studies" / "NCT05985863"
    names: list[str] = []
    for number in range(count):
        home = folder / f"study{number:03d}"
        home.mkdir()
        for path in ("protocol.md", "study.yaml", "criteria.yaml"):
            text = (source / path).read_text("utf-8").replace("NCT05985863", f"NCT9{number:07d}")
            if number >= FITTING:
                text = text.replace("min: 18, max: 70", f"min: {100 + number % 20}, max: 130")
            (home / path).write_text(text)
        names.append(str(home))
    return names


def _site(count: int, folder: Path) -> Path:
    text = (mappings_dir() / "sites" / "demo.toml").read_text("utf-8")
    head, _, basis = text.rpartition("[[basis]]")
    bases = [basis.replace("NCT05985863", f"NCT9{number:07d}") for number in range(count)]
    path = folder / "site.toml"
    path.write_text(head + "".join(f"[[basis]]{one}" for one in bases))
    return path


def chart(observations: int) -> dict[str, Any]:
    """A candidate with so many results, as a client prefetches it."""
    made = Chart(patient="bench", sex="male", born="1975-01-01")
    made.problem("cirrhosis", onset="2020-01-01")
    visit = made.visit("2026-11-19T08:00", kind="IMP", hepatology=True)
    for number in range(observations - 2):
        day = f"2026-0{1 + number % 9}-{1 + number % 27:02d}T09:{number % 60:02d}"
        name = ("albumin", "platelets", "alt", "ast", "creatinine")[number % 5]
        made.lab(name, str(40 + number % 30), day)
    made.lab("bilirubin", "210", "2026-11-20T09:30", visit=visit)
    made.lab("inr", "1.8", "2026-11-20T09:30", visit=visit)
    found: dict[str, Any] = {"patient": made.resources[0]}
    for key, kind in (("observation", "Observation"), ("condition", "Condition"),
                      ("encounter", "Encounter"), ("procedure", "Procedure"),
                      ("medicationRequest", "MedicationRequest"),
                      ("allergyIntolerance", "AllergyIntolerance"),
                      ("researchSubject", "ResearchSubject"), ("consent", "Consent"),
                      ("diagnosticReport", "DiagnosticReport"),
                      ("medicationStatement", "MedicationStatement"),
                      ("medicationAdministration", "MedicationAdministration"),
                      ("medicationDispense", "MedicationDispense"),
                      ("serviceRequest", "ServiceRequest"),
                      ("documentReference", "DocumentReference"),
                      ("questionnaireResponse", "QuestionnaireResponse")):  # fmt: skip
        own = [{"resource": one} for one in made.resources if one["resourceType"] == kind]
        found[key] = {"resourceType": "Bundle", "type": "searchset", "entry": own}
    return found


def _body(prefetch: dict[str, Any]) -> bytes:
    context = {"userId": "Practitioner/1", "patientId": "bench", "encounterId": uuid4().hex}
    call = {"hook": "patient-view", "hookInstance": str(uuid4()), "context": context}
    return encode({**call, "prefetch": prefetch})


def main() -> str:
    """The table, and the resident memory of the idle service."""
    figures: list[Figure] = []
    memory = ""
    for count in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks.hook", str(count), folder]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                try:
                    assert process.stdout is not None
                    base = f"http://127.0.0.1:{int(process.stdout.readline())}"
                    if count == 1:
                        time.sleep(float(os.environ.get("IDLE_SECONDS", "60")))
                        memory = _idle(process.pid)
                    figures += _measured(base, count)
                finally:
                    process.kill()
    return table(f"Hook, {CALLS} calls each, one client", figures) + f"\n\n{memory}"


def _measured(base: str, count: int) -> list[Figure]:
    session = requests.Session()
    found = [timed(f"/health, {count} studies (yardstick)", range(CALLS),
                   lambda _: session.get(f"{base}/health"))]  # fmt: skip
    for observations in (50, 500):
        prefetch = chart(observations)
        bodies = [_body(prefetch) for _ in range(CALLS)]
        cards = session.post(f"{base}{HOOK}", data=bodies[0]).json()["cards"]
        assert len(cards) == 1, json.dumps(cards)[:200]
        target = {(100, 500): "25", (100, 50): "8"}.get((count, observations), "")
        one = timed(f"{count} studies, {observations} Observations ({len(bodies[0]) // 1024} KiB)",
                    bodies, lambda body: session.post(f"{base}{HOOK}", data=body),
                    target=target)  # fmt: skip
        found.append(one)
    return found


def _idle(pid: int) -> str:
    processes = tree(pid)
    total = sum(rss(one) for one in processes)
    return (
        f"Idle, one study: {total:.0f} MiB resident in {len(processes)} process(es) (target 300)."
    )


def tree(pid: int) -> list[int]:
    """A process and all that it started, and those in turn."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [pid, *(one for child in children for one in tree(child))]


def rss(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
