"""What is counted before a study goes live: marks, combinations of them, and the tally.

Everybody who was judged is one combination: one byte per criterion, in protocol order. All that a
feasibility report says is counted from how many people share each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fhir_adapter.model.decision import Outcome, Stop
from fhir_adapter.model.result import Effect
from fhir_adapter.model.truth import Reason


class Mark(NamedTuple):
    """One criterion for one person, as far as a report counts it."""

    effect: Effect
    assumed: bool
    """It rests on an absence policy."""
    reason: Reason | None
    """Why it is open."""
    call: Outcome
    """The outcome that it calls for, whatever the others say; the lowest call is the outcome."""


def _marks() -> Iterable[Mark]:
    low, lasting, passing, needs, candidate = tuple(Outcome)[1:]
    yield Mark(Effect.FITS, False, None, candidate)
    yield Mark(Effect.FITS, True, None, candidate)
    yield Mark(Effect.NOT_APPLICABLE, False, None, candidate)
    for call in (low, lasting, passing):
        yield Mark(Effect.AGAINST, False, None, call)
        yield Mark(Effect.AGAINST, True, None, call)
    for call in (low, needs, candidate):
        for reason in Reason:
            yield Mark(Effect.OPEN, False, reason, call)


MARKS: tuple[Mark, ...] = tuple(_marks())
"""Every mark that there can be; its place is its byte in a combination."""
MARK_NUMBERS: dict[Mark, int] = {mark: number for number, mark in enumerate(MARKS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """People as they were answered: by combination of marks, or by what stopped them."""

    combinations: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    stops: Mapping[Stop, int] = field(default_factory=dict[Stop, int])
    """By the first stop of each person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionTally:
    """One criterion over everybody who was judged; fits to open add up to them."""

    criterion: str
    fits: int
    """From data; what is only assumed is counted apart."""
    assumed: int
    not_applicable: int
    against: int
    """From data."""
    against_assumed: int
    open: tuple[tuple[str, int], ...]
    """Reason code -> people, in the order of the reasons."""
    sole: int
    """It is the only criterion against them."""
    sole_to_candidate: int
    """Of these: candidates if it were set aside."""
    sole_to_needs_data: int
    """Of these: would need data if it were set aside."""
    held_to_candidate: int
    """Not proposed only because this gate is open: candidates if it were set aside."""
    held_to_needs_data: int
    settled: int
    """Need data for this criterion alone: candidates if it were set aside."""

    @property
    def against_total(self) -> int:
        """People against whom it speaks, from data or by assumption."""
        return self.against + self.against_assumed

    @property
    def open_total(self) -> int:
        """People for whom it is open."""
        return sum(count for _, count in self.open)

    @property
    def fits_total(self) -> int:
        """People for whom it fits, is assumed to fit, or does not apply."""
        return self.fits + self.assumed + self.not_applicable


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Everybody who was judged, after this criterion and all before it; the three add up."""

    criterion: str
    fits: int
    """All of them fit so far."""
    open: int
    """None is against so far, and something is open."""
    against: int
    """One at least is against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attrition:
    """The criteria in one order."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """All counts of a report, exact; ``present/`` withholds the small ones."""

    everyone: int
    failed: int
    """Could not be judged."""
    stops: tuple[tuple[Stop, int], ...]
    """By the first stop of each person: they have no results."""
    shut: int
    """Not proposed: a gate is against."""
    held: int
    """Not proposed: nothing is against, and a gate is open."""
    not_eligible: int
    not_now: int
    needs_data: int
    candidates_open: int
    """Candidates with something left for the consent visit or the investigator."""
    candidates_fitting: int
    """Candidates for whom every criterion fits."""
    criteria: tuple[CriterionTally, ...]
    attritions: tuple[Attrition, ...]
    combinations: tuple[tuple[str, int], ...]
    """One letter per criterion (f fits, o open, a against) -> people, most first."""

    @property
    def stopped(self) -> int:
        """People with no results."""
        return sum(count for _, count in self.stops)

    @property
    def judged(self) -> int:
        """People with results."""
        return self.everyone - self.stopped - self.failed

    @property
    def candidates(self) -> int:
        """People who would be proposed."""
        return self.candidates_open + self.candidates_fitting
