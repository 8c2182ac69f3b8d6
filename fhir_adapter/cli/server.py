"""`server sandbox | doctor`: a small FHIR server to try things on, and a look at a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fhir_adapter.cli.doctor import doctor
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import print_json, stdout, stopped_alike

if TYPE_CHECKING:
    from fhir_adapter.bootstrap.sites import SandboxRun

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

    with sites.sandbox(folder, port=port, keep=keep) as running, stopped_alike():
        try:
            _say(running, common)
            running.wait()
        except KeyboardInterrupt:
            if not common.as_json:
                stdout().print("Stopped.")


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


app.command()(everywhere(doctor))
