"""The command line as a whole: which command lives where. A command's file loads when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command, get_group

from fhir_adapter.version import __version__

COMMANDS = {
    "demo": "Screen the bundled teaching patients for the bundled trial, and write the proposals.",
    "screen": "Judge every patient of a folder or a FHIR server: counts, worklist, and why.",
    "explain": "Say for one patient, criterion by criterion, what was found, where, and what is "
    "left to ask.",
    "worklist": "List who to look at today: candidates first, then those who need a few answers.",
    "serve": "Serve the worklist, the CDS hook and the FHIR operations over one record server.",
    "watch": "Follow a record server: whoever may have changed is read again, judged and kept up "
    "to date.",
    "study": "Check, build, publish and show a study.",
    "cohort": "Everyone in this hospital: fact tables, answers, reports; and synthetic records.",
    "server": "A small FHIR server, and a look at a real one.",
    "ledger": "What the adapter remembers: state, replay, repair, retention.",
    "settings": "Print every setting in force and where it comes from; secrets are never shown.",
}
"""Each is a file of that name beside this one, in the order of help, with its first sentence."""
GROUPS = ("study", "cohort", "server", "ledger")
"""Those with commands of their own."""


def _usage_as_json(error: TyperException) -> int:
    # who asks what there is does not wait for what only mistakes need
    from fhir_adapter.cli.running import fail  # noqa: PLC0415 - as said above
    from fhir_adapter.errors import SettingInvalid  # noqa: PLC0415 - as said above

    said = getattr(error, "format_message", lambda: str(error))
    message: str = said()
    try:
        fail(SettingInvalid(message, where="command line", remedy="See --help."), as_json=True)
    except typer.Exit as leave:
        return leave.exit_code


class Commands(TyperGroup):
    """The table above: one question about one patient does not wait for servers and databases."""

    _listing = False

    def main(  # noqa: PLR0913 - typer's signature
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - likewise
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 - likewise
        **extra: Any,
    ) -> Any:
        """Run; with --json a mistake on the command line is a JSON object, as any other error."""
        given = sys.argv[1:] if args is None else args
        as_json = standalone_mode and "--json" in given
        how = standalone_mode and not as_json
        try:
            status = super().main(args, prog_name, complete_var, how, windows_expand_args, **extra)
        except TyperException as error:
            if not as_json:
                raise
            status = _usage_as_json(error)
        if not as_json:
            return status
        sys.exit(status if isinstance(status, int) else 0)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of help."""
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The table is printed from this file: nobody who asks what there is waits for it all."""
        self._listing = True
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - likewise
        """The command of a name, its file loaded now; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        found = import_module(f"fhir_adapter.cli.{cmd_name}").app
        made = get_group(found) if cmd_name in GROUPS else get_command(found)
        made.name = cmd_name
        return made


app: typer.Typer = typer.Typer(
    name="fhir-adapter",
    cls=Commands,
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


@app.callback(invoke_without_command=False)
def common(
    *,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """What stands before every command."""


def main() -> None:
    """Entry point of the `fhir-adapter` command."""
    app()
