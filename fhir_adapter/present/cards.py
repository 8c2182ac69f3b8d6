"""Cards for clinicians: fixed sentences; whatever comes from a record or a study is made harmless.

CDS Hooks 2.0.1: summary under 140 characters, indicator, source. No suggestion, no systemAction:
a machine never enrols. Clients render details as Markdown, some as HTML; every character that
means something in either is sent as a numeric entity, which both show as the character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.result import CriterionResult, Effect
from fhir_adapter.model.study import Study
from fhir_adapter.model.vocabulary import CODE_SYSTEM
from fhir_adapter.ports import Resource
from fhir_adapter.present.rows import CriterionRow, EvidenceRow, criterion_rows
from fhir_adapter.present.sentences import checks_before_contact
from fhir_adapter.present.words import DISCLAIMER, UNCONFIRMED, WHO, plain

SUMMARY_LIMIT = 139
_LONGEST = 120
_QUESTIONS = 3
_MEANING = "&<>\"'`*_{}[]()#+-!|~\\/:@=$^"
_ENTITIES = {ord(c): f"&#{ord(c)};" for c in _MEANING}
DISMISS_REASONS = (
    ("not-suitable", "Not suitable"),
    ("declined", "Patient declined"),
    ("already-known", "Already known to the study team"),
    ("not-now", "Not now"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One study that a card tells of."""

    decision: Decision
    study: Study
    zone: ZoneInfo
    link: str = ""
    """Address of the patient's criteria on our pages; empty where pages have no address."""


def harmless(text: str) -> str:
    """Text as it may stand in Markdown and in HTML: shown as it is, meaning nothing.

    >>> harmless("<b>*x*</b>")
    '&#60;b&#62;&#42;x&#42;&#60;&#47;b&#62;'
    """
    line = plain(text, longest=_LONGEST)
    return line.translate(_ENTITIES).replace("www.", "www&#46; ")


def bare(text: str) -> str:
    """Text for a plain-text field: without the characters that a careless client would run."""
    return plain("".join(" " if c in "<>&`[]" else c for c in text), longest=_LONGEST)


def card(told: Sequence[Told], *, uuid: str) -> Resource:
    """One card about at most three studies."""
    links = [
        {"label": f"Criteria of {bare(one.study.id)}", "url": one.link, "type": "absolute"}
        for one in told
        if one.link
    ]
    made: Resource = {
        "uuid": uuid,
        "summary": _summary(told),
        "indicator": "info",
        "source": {"label": "fhir-adapter pre-screening"},
        "detail": "\n\n".join([*(_about(one) for one in told), DISCLAIMER]),
        "overrideReasons": [
            {"code": code, "system": f"{CODE_SYSTEM}/dismiss-reason", "display": display}
            for code, display in DISMISS_REASONS
        ],
    }
    return {**made, "links": links} if links else made


def _summary(told: Sequence[Told]) -> str:
    if len(told) == 1:
        text = f"May fit trial {bare(told[0].study.id)}: {_left(told[0].decision)}"
    else:
        text = f"May fit {len(told)} trials: {', '.join(bare(one.study.id) for one in told)}"
    return text if len(text) <= SUMMARY_LIMIT else f"{text[: SUMMARY_LIMIT - 1]}\u2026"


def _left(decision: Decision) -> str:
    if decision.outcome is Outcome.CANDIDATE:
        return "only questions for consent and the investigator are left"
    checks = checks_before_contact(decision)
    return "1 check before contact" if checks == 1 else f"{checks} checks before contact"


def _about(one: Told) -> str:
    gates = replace(one.decision, results=tuple(r for r in one.decision.results if r.gate))
    rows = criterion_rows(gates, one.study, one.zone)
    lines = [f"**{harmless(one.study.identity.title)}** ({harmless(one.study.id)})", ""]
    lines += [_row(row) for row in rows]
    lines += [f"- {_count(one.decision.results)}"]
    lines += [
        f"- To ask ({WHO[check.who]}): {harmless(check.text)}"
        for check in one.decision.checks[:_QUESTIONS]
        if check.settled != "after-consent"
    ]
    if not one.decision.confirmed:
        lines.append(f"- Note: {UNCONFIRMED}")
    return "\n".join(lines)


def _row(row: CriterionRow) -> str:
    # whoever has the chart open knows the birth date: a card does not carry it further
    found = next((item for item in row.evidence if _is_shown(item)), None)
    value = "" if found is None else " ".join(part for part in (found.value, found.date) if part)
    shown = f": {harmless(value)}" if value else ""
    return f"- {row.effect.capitalize()}: {harmless(row.title)}{shown}"


def _is_shown(item: EvidenceRow) -> bool:
    return item.why in ("", "borderline") and not item.reference.startswith("Patient/")


def _count(results: Sequence[CriterionResult]) -> str:
    fits = sum(1 for one in results if one.effect is Effect.FITS and not one.assumed)
    assumed = sum(1 for one in results if one.assumed)
    opens = sum(1 for one in results if one.effect is Effect.OPEN)
    return f"{fits} criteria fit, {assumed} are assumed, {opens} are open, none is against"
