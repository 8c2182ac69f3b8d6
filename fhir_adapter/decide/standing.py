"""Where the patient already stands in this study: people's statuses, declines, closed attempts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_adapter.model.fact import Fact, Kind, PatientRecord
from fhir_adapter.model.participation import CLOSED, DECLINED, ON_STUDY
from fhir_adapter.model.vocabulary import PARTICIPATION


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStanding:
    """What people have entered about this patient and this study."""

    on_study: bool = False
    declined: bool = False
    closed: bool = False
    """An attempt ended as a screen failure and a person has opened none beside it: re-screen?"""
    unclear: bool = False
    """A person has entered the patient in this study, with a state that is not known."""
    statuses: tuple[str, ...] = ()
    """Statuses that people set, in order of date."""


def standing_of(
    record: PatientRecord, own_studies: Iterable[str], *, as_of: int, declined: bool = False
) -> StudyStanding:
    """Read this study's own ResearchSubjects; what the machine wrote never counts.

    ``own_studies``: references and identifiers by which this study is known on the record server.
    ``declined``: known from the ledger, under any id the patient ever had. A decline holds beside
    an attempt that is open, for two people may have said the two (the stricter wins).
    """
    own = frozenset(own_studies)
    entered = [fact for fact in record.facts if _is_mine(fact, own, as_of)]
    mine = sorted(filter(_is_told, entered), key=lambda fact: (fact.start_lo, fact.source))
    statuses = tuple(code.code for fact in mine for code in fact.concepts[:1])
    opened = any(status not in CLOSED | DECLINED for status in statuses)
    return StudyStanding(
        on_study=any(status in ON_STUDY for status in statuses),
        declined=declined or any(status in DECLINED for status in statuses),
        closed=not opened and any(status in CLOSED for status in statuses),
        unclear=any(not _is_told(fact) for fact in entered),
        statuses=statuses,
    )


def _is_mine(fact: Fact, own: frozenset[str], as_of: int) -> bool:
    return (
        fact.kind is Kind.STUDY_PARTICIPATION
        and fact.study in own
        and fact.set_by == "person"
        and fact.start_lo <= as_of
    )


def _is_told(fact: Fact) -> bool:
    return any(code.system == PARTICIPATION for code in fact.concepts)
