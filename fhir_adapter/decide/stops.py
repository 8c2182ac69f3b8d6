"""Stops: states that come before any criterion and over people's entries too (design section 5)."""

from __future__ import annotations

from fhir_adapter.model.decision import STOP_ORDER, Stop
from fhir_adapter.model.fact import Fact, Kind, PatientRecord, Standing
from fhir_adapter.model.vocabulary import (
    DECEASED,
    RESEARCH_DENY,
    RESEARCH_PERMIT,
    RESTRICTED,
    SUPERSEDED,
    TEST_RECORD,
)

_BY_FACT = (
    (DECEASED, Stop.DECEASED),
    (RESTRICTED, Stop.RESTRICTED),
    (TEST_RECORD, Stop.TEST_RECORD),
    (SUPERSEDED, Stop.SUPERSEDED),
)


def stops_of(
    record: PatientRecord,
    *,
    as_of: int,
    basis: bool,
    on_study: bool,
    opted_out: bool,
    silence_refuses: bool,
) -> tuple[Stop, ...]:
    """Every stop that holds at as_of, in a fixed order.

    ``basis``: the site file records one for this study. ``opted_out``: known from the ledger.
    ``silence_refuses``: the site reads a record without research Consent as a refusal.
    """
    facts = _known(record, as_of)
    patient = [fact for fact in facts if fact.kind is Kind.PATIENT]
    found = {stop for code, stop in _BY_FACT if _states(patient, code)}
    if opted_out or refuses(facts, as_of, silence_refuses=silence_refuses):
        found.add(Stop.OPTED_OUT)
    if not basis:
        found.add(Stop.NO_BASIS)
    if on_study:
        found.add(Stop.ON_STUDY)
    return tuple(stop for stop in STOP_ORDER if stop in found)


_SAID_BY = (
    (Stop.DECEASED, frozenset((Kind.PATIENT, Kind.ENCOUNTER))),
    (Stop.OPTED_OUT, frozenset((Kind.CONSENT,))),
    (Stop.ON_STUDY, frozenset((Kind.STUDY_PARTICIPATION,))),
)
_NOWHERE = frozenset(("not-supported", "no-file", "document-only", "section-not-asked"))
"""This source has none of the type, for anybody: what that means is the site's rule."""


def unproved_stops(
    record: PatientRecord, *, as_of: int, unclear_standing: bool = False
) -> tuple[Stop, ...]:
    """Stops that cannot be ruled out at as_of: what would say them was not retrieved whole.

    So is a refusal where a research Consent is there that says neither yes nor no, and being on
    the study where a person's entry has a state that is not known (``unclear_standing``). A type
    that the source does not have at all proves and disproves nothing here: the site's rule on
    silence (``no-consent-means``) stands for it.
    """
    lacking = {
        one.kind for one in record.retrieved if not one.complete and one.why_not not in _NOWHERE
    }
    unclear = {Kind.CONSENT} if _may_refuse(_known(record, as_of), as_of) else set[Kind]()
    unclear |= {Kind.STUDY_PARTICIPATION} if unclear_standing else set[Kind]()
    return tuple(stop for stop, kinds in _SAID_BY if kinds & (lacking | unclear))


def _states(facts: list[Fact], code: object) -> bool:
    return any(code in fact.concepts for fact in facts)


def _known(record: PatientRecord, as_of: int) -> list[Fact]:
    """Facts that had begun, and were known, at as_of."""
    return [fact for fact in record.facts if fact.start_lo <= as_of and fact.known_from <= as_of]


def refuses(facts: list[Fact], as_of: int, *, silence_refuses: bool) -> bool:
    """Whether a research Consent in force refuses, unless a permission is certainly newer.

    One of the same day, or without a date, is not: in doubt it is a refusal.
    """
    given = _consents(facts, as_of, Standing.COUNTS)
    permitted = [fact.start_lo for fact in given if RESEARCH_PERMIT in fact.concepts]
    denied = [fact.start_hi for fact in given if RESEARCH_DENY in fact.concepts]
    if not denied:
        return silence_refuses and not permitted
    return not permitted or max(permitted) < max(denied)  # ends are open


def _may_refuse(facts: list[Fact], as_of: int) -> bool:
    """Whether one that says neither yes nor no is in force, and no permission certainly newer."""
    unclear = [fact.start_hi for fact in _consents(facts, as_of, Standing.MAKES_UNKNOWN)]
    given = _consents(facts, as_of, Standing.COUNTS)
    permitted = [fact.start_lo for fact in given if RESEARCH_PERMIT in fact.concepts]
    return bool(unclear) and (not permitted or max(permitted) < max(unclear))


def _consents(facts: list[Fact], as_of: int, standing: Standing) -> list[Fact]:
    """Research Consents in force of one standing."""
    return [
        fact
        for fact in facts
        if fact.kind is Kind.CONSENT and fact.standing is standing and fact.end_hi > as_of
    ]
