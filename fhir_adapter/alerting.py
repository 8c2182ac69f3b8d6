"""STORY: when one patient's decision becomes a card for a clinician, and when it stays silent.

The silent worklist is the default channel. A card interrupts somebody, so every condition of
design section 9 must hold; the first that does not is the reason, by a stable code. Budgets, roles
and locations come with later versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.result import Effect
from fhir_adapter.model.truth import Reason

FINAL_REASONS = frozenset(("not-suitable", "declined", "already-known"))
LASTING_REASONS = frozenset(("declined", "already-known"))
"""Final whatever changes later; "not suitable" is final until the alert fingerprint changes."""
SOFT_HOURS = 24
"""After "not now" the same user is left alone for so long."""
MOST_STUDIES = 3
"""Studies that one card may tell of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismissal:
    """A card about this patient and study that somebody put away."""

    who: str
    reason: str
    fingerprint: str
    at: int
    """Microseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A card about this patient and study that somebody saw."""

    encounter: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known around one call of a hook."""

    who: str
    encounter: str
    now: int
    worked_on: bool = False
    """A person already has a status for this patient in this study."""
    unsigned_allowed: bool = False
    """Cards for a study whose readings nobody has signed: for demonstrations."""
    dismissals: Sequence[Dismissal] = ()
    shown: Sequence[Shown] = ()


def quiet_because(decision: Decision, setting: Setting) -> str | None:
    """Why there is no card: the first reason that applies; None where there is one.

    Codes: stopped, unproved, outcome, withheld, rescreen, against, gate, confounded, no-pointer,
    unsigned, worked-on, dismissed, not-now, already-shown.
    """
    found = (
        ("stopped", bool(decision.stops)),
        ("unproved", bool(decision.unproved)),
        ("outcome", decision.outcome not in (Outcome.CANDIDATE, Outcome.NEEDS_DATA)),
        ("withheld", decision.withheld),
        ("rescreen", decision.rescreen),
        ("against", any(r.effect is Effect.AGAINST for r in decision.results)),
        ("gate", _gate_not_fitting(decision)),
        ("confounded", _gate_confounded(decision)),
        ("no-pointer", decision.labs_only or not decision.pointers),
        ("unsigned", not (decision.confirmed or setting.unsigned_allowed)),
        ("worked-on", setting.worked_on),
        ("dismissed", any(_is_final(one, decision) for one in setting.dismissals)),
        ("not-now", any(_is_soft(one, setting) for one in setting.dismissals)),
        ("already-shown", any(_is_repeat(one, decision, setting) for one in setting.shown)),
    )
    return next((code for code, applies in found if applies), None)


def _gate_not_fitting(decision: Decision) -> bool:
    fitting = (Effect.FITS, Effect.NOT_APPLICABLE)
    return any(r.gate and r.effect not in fitting for r in decision.results)


def _gate_confounded(decision: Decision) -> bool:
    return any(
        r.gate and any(item.reason is Reason.CONFOUNDED for item in r.opens)
        for r in decision.results
    )


def _is_final(one: Dismissal, decision: Decision) -> bool:
    if one.reason not in FINAL_REASONS:
        return False
    same = decision.hashes is None or one.fingerprint == decision.hashes.alert
    return same or one.reason in LASTING_REASONS


def _is_soft(one: Dismissal, setting: Setting) -> bool:
    recent = setting.now - one.at < SOFT_HOURS * 3_600_000_000
    return one.reason not in FINAL_REASONS and one.who == setting.who and recent


def _is_repeat(one: Shown, decision: Decision, setting: Setting) -> bool:
    """One card per encounter, unless what it told has changed."""
    same = decision.hashes is not None and one.fingerprint == decision.hashes.alert
    return same and one.encounter != "" and one.encounter == setting.encounter


def ranked(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """The decisions that one card tells of: the best ones first, at most three."""
    best = sorted(
        decisions, key=lambda one: (one.outcome is not Outcome.CANDIDATE, one.rank, one.study)
    )
    return tuple(best[:MOST_STUDIES])
