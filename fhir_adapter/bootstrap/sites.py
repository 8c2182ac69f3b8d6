"""A sandbox over a folder, and the site of the demo."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.bootstrap.clients import record_client
from fhir_adapter.bootstrap.judging import SystemClock, package_from_folder, study_folder
from fhir_adapter.bootstrap.studies import publish
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.fhir.wire import encode
from fhir_adapter.ports import Clock
from fhir_adapter.sandbox import Habits, Interactions, Loaded, RunningSandbox, generator, load, save
from fhir_adapter.settings import Settings

DEMO_AS_OF = "2026-11-22T07:40"
_UNFINISHED = "unfinished"
"""File in the demo's folder for as long as a run has not saved what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSite:
    """A running sandbox with the teaching cohort in it."""

    settings: Settings
    resources: int
    as_of: str
    server: Interactions

    def first_subject(self, patient: str) -> str:
        """A patient's ResearchSubject as JSON text; empty where there is none."""
        for resource in self.server.store.all_of("ResearchSubject"):
            if resource["individual"]["reference"] == f"Patient/{patient}":
                return encode(resource).decode()
        return ""


@contextmanager
def demo_site(
    keep: Path, *, fresh: bool, site: str | None = None, as_of: str | None = None
) -> Generator[DemoSite]:
    """The sandbox for the demo; what is written to it is kept in a folder for the next run.

    A run that was killed kept its ledger and not its server: the next one forgets both.
    """
    clock = SystemClock()
    keep.mkdir(parents=True, exist_ok=True)
    running_still = keep / _UNFINISHED
    kept = any(keep.glob("*.ndjson"))
    if fresh or running_still.exists() or not kept:
        for path in (*keep.glob("*.ndjson"), *keep.glob("ledger.sqlite*")):
            path.unlink()
    server = sandbox_server(clock)
    first = not any(keep.glob("*.ndjson"))
    study = package_from_folder(Settings().study)
    loaded = load(server.store, study_folder(study.study.id) / "cohort" if first else keep)
    with RunningSandbox(server) as running:
        settings = Settings(
            site=site or Settings().site,
            record_server=running.base_url,
            site_key="the demo's key is no secret",
            ledger=str(keep / "ledger.sqlite"),
        )
        publish(study, record_client(settings), clock, write=True)
        running_still.touch()
        try:
            yield DemoSite(
                settings=settings,
                resources=loaded.resources,
                as_of=as_of or DEMO_AS_OF,
                server=server,
            )
        finally:
            save(server.store, keep)
            running_still.unlink(missing_ok=True)


def sandbox_server(clock: Clock, habits: Habits | None = None) -> Interactions:
    """An empty sandbox whose lastUpdated comes from the clock."""
    return Interactions(
        now=lambda: clock.now().isoformat(timespec="milliseconds"), habits=habits or Habits()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRun:
    """A sandbox that serves until it is stopped."""

    base_url: str
    loaded: int
    issues: tuple[str, ...]
    running: RunningSandbox

    def wait(self) -> None:
        """Until somebody stops it."""
        self.running.join()


@contextmanager
def sandbox(folder: Path | None, *, port: int, keep: Path | None) -> Generator[SandboxRun]:
    """The sandbox over a folder; with ``keep`` everything is saved at the end."""
    server = sandbox_server(SystemClock())
    source = keep if keep is not None and any(keep.glob("*.ndjson")) else folder
    loaded = load(server.store, source) if source is not None else Loaded(resources=0, issues=())
    with RunningSandbox(server, port=port) as running:
        try:
            yield SandboxRun(
                base_url=running.base_url,
                loaded=loaded.resources,
                issues=loaded.issues,
                running=running,
            )
        finally:
            if keep is not None:
                save(server.store, keep)


def generate(n: int, folder: Path, *, seed: int) -> Iterator[int]:
    """Synthetic patients as NDJSON; the number written so far after each."""
    if folder.is_dir() and any(folder.iterdir()):
        raise SettingInvalid(
            "the folder for generated patients is not empty", remedy="Name a new one with --out."
        )
    return generator.write(n, folder, seed=seed)
