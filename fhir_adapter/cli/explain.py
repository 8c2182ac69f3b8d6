"""`explain`: one patient, criterion by criterion."""

from __future__ import annotations

from typing import Annotated

import typer

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.people import people
from fhir_adapter.cli import options, tables
from fhir_adapter.cli.running import plainly, print_json, settings, stderr_console, stdout
from fhir_adapter.present.json_form import decision_json
from fhir_adapter.present.rows import criterion_rows
from fhir_adapter.screening import screen_one

app: typer.Typer = typer.Typer()


@app.command()
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
    with people(in_force) as known:
        bench = bootstrap.bench(in_force, answers=known.answers, refusals=known.refusals)
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
