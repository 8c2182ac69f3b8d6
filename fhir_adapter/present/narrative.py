"""The criterion table as XHTML: viewers show narrative, none shows contained Parameters."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from fhir_adapter.present.rows import CriterionRow, EvidenceRow
from fhir_adapter.present.words import DISCLAIMER, UNCONFIRMED, plain

_XHTML = "http://www.w3.org/1999/xhtml"


def narrative(sentence: str, rows: Sequence[CriterionRow], questions: Sequence[str]) -> str:
    """A div with the outcome, the table, the next questions and the disclaimer; all escaped."""
    asked = "".join(f"<li>{_text(question)}</li>" for question in questions)
    unsigned = "" if all(row.confirmed for row in rows) else f"<p>{_text(UNCONFIRMED)}</p>"
    return (
        f'<div xmlns="{_XHTML}"><p><b>{_text(sentence)}</b></p>'
        f"{_table(rows)}"
        f"{f'<p>Next questions</p><ol>{asked}</ol>' if asked else ''}"
        f"{unsigned}<p>{_text(DISCLAIMER)}</p></div>"
    )


def _table(rows: Sequence[CriterionRow]) -> str:
    heads = "".join(f"<th>{name}</th>" for name in ("Effect", "Criterion", "Found", "Open because"))
    body = "".join(_row(row) for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>" if rows else ""


def _row(row: CriterionRow) -> str:
    effect = "assumed to fit" if row.assumed and row.effect == "fits" else row.effect
    found = "; ".join(_fact(item) for item in row.evidence)
    cells = (effect, f"{row.number} {row.title}", found, row.reason)
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _fact(item: EvidenceRow) -> str:
    return " ".join(part for part in (item.value or item.label, item.date, item.why) if part)


def _text(value: str) -> str:
    return escape(plain(value, longest=_LONGEST), quote=True)


_LONGEST = 2000
"""Sentences of ours may be longer than a text from a record."""
