"""`server sandbox | doctor`: a small FHIR server to try things on, and a look at a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fhir_adapter import bootstrap, publishing
from fhir_adapter.bootstrap import sites, studies
from fhir_adapter.cli import options
from fhir_adapter.cli.running import plainly, print_json, settings, stdout

app: typer.Typer = typer.Typer(
    no_args_is_help=True, help="A small FHIR server, and a look at a real one."
)


@app.command()
@plainly
def sandbox(
    folder: Annotated[
        Path | None, typer.Argument(help="Records to load (NDJSON, Bundles). Default: none.")
    ] = None,
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="Folder in which everything is kept at the end.")
    ] = None,
) -> None:
    """Serve a folder as a FHIR R4 server on 127.0.0.1 until Ctrl-C. For trying things, no more."""
    console = stdout()
    with sites.sandbox(folder, port=port, keep=keep) as running:
        console.print(
            f"FHIR R4 on {running.base_url} ({running.loaded} resources). Ctrl-C ends it."
        )
        for issue in running.issues:
            console.print(f"[yellow]{escape(issue)}[/]")
        try:
            running.wait()
        except KeyboardInterrupt:
            console.print("Stopped.")


@app.command()
@plainly
def doctor(
    url: Annotated[str | None, typer.Argument(help="Base URL of the server.")] = None,
    *,
    study: options.Study = None,
    patient: Annotated[
        str, typer.Option(help="A patient who has data of every type: makes proof possible.")
    ] = "",
    as_json: options.Json = False,
    config: options.Config = None,
) -> None:
    """Say what a server can and cannot do for this study, and the least SMART scopes it needs.

    Only reads and searches are sent. Exit 1 where something failed.
    """
    in_force = settings(config, record_server=url, study=study).settings
    package = bootstrap.package_from_folder(in_force.study)
    found = studies.examine(in_force, publishing.needs(package), known_patient=patient)
    if as_json:
        print_json(
            [
                {
                    "check": finding.check,
                    "type": finding.resource_type,
                    "result": finding.ok.value,
                    "code": finding.code,
                    "remedy": finding.remedy,
                }
                for finding in found
            ]
        )
    else:
        stdout().print(_table(found))
    if any(finding.ok.value == "failed" for finding in found):
        raise typer.Exit(1)


_COLOURS = {"passed": "green", "failed": "red", "unproved": "yellow"}


def _table(found: studies.Findings) -> Table:
    table = Table("check", "type", "result", "seen", "remedy")
    for finding in found:
        result = finding.ok.value
        table.add_row(
            finding.check,
            finding.resource_type,
            f"[{_COLOURS[result]}]{result}[/]",
            escape(finding.code),
            escape(finding.remedy),
        )
    return table
