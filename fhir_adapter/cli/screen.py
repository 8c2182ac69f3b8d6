"""`screen`: everybody judged, and proposals written where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.ledgers import make_room
from fhir_adapter.bootstrap.writing import writing
from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import (
    log_to_stderr,
    print_json,
    progress,
)
from fhir_adapter.cli.runs import Run, refuse_two_sources, run, show
from fhir_adapter.cli.written import (
    log_written,
    say_duplicates,
    say_of_list,
    say_without_key,
    show_written,
)
from fhir_adapter.errors import ServerFault, SettingInvalid
from fhir_adapter.ports import Written
from fhir_adapter.present.json_form import run_json
from fhir_adapter.settings import Settings

app: typer.Typer = typer.Typer()


@app.command()
@everywhere
def screen(  # noqa: PLR0913 - one argument per option
    folder: options.Folder = None,
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    write_server: options.WriteServer = None,
    patient: options.Patients = None,
    write: options.Write = False,
    everyone: Annotated[bool, typer.Option("--all", help="List every patient.")] = False,
    log_json: options.LogJson = False,
    common: Everywhere,
) -> None:
    """Judge every patient of a folder or a FHIR server: counts, worklist, and why.

    `fhir-adapter screen records/ --as-of 2026-11-22` reads a folder;
    `fhir-adapter screen --server https://ehr.example/fhir` reads a server.
    With a server the run says what it would write; `--write` writes it.
    """
    refuse_two_sources(folder, server)
    in_force = common.settings(
        record_server=server, study=study, study_server=study_server, write_server=write_server
    )
    log_to_stderr(as_json=log_json, run=bootstrap.run_id())
    _refuse_nowhere(in_force, folder, write=write)
    if write:
        make_room(in_force)
    found = run(in_force, folder, as_of=common.as_of, patients=patient, quiet=common.quiet)
    written = _write(found, in_force, folder, write=write, quiet=common.quiet)
    if common.as_json:
        study_of, zone = found.bench.package.study, found.bench.zone
        made = run_json(
            found.decisions,
            found.failed,
            study_of,
            zone,
            written,
            issues=found.damage.issues,
            not_whole=found.not_whole,
            people=found.worked_on,
        )
        print_json(made)
    else:
        show(found, everyone=everyone, quiet=common.quiet)
        show_written(written, write=write)
    log_written(written, write=write)
    say_duplicates(sum(len(one.duplicates) for one in written))
    say_without_key(in_force, written, write=write)
    if found.failed or any(one.error for one in written):
        raise typer.Exit(ServerFault.exit_status)


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
    with writing(in_force, found.bench, write=write) as desk:
        sent = desk.send_each(found.screened)
        written = tuple(progress(sent, text="writing", total=len(found.screened), quiet=quiet))
        say_of_list(desk.list_proposals())
    return written
