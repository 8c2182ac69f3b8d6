"""`screen`, `explain`, `worklist`: records in, explained decisions out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fhir_adapter import bootstrap
from fhir_adapter.cli import options, tables
from fhir_adapter.cli.running import (
    log_to_stderr,
    plainly,
    print_json,
    progress,
    settings,
    stderr_console,
    stdout,
)
from fhir_adapter.errors import AdapterError, SettingInvalid
from fhir_adapter.model.decision import Decision
from fhir_adapter.ports import Written
from fhir_adapter.present.json_form import decision_json, run_json
from fhir_adapter.present.rows import criterion_rows
from fhir_adapter.present.tables import worklist_csv
from fhir_adapter.present.words import DISCLAIMER
from fhir_adapter.present.worklist import worklist as worklist_of
from fhir_adapter.screening import AsOf, Screened, screen_everyone, screen_one
from fhir_adapter.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over some records: everyone is in ``screened``, whatever happened."""

    bench: bootstrap.Bench
    as_of: AsOf
    screened: tuple[Screened, ...]

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
    bench = bootstrap.bench(in_force)
    source = bootstrap.record_source(in_force, folder, bench.mappings)
    moment = bootstrap.parse_as_of(as_of, bench.mappings.site.zone, bench.clock)
    wanted = list(patients) if patients else list(source.patients())
    found = screen_everyone(bench.screener, source, moment, wanted)
    seen = tuple(progress(found, text="screening", total=len(wanted), quiet=quiet))
    return Run(bench=bench, as_of=moment, screened=seen)


@plainly
def screen(  # noqa: PLR0913 - one argument per option
    folder: options.Folder = None,
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    write_server: options.WriteServer = None,
    site: options.Site = None,
    patient: options.Patients = None,
    as_of: options.AsOf = None,
    write: options.Write = False,
    everyone: Annotated[bool, typer.Option("--all", help="List every patient.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    config: options.Config = None,
    log_json: options.LogJson = False,
) -> None:
    """Judge every patient of a folder or a FHIR server: counts, worklist, and why.

    `fhir-adapter screen records/ --as-of 2026-11-22` reads a folder;
    `fhir-adapter screen --server https://ehr.example/fhir` reads a server.
    With a server the run says what it would write; `--write` writes it.
    """
    in_force = settings(
        config,
        record_server=server,
        study=study,
        study_server=study_server,
        write_server=write_server,
        site=site,
    ).settings
    log_to_stderr(as_json=log_json, run=bootstrap.run_id())
    _refuse_nowhere(in_force, folder, write=write)
    found = run(in_force, folder, as_of=as_of, patients=patient, quiet=quiet)
    written = _write(found, in_force, folder, write=write, quiet=quiet)
    if as_json:
        body = run_json(found.decisions, found.failed, found.bench.package.study, found.bench.zone)
        print_json(body | {"written": [bootstrap.written_json(one) for one in written]})
        return
    show(found, everyone=everyone)
    _show_written(written, write=write)


def _refuse_nowhere(in_force: Settings, folder: Path | None, *, write: bool) -> None:
    if write and folder is not None and not in_force.write_server:
        raise SettingInvalid(
            "records come from a folder: there is nowhere to write to",
            remedy="Name a server with --write-server, or leave --write out.",
        )


def _write(
    found: Run, in_force: Settings, folder: Path | None, *, write: bool, quiet: bool
) -> tuple[Written, ...]:
    """Proposals for everybody, sent or only compared with what stands there."""
    if not in_force.write_server and (folder is not None or not in_force.record_server):
        return ()
    with bootstrap.writing(in_force, found.bench, write=write) as desk:
        judged = [one for one in found.screened if one.decision is not None]
        sent: Iterable[Written] = (desk.send(one) for one in judged)
        return tuple(progress(sent, text="writing", total=len(judged), quiet=quiet))


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


def _show_written(written: Sequence[Written], *, write: bool) -> None:
    if not written:
        return
    console = stdout()
    console.print(bootstrap.written_sentence(written, write=write))


@plainly
def explain(  # noqa: PLR0913 - one argument per option
    patient: Annotated[str, typer.Argument(help="Logical id of the patient.")],
    folder: options.Folder = None,
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    site: options.Site = None,
    as_of: options.AsOf = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """Say for one patient, criterion by criterion, what was found, where, and what is left to ask.

    `fhir-adapter explain 01-whole-umol records/ --as-of 2026-11-22T07:40`
    """
    in_force = settings(
        config, record_server=server, study=study, study_server=study_server, site=site
    ).settings
    bench = bootstrap.bench(in_force)
    source = bootstrap.record_source(in_force, folder, bench.mappings)
    moment = bootstrap.parse_as_of(as_of, bench.zone, bench.clock)
    one = screen_one(bench.screener, source, patient, moment)
    if one.error is not None:
        raise one.error
    assert one.decision is not None
    if as_json:
        print_json(decision_json(one.decision, bench.package.study, bench.zone))
        return
    rows = criterion_rows(one.decision, bench.package.study, bench.zone)
    tables.print_decision(stdout(), one.decision, rows)
    if not quiet and one.requests:
        stderr_console().print(f"[dim]{one.requests} requests to the record server[/]")


@plainly
def worklist(  # noqa: PLR0913 - one argument per option
    folder: options.Folder = None,
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    site: options.Site = None,
    as_of: options.AsOf = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV without identifiers.")] = False,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="With --csv: patient ids too.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    config: options.Config = None,
) -> None:
    """List who to look at today: candidates first, then those who need a few answers."""
    in_force = settings(
        config, record_server=server, study=study, study_server=study_server, site=site
    ).settings
    found = run(in_force, folder, as_of=as_of, patients=None, quiet=quiet)
    listed = worklist_of(found.decisions, failed=len(found.failed), worked_on=found.worked_on)
    if as_csv:
        typer.echo(worklist_csv(listed, identifiers=identifiers), nl=False)
    elif as_json:
        shown = [entry.patient for entry in listed.listed]
        decisions = [d for d in found.decisions if d.patient in shown]
        print_json(run_json(decisions, found.failed, found.bench.package.study, found.bench.zone))
    else:
        stdout().print(tables.worklist_table(listed))
