"""Options that some commands share; those of every command stand in everywhere.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Study = Annotated[
    str | None, typer.Option(help="Study: a name in mappings/studies, a folder, or an identifier.")
]
Studies = Annotated[
    str | None,
    typer.Option(
        "--study", help="As in `screen`; several, with commas between them, are judged in one pass."
    ),
]
Server = Annotated[
    str | None, typer.Option("--server", help="Base URL of the FHIR server to read records from.")
]
StudyServer = Annotated[
    str | None,
    typer.Option("--study-server", help="Read the study from this FHIR server, not from a folder."),
]
WriteServer = Annotated[
    str | None,
    typer.Option(
        "--write-server", help="Write proposals to this server, not to the record server."
    ),
]
Engine = Annotated[
    str | None, typer.Option("--engine", help="What runs the statement: duckdb, or spark.")
]
SparkRemote = Annotated[
    str | None,
    typer.Option(
        "--spark-remote", help="Where Spark is: sc://HOST:PORT, or local[*] in this process."
    ),
]
LogJson = Annotated[bool, typer.Option("--log-json", help="Logs on stderr as JSON lines.")]
Folder = Annotated[
    Path | None,
    typer.Argument(
        help="Folder or file with records (Bulk Data NDJSON, Bundles, an IPS document). "
        "Without it records come from the server.",
        show_default=False,
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="The worklist as CSV without identifiers.")]
Identifiers = Annotated[bool, typer.Option("--identifiers", help="With --csv: patient ids too.")]
Patients = Annotated[
    list[str] | None,
    typer.Option("--patient", help="Only this patient (logical id); may be repeated."),
]
Write = Annotated[
    bool,
    typer.Option("--write", help="Write proposals. Without it nothing is written (dry run)."),
]
