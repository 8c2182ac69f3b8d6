"""CSV that no spreadsheet executes; identifiers only where they are asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from fhir_adapter.present.rows import iso
from fhir_adapter.present.words import OUTCOMES
from fhir_adapter.present.worklist import Worklist, WorklistEntry

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
WORKLIST_COLUMNS = (
    "place",
    "outcome",
    "sentence",
    "fits",
    "assumed",
    "open",
    "against",
    "next question",
    "next date",
    "not proposed",
    "set by a person",
)


def safe_cell(text: str) -> str:
    """A cell that a spreadsheet takes for text.

    >>> safe_cell("=1+1")
    "'=1+1"
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """RFC 4180 with safe cells."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([safe_cell(str(cell)) for cell in row])
    return out.getvalue()


def worklist_csv(found: Worklist, *, identifiers: bool = False) -> str:
    """The default list; patient ids only with ``identifiers``."""
    columns = (*WORKLIST_COLUMNS, "patient") if identifiers else WORKLIST_COLUMNS
    return to_csv(columns, (_cells(entry, identifiers=identifiers) for entry in found.listed))


def worklists_csv(found: Sequence[tuple[str, Worklist]], *, identifiers: bool = False) -> str:
    """The default lists of some studies; of several, with the study in the first column."""
    if len(found) == 1:
        return worklist_csv(found[0][1], identifiers=identifiers)
    columns = ("study", *WORKLIST_COLUMNS, *(("patient",) if identifiers else ()))
    rows = (
        (study, *_cells(entry, identifiers=identifiers))
        for study, listed in found
        for entry in listed.listed
    )
    return to_csv(columns, rows)


def _cells(entry: WorklistEntry, *, identifiers: bool) -> tuple[object, ...]:
    cells = (
        entry.place,
        OUTCOMES[entry.outcome],
        entry.sentence,
        entry.fits,
        entry.assumed,
        entry.open,
        entry.against,
        entry.next_question,
        iso(entry.next_date),
        entry.not_proposed,
        entry.person_set,
    )
    return (*cells, entry.patient) if identifiers else cells
