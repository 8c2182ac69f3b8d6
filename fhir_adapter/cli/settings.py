"""`settings`: what is in force, and where each value comes from."""

from __future__ import annotations

import typer
from rich.markup import escape
from rich.table import Table

from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import print_json, stdout
from fhir_adapter.cli.tables import print_table

app: typer.Typer = typer.Typer()


@app.command()
@everywhere
def settings(
    *,
    study: options.Study = None,
    server: options.Server = None,
    common: Everywhere,
) -> None:
    """Print every setting in force and where it comes from; secrets are never shown.

    Order: command line, environment FHIR_ADAPTER_*, fhir-adapter.toml, default.
    """
    found = common.loaded(study=study, record_server=server).in_force()
    if common.as_json:
        print_json([entry.as_json() for entry in found])
        return
    table = Table("setting", "value", "from", "what it is")
    shown = [entry for entry in found if not (entry.of_connection and entry.origin == "default")]
    for entry in shown:
        table.add_row(
            *(escape(text) for text in (entry.name, entry.value, entry.origin, entry.help))
        )
    print_table(stdout(), table)
    if len(shown) < len(found) and not common.quiet:
        stdout().print(
            f"[dim]{len(found) - len(shown)} settings of how the servers are reached stand at "
            "their defaults; --json lists them.[/]"
        )
