"""Decisions as terminal tables; every text from a record is escaped for rich markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.present.rows import CriterionRow, EvidenceRow, iso
from fhir_adapter.present.sentences import check_sentence, decision_sentence
from fhir_adapter.present.words import DISCLAIMER, OUTCOMES, UNCONFIRMED
from fhir_adapter.present.worklist import Worklist, outcome_counts, unproved_counts

_ID_WIDTH = 36
"""A UUID stands on one line: an id is there to be copied. A longer one is folded, never cut."""

STYLES = {
    "fits": "green",
    "against": "red",
    "open": "yellow",
    "does not apply": "dim",
}


NARROW = 80
"""Below this many columns a table with many cells in a row cannot be read."""
_FEW = 3


def print_table(console: Console, table: Table) -> None:
    """The table; on a narrow terminal each row as lines of its own, label and value."""
    if console.width >= NARROW or len(table.columns) <= _FEW:
        console.print(table)
        return
    if table.title:
        console.print(table.title, style="italic")
    labels = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        console.print()
        for label, cell in zip(labels, row, strict=True):
            text = Text.from_markup(cell) if isinstance(cell, str) else cell
            if str(text):
                named = Text.assemble(f"{label}: " if label else "", text)
                console.print(named, overflow="fold")


def counts_table(decisions: Sequence[Decision], failed: int) -> Table:
    """Patients by outcome, with a total that is everyone pulled."""
    table = Table(title="Patients by outcome", show_footer=True)
    table.add_column("outcome", footer="everyone pulled")
    table.add_column("patients", justify="right", footer=str(len(decisions) + failed))
    unproved = dict(unproved_counts(decisions))
    for outcome, count in outcome_counts(decisions):
        table.add_row(_named(outcome, unproved.get(outcome, 0)), str(count))
    if failed:
        table.add_row("[red]could not be judged[/]", str(failed))
    return table


def _named(outcome: Outcome, unproved: int) -> str:
    """The outcome; where a stop was not retrieved, how many of its count nobody proposes."""
    wanted = unproved and outcome in (Outcome.CANDIDATE, Outcome.NEEDS_DATA)
    return f"{OUTCOMES[outcome]} ({unproved} of them not proposed)" if wanted else OUTCOMES[outcome]


def worklist_table(found: Worklist, *, everyone: bool = False) -> Table:
    """The default list, or all of it."""
    shown = found.entries if everyone else found.listed
    caption = "What does not apply to a patient is in none of the four columns." if shown else None
    table = Table(title="Worklist" if not everyone else "All patients", caption=caption)
    table.add_column("#", justify="right")
    longest = max((len(entry.patient) for entry in shown), default=0)
    table.add_column("patient", overflow="fold", min_width=min(longest, _ID_WIDTH))
    table.add_column("outcome")
    for name in ("fits", "assumed", "open", "against"):
        table.add_column(name, justify="right")
    table.add_column("next question", ratio=1)
    for entry in shown:
        effects = (entry.fits, entry.assumed, entry.open, entry.against)
        table.add_row(
            str(entry.place),
            escape(entry.patient),
            escape(entry.sentence),
            *(str(effect) for effect in effects),
            escape(entry.next_question),
        )
    return table


def criteria_table(rows: Sequence[CriterionRow], title: str) -> Table:
    """One patient, criterion by criterion: effect first."""
    table = Table(title=escape(title), show_lines=False, expand=True)
    table.add_column("effect", no_wrap=True)
    table.add_column("criterion", ratio=3)
    table.add_column("evidence", ratio=7, overflow="fold")
    table.add_column("why open, where settled, remarks", ratio=3)
    for row in rows:
        table.add_row(*criterion_cells(row))
    return table


def criterion_cells(row: CriterionRow) -> tuple[Text, str, str, str]:
    """The cells of one criterion."""
    effect = "assumed" if row.assumed and row.effect == "fits" else row.effect
    why = ", ".join(part for part in (row.reason, row.settled) if part)
    return (
        Text(effect, style=STYLES[row.effect]),
        escape(f"{row.number} {row.title}"),
        escape(evidence_text(row)),
        escape("\n".join(part for part in (why, *row.notes) if part)),
    )


def evidence_text(row: CriterionRow) -> str:
    """Facts behind an answer, one line each, with the reference in the record."""
    whys: dict[str, list[str]] = {}
    for item in row.evidence:
        whys.setdefault(_fact(item), []).append(item.why)
    lines = [f"{fact}{_marked(why)}" for fact, why in whys.items()]
    if row.evidence_left_out:
        lines.append(f"and {row.evidence_left_out} more")
    return "\n".join(lines)


def _fact(item: EvidenceRow) -> str:
    reference = f"{item.reference} v{item.version}" if item.version else item.reference
    said = item.value or item.label
    canonical = f" = {item.canonical}" if item.canonical and item.value else ""
    return " ".join(part for part in (f"{said}{canonical}", item.date, f"({reference})") if part)


def _marked(whys: Sequence[str]) -> str:
    named = list(dict.fromkeys(why for why in whys if why))
    return f" [{'; '.join(named)}]" if named else ""


def print_decision(console: Console, decision: Decision, rows: Sequence[CriterionRow]) -> None:
    """Everything about one patient."""
    title = f"{decision.patient}: {decision_sentence(decision)}"
    if rows:
        print_table(console, criteria_table(rows, title))
    else:
        console.print(escape(title))
    if decision.checks:
        console.print("[bold]Next questions[/]")
        for place, check in enumerate(decision.checks, start=1):
            console.print(escape(f"  {place}. {check_sentence(check)}"))
    if decision.next_date is not None:
        console.print(f"Time alone could change something on {iso(decision.next_date)}.")
    remarks(console, decision)


def remarks(console: Console, decision: Decision) -> None:
    """What must stand under every answer."""
    if decision.issues:
        console.print(f"Data quality: {escape(', '.join(decision.issues))}")
    if decision.results and not decision.confirmed:
        console.print(f"[dim]Some answers rest on a {UNCONFIRMED}.[/]")
    console.print(f"[dim]{DISCLAIMER}[/]")
