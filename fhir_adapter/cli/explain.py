"""`explain`: one patient, criterion by criterion."""

from __future__ import annotations

from typing import Annotated

import typer

from fhir_adapter import bootstrap
from fhir_adapter.bootstrap.people import people
from fhir_adapter.cli import options, tables
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import print_json, stderr_console, stdout
from fhir_adapter.cli.runs import refuse_two_sources
from fhir_adapter.present.json_form import decision_json
from fhir_adapter.present.rows import criterion_rows
from fhir_adapter.screening import screen_one

app: typer.Typer = typer.Typer()


@app.command()
@everywhere
def explain(
    patient: Annotated[str, typer.Argument(help="Logical id of the patient.")],
    folder: options.Folder = None,
    *,
    server: options.Server = None,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    common: Everywhere,
) -> None:
    """Say for one patient, criterion by criterion, what was found, where, and what is left to ask.

    `fhir-adapter explain 01-whole-umol records/ --as-of 2026-11-22T07:40`
    """
    refuse_two_sources(folder, server)
    in_force = common.settings(record_server=server, study=study, study_server=study_server)
    with people(in_force) as known:
        bench = bootstrap.bench(in_force, answers=known.answers, refusals=known.refusals)
        source = bootstrap.record_source(in_force, folder, bench.mappings)
        moment = bench.moment(common.as_of)
        one = screen_one(bench.screener, source, patient, moment)
    if one.error is not None:
        raise one.error
    assert one.decision is not None
    if common.as_json:
        print_json(decision_json(one.decision, bench.package.study, bench.zone))
        return
    rows = criterion_rows(one.decision, bench.package.study, bench.zone)
    tables.print_decision(stdout(), one.decision, rows)
    if not common.quiet and one.requests:
        stderr_console().print(f"[dim]{one.requests} requests to the record server[/]")
