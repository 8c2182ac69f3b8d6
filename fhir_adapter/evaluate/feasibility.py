"""Counting combinations of marks: attrition, what restricts most, what setting one aside gains.

A person's outcome is the lowest call among the criteria (design section 5), so the outcome without
one criterion is the lowest call among the others; those stay as they were judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fhir_adapter.errors import CountsDisagree
from fhir_adapter.model.decision import STOP_ORDER, Outcome, Stop
from fhir_adapter.model.feasibility import (
    MARKS,
    Attrition,
    Counted,
    CriterionTally,
    Step,
    Tally,
)
from fhir_adapter.model.result import Effect
from fhir_adapter.model.truth import Reason

PROTOCOL_ORDER = "protocol order"
MOST_RESTRICTIVE = "most restrictive first"
"""Those first that speak against most people; ties in protocol order."""

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]

_FITS, _OPEN, _AGAINST = range(3)
_COLOURS = {Effect.FITS: _FITS, Effect.NOT_APPLICABLE: _FITS, Effect.OPEN: _OPEN}
_LETTERS = np.frombuffer(b"foa", dtype=np.uint8)
_COLOUR: Bytes = np.array([_COLOURS.get(m.effect, _AGAINST) for m in MARKS], dtype=np.uint8)
_PLACES = {outcome: place for place, outcome in enumerate(Outcome)}
_CALL: Bytes = np.array([_PLACES[m.call] for m in MARKS], dtype=np.uint8)
_SHUT, _NOT_ELIGIBLE, _NOT_NOW, _NEEDS, _CANDIDATE = range(1, len(Outcome))


def tally(
    criteria: Sequence[str],
    counted: Sequence[Counted],
    *,
    everyone: int,
    failed: int = 0,
    orders: Mapping[str, Sequence[str]],
) -> Tally:
    """All counts over everybody; CountsDisagree where they do not add up to ``everyone``.

    ``orders``: names of further attritions -> criteria, each exactly once.
    """
    people = _People(criteria, counted)
    stops = [(stop, sum(c.stops.get(stop, 0) for c in counted)) for stop in STOP_ORDER]
    made = people.tally(
        everyone=everyone,
        failed=failed,
        stops=tuple((stop, count) for stop, count in stops if count),
        orders=orders,
    )
    _hold(made)
    return made


def _hold(made: Tally) -> None:
    """Every split of the same people adds up to them, or nothing is said at all."""
    judged = made.judged
    splits = [
        made.shut + made.held + made.not_eligible + made.not_now + made.needs_data
        + made.candidates,
        *(c.fits_total + c.against_total + c.open_total for c in made.criteria),
        *(s.fits + s.open + s.against for one in made.attritions for s in one.steps),
        sum(count for _, count in made.combinations),
    ]  # fmt: skip
    if any(split != judged for split in splits):
        raise CountsDisagree(
            "the counts of the report do not add up to everybody in the store",
            where="feasibility report",
            remedy="Nothing of this report is used. Please report it with the command you ran.",
        )


class _People:
    """One row per combination, and how many people share it."""

    def __init__(self, criteria: Sequence[str], counted: Sequence[Counted]) -> None:
        together: dict[bytes, int] = {}
        for part in counted:
            for combination, count in part.combinations.items():
                together[combination] = together.get(combination, 0) + count
        joined = b"".join(together)
        shape = (len(together), len(criteria))
        self._criteria = criteria
        self._marks: Bytes = np.frombuffer(joined, dtype=np.uint8).reshape(shape)
        self._counts = np.array(list(together.values()), dtype=np.int64)
        self._colours: Bytes = _COLOUR[self._marks]
        self._calls: Bytes = _CALL[self._marks]
        self._against = (self._colours == _AGAINST).sum(axis=1)
        self._outcome: Bytes = self._calls.min(axis=1, initial=_CANDIDATE)

    def _sum(self, rows: Flags) -> int:
        return int(self._counts[rows].sum())

    def tally(
        self,
        *,
        everyone: int,
        failed: int,
        stops: tuple[tuple[Stop, int], ...],
        orders: Mapping[str, Sequence[str]],
    ) -> Tally:
        """All counts."""
        outcome, free = self._outcome, self._against == 0
        fitting = (self._colours == _FITS).all(axis=1)
        return Tally(
            everyone=everyone,
            failed=failed,
            stops=stops,
            shut=self._sum((outcome == _SHUT) & ~free),
            held=self._sum((outcome == _SHUT) & free),
            not_eligible=self._sum(outcome == _NOT_ELIGIBLE),
            not_now=self._sum(outcome == _NOT_NOW),
            needs_data=self._sum(outcome == _NEEDS),
            candidates_open=self._sum((outcome == _CANDIDATE) & ~fitting),
            candidates_fitting=self._sum(fitting),
            criteria=tuple(self._criterion(place) for place in range(len(self._criteria))),
            attritions=tuple(self._attrition(*order) for order in self._orders(orders)),
            combinations=self._combinations(),
        )

    def _orders(self, more: Mapping[str, Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
        restricting = (self._colours == _AGAINST).T @ self._counts
        places = sorted(range(len(self._criteria)), key=lambda place: -restricting[place])
        most = [self._criteria[place] for place in places]
        return [(PROTOCOL_ORDER, self._criteria), *more.items(), (MOST_RESTRICTIVE, most)]

    def _criterion(self, place: int) -> CriterionTally:
        marks = np.bincount(self._marks[:, place], weights=self._counts, minlength=len(MARKS))
        by_mark = [(mark, int(count)) for mark, count in zip(MARKS, marks, strict=True)]

        def having(effect: Effect, *, assumed: bool = False) -> int:
            return sum(n for m, n in by_mark if m.effect is effect and m.assumed is assumed)

        opens = [(reason, sum(n for m, n in by_mark if m.reason is reason)) for reason in Reason]
        without = np.delete(self._calls, place, axis=1).min(axis=1, initial=_CANDIDATE)
        against = self._colours[:, place] == _AGAINST
        sole = against & (self._against == 1)
        held = (self._outcome == _SHUT) & (self._against == 0)
        listed = self._outcome == _NEEDS
        return CriterionTally(
            criterion=self._criteria[place],
            fits=having(Effect.FITS),
            assumed=having(Effect.FITS, assumed=True),
            not_applicable=having(Effect.NOT_APPLICABLE),
            against=having(Effect.AGAINST),
            against_assumed=having(Effect.AGAINST, assumed=True),
            open=tuple((reason.code, count) for reason, count in opens if count),
            sole=self._sum(sole),
            sole_to_candidate=self._sum(sole & (without == _CANDIDATE)),
            sole_to_needs_data=self._sum(sole & (without == _NEEDS)),
            held_to_candidate=self._sum(held & (without == _CANDIDATE)),
            held_to_needs_data=self._sum(held & (without == _NEEDS)),
            settled=self._sum(listed & (without == _CANDIDATE)),
        )

    def _attrition(self, name: str, order: Sequence[str]) -> Attrition:
        """Step by step: against stays against, open stays open."""
        so_far: Bytes = np.zeros(len(self._counts), dtype=np.uint8)
        steps: list[Step] = []
        for criterion in order:
            so_far = np.maximum(so_far, self._colours[:, self._criteria.index(criterion)])
            fits, open_, against = (
                self._sum(so_far == colour) for colour in (_FITS, _OPEN, _AGAINST)
            )
            steps.append(Step(criterion=criterion, fits=fits, open=open_, against=against))
        return Attrition(name=name, steps=tuple(steps))

    def _combinations(self) -> tuple[tuple[str, int], ...]:
        found: dict[str, int] = {}
        for row, count in zip(_LETTERS[self._colours], self._counts.tolist(), strict=True):
            letters = row.tobytes().decode()
            found[letters] = found.get(letters, 0) + count
        return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))
