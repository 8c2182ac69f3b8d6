"""A run over some records, for every command that judges more than one patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.people import people
from fhir_adapter.cli import tables
from fhir_adapter.cli.running import log, progress, stderr_console, stdout
from fhir_adapter.errors import AdapterError, RecordFault
from fhir_adapter.model.decision import Decision
from fhir_adapter.present.sentences import damage_sentence
from fhir_adapter.present.words import DISCLAIMER
from fhir_adapter.present.worklist import outcome_counts
from fhir_adapter.present.worklist import worklist as worklist_of
from fhir_adapter.screening import AsOf, Screened, screen_everyone
from fhir_adapter.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over some records: everyone is in ``screened``, whatever happened."""

    bench: bootstrap.Bench
    as_of: AsOf
    screened: tuple[Screened, ...]
    damage: bootstrap.Damage

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What could be judged."""
        return tuple(one.decision for one in self.screened if one.decision is not None)

    @property
    def failed(self) -> tuple[tuple[str, AdapterError], ...]:
        """What could not, with the reason."""
        return tuple((one.patient, one.error) for one in self.screened if one.error is not None)

    @property
    def worked_on(self) -> frozenset[str]:
        """Patients with a person's status in this study."""
        return frozenset(one.patient for one in self.screened if one.worked_on)


def run(
    in_force: Settings,
    folder: Path | None,
    *,
    as_of: str | None,
    patients: Sequence[str] | None,
    quiet: bool,
) -> Run:
    """Judge the patients of a folder or server."""
    log("run-started", study=in_force.study, site=in_force.site, server=folder is None)
    with people(in_force) as known:
        bench = bootstrap.bench(in_force, answers=known.answers, refusals=known.refusals)
        source = bootstrap.record_source(in_force, folder, bench.mappings)
        moment = bootstrap.parse_as_of(as_of, bench.zone, bench.clock)
        begun = bench.clock.now()
        wanted = list(patients) if patients else list(source.patients())
        damage = _said_aloud(bootstrap.damage_of(source), found=len(wanted))
        found = screen_everyone(bench.screener, source, moment, wanted)
        seen = tuple(progress(found, text="screening", total=len(wanted), quiet=quiet))
    made = Run(bench=bench, as_of=moment, screened=seen, damage=damage)
    _log_end(made, seconds=(bench.clock.now() - begun).total_seconds())
    return made


def _said_aloud(damage: bootstrap.Damage, *, found: int) -> bootstrap.Damage:
    """Nobody is lost in silence: --quiet and --json keep stdout clean, not people ignorant."""
    said = damage_sentence(damage.issues, damage.places)
    if said and not found:
        raise RecordFault("no patient could be read", where="record folder", remedy=said)
    if said:
        log("records-damaged", **damage.issues)
        stderr_console().print(f"[yellow]{escape(said)}[/]", soft_wrap=True)
    return damage


def _log_end(made: Run, *, seconds: float) -> None:
    for _, error in made.failed:
        log("patient-failed", code=error.code)
    log(
        "run-ended",
        patients=len(made.screened),
        failed=len(made.failed),
        requests=sum(one.requests for one in made.screened),
        seconds=round(seconds, 3),
        **{outcome.value: count for outcome, count in outcome_counts(made.decisions)},
    )


def show(found: Run, *, everyone: bool = False) -> None:
    """Counts, then the list."""
    console = stdout()
    listed = worklist_of(found.decisions, failed=len(found.failed), worked_on=found.worked_on)
    console.print(tables.counts_table(found.decisions, len(found.failed)))
    console.print(tables.worklist_table(listed, everyone=everyone))
    for patient, error in found.failed:
        console.print(f"[red]{escape(patient)} could not be judged[/]: {escape(str(error))}")
    if not found.bench.screener.basis:
        console.print(
            "[yellow]The site file records no basis for this study that is in force today[/]: "
            "nobody is screened. Add a [[basis]] with approval and dates to the site file.".replace(
                "[[basis]]", escape("[[basis]]")
            )
        )
    console.print(f"[dim]{DISCLAIMER}[/]")
