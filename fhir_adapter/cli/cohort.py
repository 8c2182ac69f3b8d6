"""`cohort load`, `cohort report` before a study goes live, `cohort generate` to try things out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from fhir_adapter.cli.cohort_report import report_command
from fhir_adapter.cli.cohort_screen import screen_command, sql_command
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import (
    print_json,
    progress,
    stderr_console,
    stdout,
)
from fhir_adapter.cli.runs import say_damage
from fhir_adapter.ports import LoadCounts, LoadStep

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    help="Everyone in this hospital: fact tables, answers, reports; and synthetic records.",
)


@app.command("load")
@everywhere
def load_command(
    folder: Annotated[Path, typer.Argument(help="Folder or file: Bulk Data NDJSON, Bundles.")],
    *,
    store: Annotated[Path, typer.Option(help="Folder for the fact tables.")],
    update: Annotated[
        bool, typer.Option("--update", help="The export holds only what changed since.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes. Default: one per processor.", min=1)
    ] = None,
    common: Everywhere,
) -> None:
    """Turn a whole export into fact tables: the answers for everyone come from these.

    Without --update the export replaces what the store held. Until the end of a load the tables
    before stay as they are.
    """
    # the table libraries are loaded by the command that needs them
    from fhir_adapter.bootstrap import cohorts  # noqa: PLC0415 - as said above

    in_force = common.settings()
    steps = cohorts.load_cohort(
        in_force, folder, store, workers=workers or cohorts.cores(), update=update
    )
    counts = watched(steps, quiet=common.quiet)
    say_damage(counts.issues)
    if common.as_json:
        print_json({**asdict(counts), "issues": dict(counts.issues)})
        return
    stdout().print(
        f"{counts.patients} patients, {counts.resources} resources, {counts.facts} facts; "
        f"{counts.buckets} buckets written"
    )


def watched(steps: Generator[LoadStep, None, LoadCounts], *, quiet: bool) -> LoadCounts:
    """Run a load to its end, with a bar on stderr where somebody is looking."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = stderr_console()
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("split", total=None)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                counts: LoadCounts = end.value
                return counts
            bar.update(task, description=step.name, completed=step.done, total=step.total)


app.command("screen")(everywhere(screen_command))
app.command("report")(everywhere(report_command))
app.command("sql")(everywhere(sql_command))


@app.command("generate")
@everywhere
def generate_command(
    patients: Annotated[int, typer.Argument(help="How many patients.", min=1)],
    *,
    out: Annotated[Path, typer.Option(help="New folder for the NDJSON files.")] = Path("generated"),
    seed: Annotated[int, typer.Option(help="The same seed gives the same patients.")] = 1,
    common: Everywhere,
) -> None:
    """Write plausible synthetic patients: healthy, chronic liver disease, ACLF, COVID-like."""
    # the generator stands beside the sandbox, whose libraries only some commands wait for
    from fhir_adapter.bootstrap import sites  # noqa: PLC0415 - as said above

    written = sites.generate(patients, out, seed=seed)
    for _ in progress(written, text="writing", total=patients, quiet=common.quiet):
        pass
    if common.as_json:
        print_json({"folder": str(out), "patients": patients, "seed": seed})
        return
    if common.quiet:
        return
    console = stdout()
    console.print(f"{patients} patients in {escape(str(out))}")
    console.print(f"Try: fhir-adapter screen {escape(str(out))} --as-of {sites.DEMO_AS_OF}")
