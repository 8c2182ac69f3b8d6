"""`cohort load`: an export, in a folder or made by a server, into fact tables."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from fhir_adapter.cli import options
from fhir_adapter.cli.everywhere import Everywhere
from fhir_adapter.cli.running import print_json, stderr_console, stdout
from fhir_adapter.cli.runs import refuse_two_sources, say_damage, say_incomplete
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.ports import LoadCounts, LoadStep

if TYPE_CHECKING:
    from fhir_adapter.bootstrap.bulk import Exported, ExportStep, FromServer
    from fhir_adapter.settings import Settings

T = TypeVar("T")


def load_command(  # noqa: PLR0913 - one argument per option
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder or file: Bulk Data NDJSON, Bundles. Without it the server exports.",
            show_default=False,
        ),
    ] = None,
    *,
    store: Annotated[Path, typer.Option(help="Folder for the fact tables.")],
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Only what changed since: the folder holds it, the server is asked so."
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes. Default: one per processor.", min=1)
    ] = None,
    server: options.Server = None,
    group: Annotated[
        str | None, typer.Option(help="Server: members of this Group only (its id).")
    ] = None,
    patients: Annotated[
        bool,
        typer.Option("--patients", help="Server: Patient/$export, where it exports no more."),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without", help="Server: leave this type out; what needs it stays open. Repeatable."
        ),
    ] = None,
    download: Annotated[
        Path | None,
        typer.Option(
            help="Server: where files wait to be read. Default: `download` in the store.",
            show_default=False,
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option(help="Server: how long it may take to make the export.", min=0.001)
    ] = 24.0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Server: do not go on with an earlier run's export.")
    ] = False,
    common: Everywhere,
) -> None:
    """Turn a whole export into fact tables: the answers for everyone come from these.

    `fhir-adapter cohort load export/ --store tables` reads a folder;
    `fhir-adapter cohort load --server https://ehr.example/fhir --store tables` asks the server for
    a Bulk Data export ($export) and reads it while it downloads. A run that was stopped goes on
    where it was.

    Without --update the export replaces what the store held. Until the end of a load the tables
    before stay as they are.
    """
    # the table libraries are loaded by the command that needs them
    from fhir_adapter.bootstrap import cohorts  # noqa: PLC0415 - as said above

    refuse_two_sources(folder, server)
    in_force = common.settings(record_server=server)
    processes = workers or cohorts.cores()
    if folder is not None:
        if group or patients or without or download or fresh:
            raise SettingInvalid(
                "records come from a folder, and an option for a server's export is given",
                remedy="Leave out --group, --patients, --without, --download and --fresh.",
            )
        steps = cohorts.load_cohort(in_force, folder, store, workers=processes, update=update)
        _say(watched(steps, quiet=common.quiet), None, common)
        return
    from fhir_adapter.bootstrap.bulk import FromServer  # noqa: PLC0415 - as said above

    wanted = FromServer(
        group=(group or "").removeprefix("Group/"),
        patients=patients,
        without=tuple(without or ()),
        download=download,
        hours=hours,
        fresh=fresh,
    )
    counts, exported = _from_server(
        in_force, store, wanted, workers=processes, update=update, quiet=common.quiet
    )
    _say(counts, exported, common)


def _from_server(
    in_force: Settings,
    store: Path,
    wanted: FromServer,
    *,
    workers: int,
    update: bool,
    quiet: bool,
) -> tuple[LoadCounts, Exported]:
    from fhir_adapter.bootstrap import bulk  # noqa: PLC0415 - loaded by whom needs it

    with _bars(quiet=quiet) as bar:
        task = bar.add_task("export", total=None)

        def told(step: ExportStep) -> None:
            text = f"download {step.bytes / 1e6:.1f} MB" if step.of else f"export {step.said}"
            shown = escape(text.strip())
            bar.update(task, description=shown, completed=step.files, total=step.of or None)

        steps = bulk.load_from_server(
            in_force, store, wanted, workers=workers, update=update, told=told
        )
        try:
            return _run(steps, bar, waits=True)
        except KeyboardInterrupt:
            steps.close()
            bar.stop()
            said = _GOES_ON if bulk.is_kept(store, wanted) else _TAKEN_BACK
            stderr_console().print(said, soft_wrap=True)
            raise


_GOES_ON = "Stopped. The same command goes on with this export; with --fresh it takes it back."
_TAKEN_BACK = "Stopped. The server was told that the export is not needed any more."


def watched(steps: Generator[LoadStep, None, T], *, quiet: bool) -> T:
    """Run a load to its end, with a bar on stderr where somebody is looking."""
    with _bars(quiet=quiet) as bar:
        return _run(steps, bar)


def _bars(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = stderr_console()
    shown = console.is_terminal and not quiet
    return Progress(*columns, console=console, transient=True, disable=not shown)


def _run(steps: Generator[LoadStep, None, T], bar: Progress, *, waits: bool = False) -> T:
    """With ``waits`` the bar comes with the first step: another one shows what goes before."""
    task = bar.add_task("split", total=None, visible=not waits)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found: T = end.value
            return found
        bar.update(task, description=step.name, completed=step.done, total=step.total, visible=True)


def _say(counts: LoadCounts, exported: Exported | None, common: Everywhere) -> None:
    say_damage(counts.issues, counts.damaged, in_tables=True)
    say_incomplete(counts.incomplete, counts.patients)
    if common.as_json:
        print_json(_json(counts, exported))
        return
    console = stdout()
    if not counts.patients:
        console.print("[yellow]Nobody is in these files.[/]")
    if counts.patients < counts.before / 2:
        console.print(
            f"[yellow]The tables before held {counts.before} patients, more than twice as many.[/]"
        )
    if counts.not_retrieved:
        whys = ", ".join(f"{name} ({why})" for name, why in counts.not_retrieved.items())
        console.print(f"Not retrieved, open for everybody: {escape(whys)}", soft_wrap=True)
    if exported is not None:
        console.print(_exported_sentence(exported), soft_wrap=True)
    console.print(
        f"{counts.patients} patients, {counts.resources} resources, {counts.facts} facts; "
        f"{counts.buckets} bucket{'' if counts.buckets == 1 else 's'} written"
    )


def _exported_sentence(exported: Exported) -> str:
    went_on = ", begun by an earlier run" if exported.resumed else ""
    unsaid = "a time that the server does not say (--update cannot go on from it)"
    as_of = escape(exported.transaction_time) or unsaid
    megabytes = exported.bytes / 1e6
    return f"Export as of {as_of}{went_on}: {exported.files} files, {megabytes:.1f} MB downloaded"


def _json(counts: LoadCounts, exported: Exported | None) -> dict[str, Any]:
    found = asdict(counts)
    if exported is not None:
        found["export"] = asdict(exported)
    return found
