"""The feasibility report in a terminal: four tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

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


def number(count: Count) -> str:
    """A count, or the mark of a withheld one."""
    return WITHHELD if count is None else f"{count:,}"


def print_report(console: Console, report: Feasibility, *, as_of: str, site: str) -> None:
    """Everything: who, the attritions, what there was to go by, what restricts, what is gained."""
    study = report.study
    console.print(
        f"[bold]Feasibility of {escape(study.id)}[/], as of {escape(as_of)}, site {escape(site)}"
    )
    console.print(_people(report))
    for name, steps in report.attritions[:-1][-1:]:  # the one asked for, else the protocol's
        console.print(_attrition(name, steps, report.judged, wide=console.width >= _WIDE))
    console.print(_data(report.lines))
    if report.restrictive():
        console.print(_restrictive(report.restrictive()))
    if report.gains():
        console.print(_gains(report.gains()))
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


def _attrition(name: str, steps: Sequence[StepLine], judged: Count, *, wide: bool) -> Table:
    """Three colours that add up to everybody who was judged, after each criterion."""
    table = Table(title=f"Attrition, {name}", title_justify="left")
    table.add_column("after criterion", ratio=1, no_wrap=True, overflow="ellipsis")
    for column, style in (("fits", "fits"), ("open", "open"), ("against", "against")):
        table.add_column(column, justify="right", style=STYLES[style])
    table.add_column("newly", justify="right")
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


def _data(lines: Sequence[Line]) -> Table:
    """Completeness and freshness: what there was to go by."""
    table = Table(title="Completeness by criterion (patients judged)", title_justify="left")
    table.add_column("criterion", no_wrap=True, overflow="ellipsis", ratio=2)
    for name in ("fits", "assumed", "against", "n/a", "open"):
        table.add_column(name, justify="right")
    table.add_column("open because", ratio=3)
    for line in lines:
        why = ", ".join(f"{reason} {number(count)}" for reason, count in line.reasons)
        against = number(line.against)
        if line.against_assumed != 0:
            against += f" + {number(line.against_assumed)} assumed"
        table.add_row(
            escape(f"{line.criterion} {line.title}"),
            number(line.fits),
            number(line.assumed),
            against,
            number(line.not_applicable),
            number(line.open),
            why,
        )
    return table


def _restrictive(lines: Sequence[Line]) -> Table:
    table = Table(title="Most restrictive", title_justify="left")
    table.add_column("criterion", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("against", justify="right", style=STYLES["against"])
    table.add_column("sole reason", justify="right")
    for line in lines:
        name = escape(f"{line.criterion} {line.title}")
        table.add_row(name, number(line.against_total), number(line.sole))
    return table


def _gains(lines: Sequence[Line]) -> Table:
    table = Table(title="If one criterion were set aside", title_justify="left")
    table.add_column("criterion", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("new candidates", "new needs-data", "needs-data to candidate"):
        table.add_column(name, justify="right")
    for line in lines:
        counts = (line.to_candidate, line.to_needs_data, line.settled)
        signed = ("" if count == 0 else f"+{number(count)}" for count in counts)
        table.add_row(escape(f"{line.criterion} {line.title}"), *signed)
    return table


def _remarks(console: Console, report: Feasibility) -> None:
    if report.is_withholding:
        console.print(
            f"{WITHHELD} withheld: fewer than {report.min_cell} people, or a count from which such "
            "a one could be worked out (--min-cell)."
        )
    if report.issues:
        quality = ", ".join(f"{code} {number(count)}" for code, count in report.issues)
        console.print(f"Data quality (people whose record has it): {quality}")
    if not report.signed:
        console.print(f"[dim]Some counts rest on a {UNCONFIRMED}.[/]")
    console.print(f"[dim]{DISCLAIMER}[/]")
