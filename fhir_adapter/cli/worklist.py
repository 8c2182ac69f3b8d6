"""`worklist`: who to look at today."""

from __future__ import annotations

import typer

from fhir_adapter.cli import options, tables
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import print_json, stdout
from fhir_adapter.cli.runs import refuse_two_forms, refuse_two_sources, run, say_next
from fhir_adapter.present.json_form import run_json
from fhir_adapter.present.tables import worklist_csv
from fhir_adapter.present.worklist import unproved_sentence
from fhir_adapter.present.worklist import worklist as worklist_of

app: typer.Typer = typer.Typer()


@app.command()
@everywhere
def worklist(
    folder: options.Folder = None,
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    as_csv: options.Csv = False,
    identifiers: options.Identifiers = False,
    common: Everywhere,
) -> None:
    """List who to look at today: candidates first, then those who need a few answers."""
    refuse_two_sources(folder, server)
    refuse_two_forms(common, as_csv=as_csv, identifiers=identifiers)
    in_force = common.settings(record_server=server, study=study, study_server=study_server)
    found = run(in_force, folder, as_of=common.as_of, patients=None, quiet=common.quiet)
    listed = worklist_of(found.decisions, failed=len(found.failed), worked_on=found.worked_on)
    if as_csv:
        typer.echo(worklist_csv(listed, identifiers=identifiers), nl=False)
    elif common.as_json:
        shown = [entry.patient for entry in listed.listed]
        decisions = [d for d in found.decisions if d.patient in shown]
        study_of, zone = found.bench.package.study, found.bench.zone
        made = run_json(
            decisions,
            found.failed,
            study_of,
            zone,
            issues=found.damage.issues,
            not_whole=found.not_whole,
            people={one: status for one, status in found.worked_on.items() if one in shown},
        )
        print_json(made)
    else:
        tables.print_table(stdout(), tables.worklist_table(listed))
        if listed.unproved:
            stdout().print(unproved_sentence(listed), markup=False, soft_wrap=True)
        say_next(listed, total=listed.total, quiet=common.quiet)
