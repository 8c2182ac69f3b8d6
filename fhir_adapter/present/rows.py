"""One row per criterion: effect first, what was found, why it is open, what to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from zoneinfo import ZoneInfo

from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.fact import Fact, Kind
from fhir_adapter.model.result import CriterionResult, Effect, Evidence
from fhir_adapter.model.study import Criterion, Question, Study
from fhir_adapter.model.vocabulary import WITHOUT_KNOWN_CODE
from fhir_adapter.present.words import REASONS, SETTLED, UNCONFIRMED, plain

_MINUTE = 60_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIX_DIGITS = Context(prec=6)
SHOWN_EVIDENCE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """One fact behind an answer, as text."""

    reference: str
    version: str
    label: str
    value: str
    """As reported, with comparator and unit; a coded value as its codes."""
    canonical: str
    """In the canonical unit; empty where that is what was reported."""
    date: str
    """Local date, with the time where the record has one; intervals in words."""
    why: str
    """Empty where it decides; else borderline, beside, about another, ..."""
    entered: bool
    """Typed in or answered by a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionRow:
    """One criterion for one patient, as text; a page, a file and a narrative show the same."""

    number: str
    title: str
    inclusion: bool
    effect: str
    verdict: str
    say: str
    """One sentence: effect first."""
    protocol: str
    """The words of the protocol that this criterion reads."""
    reason: str
    reason_code: str
    settled: str
    settled_code: str
    question: str
    gate: bool
    assumed: bool
    confirmed: bool
    lasting: bool
    until: str
    evidence: tuple[EvidenceRow, ...]
    evidence_left_out: int
    notes: tuple[str, ...]
    criterion_hash: str


def criterion_rows(decision: Decision, study: Study, zone: ZoneInfo) -> tuple[CriterionRow, ...]:
    """All criteria of a decision in protocol order; none where it was not screened."""
    criteria = {criterion.id: criterion for criterion in study.criteria}
    questions = {question.id: question for question in study.questions}
    unread = any(issue.endswith(WITHOUT_KNOWN_CODE) for issue in decision.issues)
    return tuple(
        _row(result, criteria[result.criterion], questions, zone, unread=unread)
        for result in decision.results
    )


def without_identifiers(rows: Sequence[CriterionRow]) -> tuple[CriterionRow, ...]:
    """The same rows for somebody who may not know who it is: no ids, no birth date.

    A reference keeps its resource type; the sentence that may hold a birth date is left out.
    """
    return tuple(
        replace(row, say="", evidence=tuple(_hidden(item) for item in row.evidence)) for row in rows
    )


def _hidden(item: EvidenceRow) -> EvidenceRow:
    kind = item.reference.split("/", 1)[0]
    is_person = kind == "Patient"
    return replace(
        item,
        reference=kind,
        label=item.label or kind,
        date="" if is_person else item.date,
        value="" if is_person else item.value,
    )


def _row(
    result: CriterionResult,
    criterion: Criterion,
    questions: dict[str, Question],
    zone: ZoneInfo,
    *,
    unread: bool,
) -> CriterionRow:
    evidence = tuple(evidence_row(item, zone) for item in result.evidence[:SHOWN_EVIDENCE])
    left_out = result.evidence_left_out + max(0, len(result.evidence) - SHOWN_EVIDENCE)
    question = questions.get(result.question)
    return CriterionRow(
        number=criterion.id,
        title=criterion.title,
        inclusion=criterion.kind == "inclusion",
        effect=result.effect.value,
        verdict=result.verdict.value,
        say=_say(result, criterion, evidence, question, unread=unread),
        protocol=criterion.span,
        reason="" if result.reason is None else REASONS[result.reason],
        reason_code="" if result.reason is None else result.reason.code,
        settled="" if result.settled is None else SETTLED[result.settled],
        settled_code=result.settled or "",
        question=question.text if question is not None else "",
        gate=result.gate,
        assumed=result.assumed,
        confirmed=result.confirmed,
        lasting=result.lasting,
        until=iso(result.until),
        evidence=evidence,
        evidence_left_out=left_out,
        notes=result.notes,
        criterion_hash=result.criterion_hash,
    )


def _say(
    result: CriterionResult,
    criterion: Criterion,
    evidence: tuple[EvidenceRow, ...],
    question: Question | None,
    *,
    unread: bool,
) -> str:
    """Effect, title, the deciding value or the reason, and what unconfirmed readings cost."""
    found = next((row for row in evidence if row.why in ("", "borderline")), None)
    shown = f" ({_short(found)})" if found is not None else ""
    notes = f" [{'; '.join(result.notes)}]" if result.notes else ""
    if result.effect is Effect.FITS and result.assumed:
        return f"Assumed to fit: {criterion.title}; {_NOTHING_READ if unread else _NOTHING}{notes}"
    return f"{_effect_first(result, criterion, shown, question)}{notes}"


_NOTHING = "nothing is recorded against it"
_NOTHING_READ = (
    "nothing that can be read here is recorded against it, and some entries have no known code"
)


def _effect_first(
    result: CriterionResult, criterion: Criterion, shown: str, question: Question | None
) -> str:
    match result.effect:
        case Effect.FITS:
            return f"Fits: {criterion.title}{shown}"
        case Effect.AGAINST:
            return f"Against: {criterion.title}{shown}{_lasts(result)}"
        case Effect.NOT_APPLICABLE:
            return f"Does not apply: {criterion.title}"
        case Effect.OPEN:  # exhaustive
            why = "" if result.reason is None else REASONS[result.reason]
            ask = f". {question.text}" if question is not None else ""
            return f"Open: {criterion.title}; {why}{ask}"


def _lasts(result: CriterionResult) -> str:
    if result.until is not None:
        return f", until {iso(result.until)}"
    return ", lasting" if result.lasting else ""


def _short(row: EvidenceRow) -> str:
    value = " ".join(part for part in (row.value or row.label, row.date) if part)
    return f"{value}, borderline" if row.why == "borderline" else value


def remark(row: CriterionRow) -> str:
    """What must stand beside a row that rests on an unsigned reading."""
    return "" if row.confirmed else UNCONFIRMED


def evidence_row(item: Evidence, zone: ZoneInfo) -> EvidenceRow:
    """One fact as text; nothing of it is trusted."""
    fact = item.fact
    value = _value(fact)
    canonical = _canonical(fact)
    return EvidenceRow(
        reference=fact.source,
        version=fact.version,
        label=plain(fact.label),
        value=value,
        canonical="" if canonical == value else canonical,
        date=_date(fact, zone),
        why=item.why,
        entered=fact.kind in (Kind.ANSWER, Kind.ENTERED),
    )


def _value(fact: Fact) -> str:
    if fact.raw_value:
        return plain(f"{fact.comparator}{fact.raw_value} {_unit(fact.raw_unit)}".strip())
    return plain(", ".join(code.code for code in fact.value_concepts))


def _unit(ucum: str) -> str:
    """A unit as people write it: 1 and what is only an annotation ({INR}) are no units.

    Source: UCUM specification, curly braces: an annotation does not change the unit's meaning.
    """
    only_annotation = ucum.startswith("{") and ucum.find("}") == len(ucum) - 1
    return "" if ucum == "1" or only_annotation else ucum


def _canonical(fact: Fact) -> str:
    unit = _unit(fact.unit)
    if fact.value_lo is None and fact.value_hi is None:
        return ""
    if fact.value_lo == fact.value_hi and fact.value_lo is not None:
        return f"{_shown(fact.value_lo)} {unit}".strip()
    low = "" if fact.value_lo is None else _shown(fact.value_lo)
    high = "" if fact.value_hi is None else _shown(fact.value_hi)
    signs = (">" if fact.value_lo_open else ">=", "<" if fact.value_hi_open else "<=")
    ends = [f"{sign} {end}" for sign, end in zip(signs, (low, high), strict=True) if end]
    return f"{' and '.join(ends)} {unit}".strip()


def _shown(value: Decimal) -> str:
    return number(_SIX_DIGITS.plus(value))


def number(value: Decimal) -> str:
    """Without trailing zeros and without exponent.

    >>> number(Decimal("5.0300"))
    '5.03'
    """
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _date(fact: Fact, zone: ZoneInfo) -> str:
    lo, hi = fact.start_date_lo, fact.start_date_hi
    if fact.date_source in ("", "patient") and lo <= DATE_EARLIEST and hi >= DATE_LATEST:
        return ""
    if lo <= DATE_EARLIEST:
        return "date not known" if hi >= DATE_LATEST else f"on or before {iso(hi)}"
    if hi >= DATE_LATEST:
        return f"on or after {iso(lo)}"
    if lo != hi:
        return f"{iso(lo)} to {iso(hi)}"
    if fact.start_hi - fact.start_lo <= _MINUTE:
        return local_time(fact.start_lo, zone)
    return iso(lo)


def local_time(at: int, zone: ZoneInfo) -> str:
    """An instant as local date and time to the minute."""
    moment = (_EPOCH + timedelta(microseconds=at)).astimezone(zone)
    return moment.strftime("%Y-%m-%d %H:%M")


def date_time(at: int, zone: ZoneInfo) -> str:
    """An instant as a FHIR dateTime of the site's zone, with its offset."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone).isoformat(timespec="seconds")


def iso(day: int | None) -> str:
    """A local date as text; empty for none or for the edges of time."""
    if day is None or not DATE_EARLIEST < day < DATE_LATEST:
        return ""
    return date.fromordinal(day).isoformat()
