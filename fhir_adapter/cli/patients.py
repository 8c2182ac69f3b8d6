"""Patients named to a command: as an argument, on stdin (``-``), or in a file, one id a line.

What stands on a command line stays in the shell's history and can be seen in the list of
processes: whoever minds gives a file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fhir_adapter.errors import SettingInvalid

Given = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATIENT",
        help="Logical id; several are ids of one patient. `-` reads ids from stdin, one a line.",
        show_default=False,
    ),
]
PatientFile = Annotated[
    Path | None,
    typer.Option(
        "--patient-file",
        help="File with ids, one a line: they stand in no shell history.",
        show_default=False,
    ),
]
_REMEDY = "Give an id, `-` and ids on stdin, or --patient-file FILE."


def patients_of(given: list[str] | None, file: Path | None) -> list[str]:
    """The ids that were named, each once, in their order; at least one."""
    named = given or []
    if named and file is not None:
        raise SettingInvalid("patients are named twice", where="command line", remedy=_REMEDY)
    lines = _lines(file) if file is not None else _from_stdin() if named == ["-"] else named
    found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not found or "-" in found:
        raise SettingInvalid("no patient is named", where="command line", remedy=_REMEDY)
    return found


def _from_stdin() -> list[str]:
    return sys.stdin.read().splitlines()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SettingInvalid(
            "the file with patients cannot be read", where="--patient-file", remedy=_REMEDY
        ) from None
