"""`cohort load`, `cohort report` before a study goes live, `cohort generate` to try things out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fhir_adapter.cli import outputs
from fhir_adapter.cli.cohort_load import load_command
from fhir_adapter.cli.cohort_report import report_command
from fhir_adapter.cli.cohort_screen import screen_command, sql_command
from fhir_adapter.cli.everywhere import Everywhere, everywhere
from fhir_adapter.cli.running import (
    print_json,
    progress,
    stdout,
)

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    help="Everyone in this hospital: fact tables, answers, reports; and synthetic records.",
)


app.command("load")(everywhere(load_command))
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
    with outputs.told("--out"):
        for _ in progress(written, text="writing", total=patients, quiet=common.quiet):
            pass
    if common.as_json:
        print_json({"folder": str(out), "patients": patients, "seed": seed})
        return
    if common.quiet:
        return
    console = stdout()
    console.print(f"{patients} patients in {escape(str(out))}")
    folder, as_of = escape(str(out)), f"--as-of {sites.DEMO_AS_OF}"
    console.print(f"Try: fhir-adapter screen {folder} {as_of}")
    console.print(
        f" or: fhir-adapter cohort load {folder} --store tables, "
        f"then fhir-adapter cohort screen tables {as_of}",
        soft_wrap=True,
    )
