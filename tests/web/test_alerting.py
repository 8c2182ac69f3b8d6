"""When a decision becomes a card: every reason to stay silent, one by one."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fhir_adapter.alerting import (
    MOST_STUDIES,
    SOFT_HOURS,
    Dismissal,
    Setting,
    Shown,
    quiet_because,
    ranked,
)
from fhir_adapter.model.decision import Decision, Hashes, Outcome, Stop
from fhir_adapter.model.result import CriterionResult, Effect, Open, Verdict
from fhir_adapter.model.truth import Reason, Truth

HASHES = Hashes(study="s", basis="b", outcome="o", alert="a")
GATE = CriterionResult(
    criterion="I1", gate=True, truth=Truth.TRUE, reason=None, verdict=Verdict.MET,
    effect=Effect.FITS, evidence=(),
)  # fmt: skip
GOOD = Decision(
    patient="p", study="S", study_version="1", as_of=0, outcome=Outcome.CANDIDATE, results=(GATE,),
    pointers=("ward",), confirmed=True, hashes=HASHES,
)  # fmt: skip
NOW = 10**15
HOUR = 3_600_000_000
SETTING = Setting(who="Practitioner/1", encounter="e", now=NOW)


def gate(**more: object) -> Decision:
    return replace(GOOD, results=(msgspec.structs.replace(GATE, **more),))


def away(reason: str, *, fingerprint: str = "a", hours: int = 1, who: str = "x") -> Setting:
    one = Dismissal(who=who, reason=reason, fingerprint=fingerprint, at=NOW - hours * HOUR)
    return replace(SETTING, dismissals=(one,))


CASES: dict[str, tuple[Decision, Setting, str | None]] = {
    "all is well": (GOOD, SETTING, None),
    "needs data with fitting gates": (replace(GOOD, outcome=Outcome.NEEDS_DATA), SETTING, None),
    "dead": (replace(GOOD, stops=(Stop.DECEASED,)), SETTING, "stopped"),
    "not now": (replace(GOOD, outcome=Outcome.NOT_NOW), SETTING, "outcome"),
    "declined": (replace(GOOD, withheld=True), SETTING, "withheld"),
    "an attempt is closed": (replace(GOOD, rescreen=True), SETTING, "rescreen"),
    "something against": (gate(gate=False, effect=Effect.AGAINST), SETTING, "against"),
    "a gate open": (gate(effect=Effect.OPEN), SETTING, "gate"),
    "a gate does not apply": (gate(effect=Effect.NOT_APPLICABLE), SETTING, None),
    "a gate confounded": (gate(opens=(Open(Reason.CONFOUNDED),)), SETTING, "confounded"),
    "no pointer": (replace(GOOD, pointers=()), SETTING, "no-pointer"),
    "labs only": (replace(GOOD, labs_only=True), SETTING, "no-pointer"),
    "unsigned": (replace(GOOD, confirmed=False), SETTING, "unsigned"),
    "unsigned, allowed": (
        replace(GOOD, confirmed=False), replace(SETTING, unsigned_allowed=True), None),
    "a stop that was not retrieved": (
        replace(GOOD, unproved=(Stop.OPTED_OUT,)), SETTING, "unproved"),
    "worked on": (GOOD, replace(SETTING, worked_on=True), "worked-on"),
    "not suitable, nothing changed": (GOOD, away("not-suitable"), "dismissed"),
    "not suitable, changed since": (GOOD, away("not-suitable", fingerprint="b"), None),
    "patient declined, whatever changed": (GOOD, away("declined", fingerprint="b"), "dismissed"),
    "already known": (GOOD, away("already-known", fingerprint="b"), "dismissed"),
    "not now, same user": (GOOD, away("not-now", who="Practitioner/1"), "not-now"),
    "not now, a day ago": (
        GOOD, away("not-now", who="Practitioner/1", hours=SOFT_HOURS), None),
    "not now, another user": (GOOD, away("not-now"), None),
    "shown in this encounter": (
        GOOD, replace(SETTING, shown=(Shown(encounter="e", fingerprint="a"),)), "already-shown"),
    "shown in another": (
        GOOD, replace(SETTING, shown=(Shown(encounter="f", fingerprint="a"),)), None),
    "shown, and something changed": (
        GOOD, replace(SETTING, shown=(Shown(encounter="e", fingerprint="b"),)), None),
    "no encounter is known": (
        GOOD, replace(SETTING, encounter="", shown=(Shown(encounter="", fingerprint="a"),)), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_card_or_the_first_reason_against_it(name: str) -> None:
    decision, setting, expected = CASES[name]
    assert quiet_because(decision, setting) == expected


def test_a_card_tells_of_the_best_three() -> None:
    many = [replace(GOOD, study=f"S{n}", rank=(0, 0, n)) for n in range(5)]
    needy = replace(GOOD, study="A", outcome=Outcome.NEEDS_DATA, rank=(-9, 0, 0))
    found = ranked([needy, *reversed(many)])
    assert [one.study for one in found] == ["S0", "S1", "S2"]
    assert len(found) == MOST_STUDIES
