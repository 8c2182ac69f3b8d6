"""Silence: lines over one concept of which the record says nothing share one answer.

A line asks one thing when its test is a single node over a single retrieve. Where the record holds
no fact of that retrieve's kinds and codes, in or out of any window, the answer is what absence
means, and that depends on the concept and the absence policy alone: not on windows, bounds or
anchors. So it is worked out once for all lines of a class, and never line by line. Where the
record does hold such facts, the same is true of every window of the class in which there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.judged import Judged
from fhir_adapter.evaluate.many.lines import Shared, State
from fhir_adapter.evaluate.many.row import Marks
from fhir_adapter.evaluate.record import absence_of
from fhir_adapter.evaluate.retrieve import Retrieve
from fhir_adapter.model import criterion as tree
from fhir_adapter.model.criterion import Events
from fhir_adapter.model.dates import DATE_LATEST
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.study import Criterion

Mark = Callable[[Shared, Judged, Case], int]

_LEAVES = (
    tree.Any, tree.CountAtLeast, tree.Lasts, tree.Rise, tree.Fall,
    tree.Latest, tree.Earliest, tree.Lowest, tree.Highest,
)  # fmt: skip


def leaf(criterion: Criterion) -> Events | None:
    """The one retrieve that decides a criterion; None where there are several, or none."""
    node = criterion.test
    while isinstance(node, tree.Not):
        node = node.of
    if criterion.applies_if is not None or criterion.passing_if is not None:
        return None
    return node.of if isinstance(node, _LEAVES) and node.of.also is None else None


def class_of(line: Shared) -> tuple[Hashable, ...] | None:
    """Lines with equal classes answer alike to silence; None: silence alone never answers it."""
    criterion = line.line.criterion
    events = leaf(criterion)
    if events is None:
        return None
    absence = absence_of(criterion)
    policy = events.if_absent or absence.policy
    counted = absence.known_kinds if policy == "assume-absent-if-known-here" else ()
    return (
        line.group, str(events.codes), events.kind, policy, events.if_absent is None,
        absence.reopen_outside, counted,
    )  # fmt: skip


def _leaf(line: Shared) -> Events:
    events = leaf(line.line.criterion)
    assert events is not None  # it has a class
    return events


def _untested(events: Events) -> Events:
    """The retrieve without its tests: which facts it finds, whatever they are worth."""
    return replace(
        events, value=None, coded_as=None, clinical_status=(), severity=None, criticality=None,
        stage=None,
    )  # fmt: skip


def retrieve_of(line: Shared) -> Retrieve:
    """The compiled retrieve of a line that has a class."""
    return line.compiler.retrieve(_leaf(line), absence_of(line.line.criterion))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Span:
    """Lines of one class and one window, numbered from ``start`` up to ``stop``."""

    retrieve: Retrieve
    start: int
    stop: int

    def is_empty(self, case: Case) -> bool:
        """The window is known, all of it was pulled, and the record has nothing in it."""
        window, found = self.retrieve.in_window(case)
        return not (found or window.empty or self.retrieve.problem(case, window))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Silent:
    """One class of lines, window by window."""

    spans: tuple[Span, ...]
    lines: Sequence[Shared]
    _known: dict[State, Marks] = field(default_factory=dict)

    def fill(self, marks: Marks, case: Case, mark: Mark) -> None:
        """Set the marks of the lines to which silence is the answer; leave the others."""
        first = self.spans[0]
        if first.retrieve.nothing(case):
            if _same_for_all_windows(case, first.retrieve.events.kind):
                answer = first.retrieve.silent(case) or first.retrieve.absent(case)
                marks[first.start : self.spans[-1].stop] = self._marks(answer, case, mark)
            return
        empty = [span for span in self.spans if span.is_empty(case)]
        if empty:
            known = self._marks(empty[0].retrieve.absent(case), case, mark)
            for span in empty:
                place = slice(span.start - first.start, span.stop - first.start)
                marks[span.start : span.stop] = known[place]

    def _marks(self, answer: Judged, case: Case, mark: Mark) -> Marks:
        state = (answer.truth, answer.assumed, answer.opens)
        known = self._known.get(state)
        if known is None:
            found = [mark(line, answer, case) for line in self.lines]
            known = self._known[state] = np.array(found, dtype=np.uint8)
        return known


def silences(lines: Sequence[Shared]) -> tuple[list[Silent], list[Shared]]:
    """The classes, and all lines in a new order: class by class, in each window by window."""
    classes: dict[Hashable, dict[Events, list[Shared]]] = {}
    rest: list[Shared] = []
    for line in lines:
        found = class_of(line)
        if found is None:
            rest.append(line)
        else:
            windows = classes.setdefault(found, {})
            windows.setdefault(_untested(_leaf(line)), []).append(line)
    made: list[Silent] = []
    ordered: list[Shared] = []
    for windows in classes.values():
        spans: list[Span] = []
        start = len(ordered)
        for some in windows.values():
            begin = len(ordered)
            ordered += some
            spans.append(Span(retrieve=retrieve_of(some[0]), start=begin, stop=len(ordered)))
        made.append(Silent(spans=tuple(spans), lines=ordered[start:]))
    return made, [*ordered, *rest]


def _same_for_all_windows(case: Case, kinds: Sequence[Kind]) -> bool:
    """Every kind was pulled whole, or one of them not at all for any window."""
    wanting = [kind for kind in kinds if kind not in case.whole]
    return not wanting or any(_never_whole(case, kind) for kind in wanting)


def _never_whole(case: Case, kind: Kind) -> bool:
    rows = case.retrieved.get(kind, ())
    return not rows or any(not row.complete and row.date_to >= DATE_LATEST for row in rows)
