"""units.toml: what a reported unit means for one analyte, as an exact ratio."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import msgspec
from msgspec import Meta

from fhir_adapter.errors import TerminologyInvalid
from fhir_adapter.model.code import LOINC, Code
from fhir_adapter.model.mapping import Analyte, UnitRow, UnitTable
from fhir_adapter.model.vocabulary import LOCAL_FINDINGS
from fhir_adapter.terminology.reading import Table, read_table, shown

Exact = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]
Offset = Annotated[str, Meta(pattern=r"^-?\d+(\.\d+)?$")]


class _Unit(Table, frozen=True, kw_only=True):
    unit: Annotated[str, Meta(min_length=1)]
    spellings: tuple[str, ...] = ()
    numerator: Exact = "1"
    denominator: Exact = "1"
    offset: Offset = "0"


class _Analyte(Table, frozen=True, kw_only=True):
    name: str
    canonical: str
    source: Annotated[str, Meta(min_length=1)]
    loinc: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    scale: tuple[Exact, Exact] | None = None
    unit: Annotated[tuple[_Unit, ...], Meta(min_length=1)]


class _UnitsFile(Table, frozen=True, kw_only=True):
    format: Literal[1]
    analyte: tuple[_Analyte, ...] = msgspec.field(default=())


def load_units(path: Path) -> UnitTable:
    """The unit table of ``units.toml``; TerminologyInvalid when two rows claim one spelling."""
    found = read_table(path, _UnitsFile, (_Analyte, _Unit), TerminologyInvalid)
    table = UnitTable(analytes=tuple(_analyte(entry) for entry in found.analyte))
    for analyte in table.analytes:
        _check(analyte, path)
    _check_codes(table, path)
    return table


def _analyte(entry: _Analyte) -> Analyte:
    loinc = tuple(Code(LOINC, code) for code in entry.loinc)
    local = tuple(Code(LOCAL_FINDINGS, code) for code in entry.local)
    return Analyte(
        name=entry.name,
        canonical=entry.canonical,
        codes=loinc + local,
        rows=tuple(_row(unit) for unit in entry.unit),
        source=entry.source,
        scale=None if entry.scale is None else _scale(*entry.scale),
    )


def _scale(lowest: str, highest: str) -> tuple[Decimal, Decimal]:
    return Decimal(lowest), Decimal(highest)


def _row(entry: _Unit) -> UnitRow:
    return UnitRow(
        unit=entry.unit,
        spellings=entry.spellings,
        numerator=Decimal(entry.numerator),
        denominator=Decimal(entry.denominator),
        offset=Decimal(entry.offset),
    )


def _check(analyte: Analyte, path: Path) -> None:
    texts = [text for row in analyte.rows for text in (row.unit, *row.spellings)]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        _refuse(path, analyte, f"{twice[0]!r} stands twice", "Keep one of the two.")
    if any(not row.numerator or not row.denominator for row in analyte.rows):
        _refuse(path, analyte, "a factor is zero", "State numerator and denominator above zero.")
    if analyte.scale is not None and analyte.scale[0] >= analyte.scale[1]:
        _refuse(path, analyte, "the scale has no room", "State its lowest number first.")
    if not any(row.unit == analyte.canonical and _is_plain(row) for row in analyte.rows):
        remedy = "Add a unit row for it without factor."
        _refuse(path, analyte, "the canonical unit is not listed as itself", remedy)


def _is_plain(row: UnitRow) -> bool:
    return row.numerator == row.denominator == Decimal(1) and not row.offset


def _check_codes(table: UnitTable, path: Path) -> None:
    for analyte in table.analytes:
        for code in analyte.codes:
            others = [a.name for a in table.analytes if code in a.codes and a is not analyte]
            if others:
                _refuse(path, analyte, f"{code.code} also belongs to {others[0]}", "Keep one.")


def _refuse(path: Path, analyte: Analyte, message: str, remedy: str) -> NoReturn:
    where = f"{shown(path)} at analyte {analyte.name}"
    raise TerminologyInvalid(message, where=where, remedy=remedy)
