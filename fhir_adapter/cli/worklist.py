"""`worklist`: who to look at today."""

from __future__ import annotations

from typing import Annotated

import typer

from fhir_adapter.cli import options, tables
from fhir_adapter.cli.running import plainly, print_json, settings, stdout
from fhir_adapter.cli.runs import run
from fhir_adapter.present.json_form import run_json
from fhir_adapter.present.tables import worklist_csv
from fhir_adapter.present.worklist import worklist as worklist_of

app: typer.Typer = typer.Typer()


@app.command()
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
        study_of, zone = found.bench.package.study, found.bench.zone
        print_json(run_json(decisions, found.failed, study_of, zone, issues=found.damage.issues))
    else:
        stdout().print(tables.worklist_table(listed))
