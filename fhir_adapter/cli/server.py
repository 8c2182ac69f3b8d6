"""`server sandbox | doctor`: a small FHIR server to try things on, and a look at a real one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fhir_adapter import bootstrap, publishing
from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import print_json, stdout
from fhir_adapter.cli.tables import print_table

if TYPE_CHECKING:
    from fhir_adapter.bootstrap.sites import SandboxRun
    from fhir_adapter.bootstrap.studies import Findings

app: typer.Typer = typer.Typer(
    no_args_is_help=True, help="A small FHIR server, and a look at a real one."
)


@app.command()
@everywhere
def sandbox(
    folder: Annotated[
        Path | None, typer.Argument(help="Records to load (NDJSON, Bundles). Default: none.")
    ] = None,
    *,
    port: Annotated[
        int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="Folder in which everything is kept at the end.")
    ] = None,
    common: Everywhere,
) -> None:
    """Serve a folder as a FHIR R4 server on 127.0.0.1 until Ctrl-C. For trying things, no more."""
    # each command waits for its own libraries only
    from fhir_adapter.bootstrap import sites  # noqa: PLC0415 - as said above

    with sites.sandbox(folder, port=port, keep=keep) as running, _stopped_alike():
        try:
            _say(running, common)
            running.wait()
        except KeyboardInterrupt:
            if not common.as_json:
                stdout().print("Stopped.")


@contextmanager
def _stopped_alike() -> Generator[None]:
    """SIGTERM is Ctrl-C: whoever stops a service in the background keeps what was written."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(running: SandboxRun, common: Everywhere) -> None:
    if common.as_json:
        found = {"url": running.base_url, "resources": running.loaded}
        print_json({**found, "issues": list(running.issues)})
        sys.stdout.flush()
        return
    console = stdout()
    console.print(f"FHIR R4 on {running.base_url} ({running.loaded} resources). Ctrl-C ends it.")
    for issue in running.issues:
        console.print(f"[yellow]{escape(issue)}[/]")


@app.command()
@everywhere
def doctor(
    url: Annotated[str | None, typer.Argument(help="Base URL of the server.")] = None,
    *,
    study: options.Study = None,
    study_server: options.StudyServer = None,
    patient: Annotated[
        str, typer.Option(help="A patient who has data of every type: makes proof possible.")
    ] = "",
    seconds: Annotated[
        int, typer.Option(help="About how long to go on with a slow server.", min=1)
    ] = 120,
    common: Everywhere,
) -> None:
    """Say what a server can and cannot do for this study, and the least SMART scopes it needs.

    Only reads and searches are sent. Exit 1 where something failed.
    """
    from fhir_adapter.bootstrap import studies  # noqa: PLC0415 - as above

    in_force = common.settings(record_server=url, study=study, study_server=study_server)
    package = bootstrap.study_package(in_force)
    found = studies.examine(
        in_force, publishing.needs(package), known_patient=patient, seconds=seconds
    )
    if common.as_json:
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
        print_table(stdout(), _table(found))
    if any(finding.ok.value == "failed" for finding in found):
        raise typer.Exit(1)


_COLOURS = {"passed": "green", "failed": "red", "unproved": "yellow"}


def _table(found: Findings) -> Table:
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
