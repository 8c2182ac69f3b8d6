"""mappings/calculators/<name>.toml: scores as data. child-pugh.toml explains the format."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from msgspec import Meta

from fhir_adapter.errors import TerminologyInvalid
from fhir_adapter.model.calculator import Calculator, CodedPoints, Item, Step, StepTable
from fhir_adapter.terminology.reading import Table, read_table, shown

Text = Annotated[str, Meta(min_length=1)]
Bound = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]


class _Step(Table, frozen=True, kw_only=True):
    points: int
    below: Bound | None = None
    at_most: Bound | None = None
    above: Bound | None = None
    at_least: Bound | None = None


class _StepTable(Table, frozen=True, kw_only=True):
    printed: Text
    unit: Text
    steps: Annotated[tuple[_Step, ...], Meta(min_length=2)]


class _Coded(Table, frozen=True, kw_only=True):
    codes: Text
    points: tuple[int, int]


class _Item(Table, frozen=True, kw_only=True):
    name: Text
    lo: int
    hi: int
    table: tuple[_StepTable, ...] = ()
    coded: tuple[_Coded, ...] = ()


class _CalculatorFile(Table, frozen=True, kw_only=True):
    format: Literal[1]
    name: Text
    version: Text
    title: Text
    source: Text
    item: Annotated[tuple[_Item, ...], Meta(min_length=1)]


def load_calculators(folder: Path) -> tuple[Calculator, ...]:
    """Every calculator of a folder, by name; TerminologyInvalid where bounds do not join."""
    return tuple(_calculator(path) for path in sorted(folder.glob("*.toml")))


def _calculator(path: Path) -> Calculator:
    inner = (_Item, _StepTable, _Step, _Coded)
    found = read_table(path, _CalculatorFile, inner, TerminologyInvalid)
    if found.name != path.stem:
        _refuse(path, "the name is not that of the file", f"Name the file {found.name}.toml.")
    return Calculator(
        name=found.name,
        version=found.version,
        title=found.title,
        source=found.source,
        items=tuple(_item(entry, path) for entry in found.item),
    )


def _item(entry: _Item, path: Path) -> Item:
    item = Item(
        name=entry.name,
        lo=entry.lo,
        hi=entry.hi,
        tables=tuple(_step_table(table, path) for table in entry.table),
        coded=tuple(
            CodedPoints(codes=line.codes, lo=line.points[0], hi=line.points[1])
            for line in entry.coded
        ),
    )
    given = [step.points for table in item.tables for step in table.steps]
    given += [points for line in item.coded for points in (line.lo, line.hi)]
    if not given or min(given) < item.lo or max(given) > item.hi:
        _refuse(path, f"points of {item.name} lie outside lo to hi", "Mend lo, hi or the points.")
    return item


def _step_table(entry: _StepTable, path: Path) -> StepTable:
    steps = tuple(_step(step, path) for step in entry.steps[:-1])
    uppers = [step.upper for step in steps if step.upper is not None]
    if uppers != sorted(set(uppers)):
        _refuse(path, f"steps of {entry.printed} do not ascend", "Order them by their bounds.")
    _check_last(entry.steps[-1], steps[-1], path)
    last = Step(upper=None, closed=False, points=entry.steps[-1].points)
    return StepTable(printed=entry.printed, unit=entry.unit, steps=(*steps, last))


def _step(entry: _Step, path: Path) -> Step:
    stated = [text for text in (entry.below, entry.at_most) if text is not None]
    if len(stated) != 1 or entry.above is not None or entry.at_least is not None:
        _refuse(path, "a step needs below or at-most", "Only the last one has above or at-least.")
    closed = entry.at_most is not None
    return Step(upper=Decimal(stated[0]), closed=closed, points=entry.points)


def _check_last(last: _Step, before: Step, path: Path) -> None:
    repeated = last.above if before.closed else last.at_least
    others = (last.below, last.at_most, last.at_least if before.closed else last.above)
    joins = repeated is not None and Decimal(repeated) == before.upper
    if not joins or any(text is not None for text in others):
        remedy = "After at-most write above, after below write at-least, with the same bound."
        _refuse(path, "the last step does not join the one before", remedy)


def _refuse(path: Path, message: str, remedy: str) -> NoReturn:
    raise TerminologyInvalid(message, where=shown(path), remedy=remedy)
