"""The worklist of a study: who comes first, in which tab, and counts that add up to everyone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fhir_adapter.model.decision import Decision, Outcome, Stop
from fhir_adapter.model.result import Effect
from fhir_adapter.present.sentences import decision_sentence
from fhir_adapter.present.words import OUTCOMES, UNPROVED

_WANTED = (Outcome.CANDIDATE, Outcome.NEEDS_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistEntry:
    """One patient on the list."""

    place: int
    patient: str
    outcome: Outcome
    sentence: str
    fits: int
    against: int
    open: int
    assumed: int
    next_question: str
    next_date: int | None
    pointers: tuple[str, ...]
    labs_only: bool
    """Fits by laboratory values alone: nobody has pointed at this patient."""
    withheld: bool
    """Somebody has said that this patient is not to be asked."""
    listed: bool
    """In the default list."""
    not_proposed: str = ""
    """Why nobody is proposed though the outcome would have it: stops that were not retrieved."""
    person_set: str = ""
    """The status that a person gave last in this study (a ResearchSubject code); empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worklist:
    """All patients judged, and how many could not be judged."""

    entries: tuple[WorklistEntry, ...]
    counts: tuple[tuple[Outcome, int], ...]
    failed: int

    @property
    def listed(self) -> tuple[WorklistEntry, ...]:
        """The default list: a coordinator's day."""
        return tuple(entry for entry in self.entries if entry.listed)

    @property
    def unlisted(self) -> tuple[WorklistEntry, ...]:
        """Counted as candidate or needs-data, and yet in no default list."""
        return tuple(e for e in self.entries if e.outcome in _WANTED and not e.listed)

    @property
    def unproved(self) -> int:
        """Of candidates and needs-data: who is not proposed, for a stop was not retrieved."""
        return sum(1 for e in self.entries if e.outcome in _WANTED and e.not_proposed)

    @property
    def total(self) -> int:
        """Everyone pulled: the counts add up to it."""
        return sum(count for _, count in self.counts) + self.failed


def worklist(
    decisions: Sequence[Decision],
    *,
    failed: int = 0,
    worked_on: Mapping[str, str] | None = None,
) -> Worklist:
    """Default entries first by rank; a stopped patient whom people work on stands on top.

    ``worked_on``: patient to the status that a person gave last in this study.
    """
    people = worked_on or {}
    ordered = sorted(decisions, key=lambda decision: _order(decision, people))
    entries = tuple(
        _entry(place, decision, people) for place, decision in enumerate(ordered, start=1)
    )
    return Worklist(entries=entries, counts=outcome_counts(decisions), failed=failed)


def outcome_counts(decisions: Iterable[Decision]) -> tuple[tuple[Outcome, int], ...]:
    """All six outcomes in the order of tabs, the empty ones too."""
    found = [decision.outcome for decision in decisions]
    return tuple((outcome, found.count(outcome)) for outcome in OUTCOMES)


def unproved_counts(decisions: Iterable[Decision]) -> tuple[tuple[Outcome, int], ...]:
    """Of each outcome: of how many a stop was not retrieved, so that nobody proposes them."""
    found = [decision.outcome for decision in decisions if decision.unproved]
    return tuple((outcome, found.count(outcome)) for outcome in OUTCOMES if outcome in found)


def unproved_sentence(found: Worklist) -> str:
    """How many of the candidates and needs-data are no proposals; empty where all are."""
    if not found.unproved:
        return ""
    return (
        f"Of the candidates and needs data {found.unproved} are not proposed: whether something "
        "stops them is not known."
    )


def is_listed(decision: Decision) -> bool:
    """Candidates and needs-data, without labs-only and without those who declined."""
    return decision.outcome in _WANTED and not decision.labs_only and not decision.withheld


def unlisted_sentence(found: Worklist, *, more: int = 0, shows: str = "--all shows") -> str:
    """How many are counted and not listed, and why; empty where all are listed.

    ``more``: counted and not even among the entries, since nobody has pointed at them.
    """
    withheld = sum(1 for entry in found.unlisted if entry.withheld)
    labs_only = len(found.unlisted) - withheld + more
    if not withheld + labs_only:
        return ""
    reasons = {
        "not to be asked, as somebody said": withheld,
        "with nothing that points at them (no pointer of the study)": labs_only,
    }
    said = "; ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"Candidates or needs data, but not in the list: {said} ({shows} them)."


def _stopped_at_work(decision: Decision, people: Mapping[str, str]) -> bool:
    return Stop.DECEASED in decision.stops and decision.patient in people


def _order(decision: Decision, people: Mapping[str, str]) -> tuple[object, ...]:
    tab = list(OUTCOMES).index(decision.outcome)
    first = not _stopped_at_work(decision, people)
    return (first, not is_listed(decision), tab, decision.rank, decision.patient)


def _entry(place: int, decision: Decision, people: Mapping[str, str]) -> WorklistEntry:
    effects = [result.effect for result in decision.results]
    status = people.get(decision.patient, "")
    sentence = decision_sentence(decision)
    return WorklistEntry(
        place=place,
        patient=decision.patient,
        outcome=decision.outcome,
        sentence=f"{sentence}; a person set: {status}" if status else sentence,
        fits=effects.count(Effect.FITS) - decision.assumed,
        against=effects.count(Effect.AGAINST),
        open=effects.count(Effect.OPEN),
        assumed=decision.assumed,
        next_question=decision.checks[0].text if decision.checks else "",
        next_date=decision.next_date,
        pointers=decision.pointers,
        labs_only=decision.labs_only,
        withheld=decision.withheld,
        listed=is_listed(decision) or _stopped_at_work(decision, people),
        not_proposed="; ".join(UNPROVED[stop] for stop in decision.unproved),
        person_set=status,
    )
