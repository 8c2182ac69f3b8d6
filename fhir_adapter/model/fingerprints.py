"""The two fingerprints of a decision (design section 5): what writes again, what alerts again.

Neither holds a version, a last-updated date, an as_of or anything of the engine.
"""

from __future__ import annotations

from fhir_adapter.model.decision import Check, Decision
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.hashing import digest
from fhir_adapter.model.result import CriterionResult, Effect, Evidence

_DECIDING = frozenset(("", "borderline"))


def outcome_fingerprint(decision: Decision) -> str:
    """Outcome, effects, reasons, next checks, deciding evidence and canonical values.

    Only its change writes. Facts that are merely shown beside an answer are not in it.
    """
    return digest(
        decision.study,
        decision.outcome.value,
        [stop.value for stop in decision.stops],
        (decision.until, decision.watching, decision.withheld, decision.rescreen),
        [_result(result) for result in decision.results],
        [_check(check) for check in decision.checks],
        *(stop.value for stop in decision.unproved),
    )


def alert_fingerprint(decision: Decision) -> str:
    """Outcome, and the effects of gates and of what is against; no values.

    Only its change alerts again.
    """
    told = [
        (result.criterion, result.effect.value)
        for result in decision.results
        if result.gate or result.effect is Effect.AGAINST
    ]
    return digest(decision.study, decision.outcome.value, decision.withheld, told)


def _result(result: CriterionResult) -> tuple[object, ...]:
    return (
        result.criterion,
        result.effect.value,
        "" if result.reason is None else result.reason.code,
        result.assumed,
        result.until,
        sorted(_evidence(shown) for shown in result.evidence if shown.why in _DECIDING),
    )


def _evidence(shown: Evidence) -> tuple[str, ...]:
    fact = shown.fact
    dates = (fact.start_date_lo, fact.start_date_hi, fact.end_date_lo, fact.end_date_hi)
    return (fact.source, *_value(fact), *(str(day) for day in dates))


def _value(fact: Fact) -> tuple[str, ...]:
    coded = "|".join(f"{code.system}#{code.code}" for code in fact.value_concepts)
    if fact.value_lo is None and fact.value_hi is None:
        return (fact.raw_value, fact.raw_unit, coded, fact.status)
    return (str(fact.value_lo), str(fact.value_hi), fact.unit, coded)


def _check(check: Check) -> tuple[object, ...]:
    return (check.criteria, check.question, check.settled)
