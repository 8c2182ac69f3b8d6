"""The feasibility report in a terminal: four tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fhir_adapter.cli.tables import STYLES
from fhir_adapter.present.feasibility import (
    OUTCOME_GROUPS,
    Count,
    Feasibility,
    Line,
    StepLine,
)
from fhir_adapter.present.words import DISCLAIMER, STOPS, UNCONFIRMED

WITHHELD = "\u2022"
_BAR = 20
_WIDE = 100
"""From here on there is room for bars and for titles beside reasons."""
_NARROW = 76
"""Below there is no room for reasons at all."""
_WHY = 30
_DIGITS = 6
_SHORTEST = 9


def number(count: Count) -> str:
    """A count, or the mark of a withheld one."""
    return WITHHELD if count is None else f"{count:,}"


def gain(count: Count) -> str:
    """A gain with its sign; nothing where there is none."""
    if count == 0:
        return ""
    return number(count) if count is None else f"+{number(count)}"


def print_report(console: Console, report: Feasibility, *, as_of: str, site: str) -> None:
    """Everything: who, the attritions, what there was to go by, what restricts, what is gained."""
    study = report.study
    console.print(
        f"[bold]Feasibility of {escape(study.id)}[/], as of {escape(as_of)}, site {escape(site)}"
    )
    console.print(_people(report))
    for name, steps in report.attritions[:-1][-1:]:  # the one asked for, else the protocol's
        console.print(_attrition(name, steps, report.judged, console.width))
    console.print(_data(report.lines, console.width))
    if report.restrictive():
        console.print(_restrictive(report.restrictive(), console.width))
    if report.gains():
        console.print(_gains(report.gains(), console.width))
    _remarks(console, report)


def _people(report: Feasibility) -> Table:
    table = Table(title="Everybody by outcome", title_justify="left", show_footer=True)
    table.add_column("outcome", footer="everyone")
    table.add_column("patients", justify="right", footer=number(report.everyone))
    for name, words in OUTCOME_GROUPS.items():
        table.add_row(words, number(report.outcomes[name]))
    for stop, count in report.stops:
        table.add_row(STOPS[stop], number(count), style="dim")
    if report.failed != 0:
        table.add_row("[red]could not be judged[/]", number(report.failed))
    return table


def _table(title: str, width: int, name: str, numbers: Mapping[str, str], more: int = 0) -> Table:
    """A table whose numbers are never cut: the names of criteria give way.

    ``numbers``: heading -> style; ``more``: what further columns take.
    """
    table = Table(title=title, title_justify="left")
    taken = sum(max(len(heading), _DIGITS) + 3 for heading in numbers) + more + 4
    table.add_column(
        name, no_wrap=True, overflow="ellipsis", max_width=max(_SHORTEST, width - taken)
    )
    for heading, style in numbers.items():
        wide = max(len(heading), _DIGITS)
        table.add_column(heading, justify="right", style=style, no_wrap=True, min_width=wide)
    return table


def _attrition(name: str, steps: Sequence[StepLine], judged: Count, width: int) -> Table:
    """Three colours that add up to everybody who was judged, after each criterion."""
    wide = width >= _WIDE
    numbers = {one: STYLES[one] for one in ("fits", "open", "against")} | {"newly": ""}
    table = _table(
        f"Attrition, {name}", width, "after criterion", numbers, more=_BAR + 3 if wide else 0
    )
    if wide:
        table.add_column("", width=_BAR, no_wrap=True)
    for step in steps:
        cells: list[str | Text] = [escape(f"{step.criterion} {step.title}")]
        cells += [number(n) for n in (step.fits, step.open, step.against)]
        cells.append("" if step.lost == 0 else number(step.lost))
        if wide:
            cells.append(_bar(step, judged))
        table.add_row(*cells)
    return table


def _bar(step: StepLine, judged: Count) -> Text:
    """The three colours as a bar; grey where they are withheld."""
    if not judged or step.against is None:
        return Text("\u2591" * _BAR, style="dim")
    out = round(_BAR * step.against / judged)
    bar = Text()
    if step.fits is None:
        bar.append("\u2591" * (_BAR - out), style="dim")
    else:
        fits = min(_BAR - out, round(_BAR * step.fits / judged))
        bar.append("\u2588" * fits, style=STYLES["fits"])
        bar.append("\u2593" * (_BAR - out - fits), style=STYLES["open"])
    return bar.append("\u2591" * out, style=STYLES["against"])


def _data(lines: Sequence[Line], width: int) -> Table:
    """Completeness and freshness: what there was to go by."""
    wide, with_reasons = width >= _WIDE, width >= _NARROW
    numbers: Mapping[str, str] = dict.fromkeys(("fits", "assumed", "against", "n/a", "open"), "")
    title = "Completeness by criterion (patients judged)"
    table = _table(title, width, "criterion", numbers, more=_WHY + 3 if wide else width)
    if with_reasons:
        table.add_column("open because", ratio=1, overflow="fold")
    else:
        table.caption = "open because: in a terminal of 80 columns, with --json or --html"
    for line in lines:
        why = [f"{reason} {number(count)}" for reason, count in line.reasons]
        if line.against_assumed != 0:
            why.append(f"(against assumed {number(line.against_assumed)})")
        counts = (line.fits, line.assumed, line.against, line.not_applicable, line.open)
        name = f"{line.criterion} {line.title}" if wide else line.criterion
        reasons = (", ".join(why),) if with_reasons else ()
        table.add_row(escape(name), *map(number, counts), *reasons)
    return table


def _restrictive(lines: Sequence[Line], width: int) -> Table:
    numbers = {"against": STYLES["against"], "sole reason": ""}
    table = _table("Most restrictive", width, "criterion", numbers)
    for line in lines:
        name = escape(f"{line.criterion} {line.title}")
        table.add_row(name, number(line.against_total), number(line.sole))
    return table


def _gains(lines: Sequence[Line], width: int) -> Table:
    numbers = {"candidates": STYLES["fits"], "needs data": STYLES["open"], "settled": ""}
    table = _table("If one criterion were set aside: new", width, "criterion", numbers)
    for line in lines:
        counts = (line.to_candidate, line.to_needs_data, line.settled)
        table.add_row(escape(f"{line.criterion} {line.title}"), *map(gain, counts))
    table.caption = "settled: needs data for this criterion alone, and would be a candidate"
    table.caption_justify = "left"
    return table


def _remarks(console: Console, report: Feasibility) -> None:
    if report.is_withholding:
        console.print(
            f"{WITHHELD} withheld: fewer than {report.min_cell} people, or a count from which such "
            "a one could be worked out. Who may see these records anyway adds --min-cell 1."
        )
    if report.issues:
        quality = ", ".join(f"{code} {number(count)}" for code, count in report.issues)
        console.print(f"Data quality (people whose record has it): {quality}")
    if not report.signed:
        console.print(f"[dim]Some counts rest on a {UNCONFIRMED}.[/]")
    console.print(f"[dim]{DISCLAIMER}[/]")
