"""The command line as a whole: which command lives where."""

from __future__ import annotations

import typer

from fhir_adapter import __version__
from fhir_adapter.cli import cohort, demo, judging, server, study
from fhir_adapter.cli import settings as settings_command

app = typer.Typer(
    name="fhir-adapter",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Pre-screen a hospital's FHIR records against a clinical trial: for every patient, "
    "criterion by criterion, *fits, against, open (and why), or a person must judge*, with the "
    "evidence.\n\nStart with `fhir-adapter demo`. Nothing is ever written without `--write`.",
    epilog="Exit status: 0 done, 1 a check found something, 2 usage or settings, 3 server, "
    "4 study or mapping, 5 our mistake.",
)


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """What stands before every command."""


app.command("demo")(demo.demo)
app.command("screen")(judging.screen)
app.command("explain")(judging.explain)
app.command("worklist")(judging.worklist)
app.add_typer(study.app, name="study", help="Check, build, publish and show a study.")
app.add_typer(cohort.app, name="cohort", help="Reports over many records.")
app.add_typer(server.app, name="server", help="A small FHIR server, and a look at a real one.")
app.command("settings")(settings_command.settings)


def main() -> None:
    """Entry point of the `fhir-adapter` command."""
    app()
