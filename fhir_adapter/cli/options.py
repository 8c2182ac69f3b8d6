"""Options that commands share: one name, one help text, everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Site = Annotated[
    str | None,
    typer.Option(help="Site file: a name in mappings/sites, or a path ending in .toml."),
]
Study = Annotated[
    str | None, typer.Option(help="Study: a name in mappings/studies, a folder, or an identifier.")
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
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Moment of the question: 2026-11-22 (the end of that day), 2026-11-22T07:40, "
        "last-fact, or last-fact:VALUE-SET. Default: now.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no remarks.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file. Default: fhir-adapter.toml here.")
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
Patients = Annotated[
    list[str] | None,
    typer.Option("--patient", help="Only this patient (logical id); may be repeated."),
]
Write = Annotated[
    bool,
    typer.Option("--write", help="Write proposals. Without it nothing is written (dry run)."),
]
