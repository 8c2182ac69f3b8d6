"""The lowest mark of each study: what its criteria together lead to, for one patient.

A rule gives every result a mark; the lowest one among its criteria is the study's. Only a gate
can give 0. So gates come first, and a line is judged only while it can still lower a study: most
studies are shut by silence or by one gate, and their other criteria are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fhir_adapter.evaluate.case import Case, build
from fhir_adapter.evaluate.judged import Judged
from fhir_adapter.evaluate.many.lines import Lines, Shared, SiteStudy
from fhir_adapter.evaluate.many.reads import Index
from fhir_adapter.evaluate.many.row import Marks, Row, row_of
from fhir_adapter.evaluate.many.silence import Silent, silences
from fhir_adapter.evaluate.membership import Membership
from fhir_adapter.evaluate.record import judge, result_for
from fhir_adapter.model.fact import Kind, PatientRecord
from fhir_adapter.model.result import CriterionResult
from fhir_adapter.model.study import Criterion

_UNJUDGED = 255
_AT_ONCE = 200
"""Lines judged before the studies that still wait are looked at again."""
_BOUNDS = (0, 1, 2)
"""Lowest marks that a gate, a criterion that may end the matter, and a passing one can give."""


def _bound(criterion: Criterion) -> int:
    if criterion.gate != "none":
        return 0
    return 2 if criterion.lasts == "passing" else 1


@dataclass(frozen=True, slots=True)
class Rule:
    """What a result is worth: 0 (gates only) up to ``top`` (it holds nobody back).

    A mark rests on truth, effect, reason, what is open, where it is settled and whether it is
    lasting: never on evidence or dates. A passing criterion that is no gate gives 2 at least.
    """

    mark: Callable[[Criterion, CriterionResult], int]
    top: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marked:
    """One patient at one moment under all studies."""

    lowest: Marks
    """Study by study."""
    lines: Marks
    """Line by line; 255 where nothing hung on it."""
    case: Case
    own_studies: Sequence[frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """What no study exceeds for one patient at one moment, and the facts as they stood."""

    lowest: Marks
    """Study by study."""
    case: Case
    alone: frozenset[int]
    """Studies to which the record means something of its own."""

    def case_of(self, number: int) -> Case | None:
        """A case in which a study can be judged in full; None where it needs one of its own.

        Sorting facts by code set is the same work for every study of the site: done once.
        """
        return None if number in self.alone else replace(self.case, memo={})


class ManyStudies:
    """Studies of one site, made ready once for any number of patients."""

    def __init__(self, studies: Sequence[SiteStudy], rule: Rule) -> None:
        self.studies: tuple[SiteStudy, ...] = tuple(studies)
        self._rule = rule
        made = Lines(self.studies)
        self._silent: list[Silent]
        self._lines: list[Shared]
        self._silent, self._lines = silences(made.lines)
        self._membership: Membership = Membership(made.code_sets)
        self._index: Index = Index([line.reads for line in self._lines])
        bounds = (_bound(line.line.criterion) for line in self._lines)
        self._bound: Marks = np.array([*bounds, rule.top], dtype=np.uint8)
        self._row: Row = row_of(made.of_study, self._lines)
        self._apart: frozenset[int] = made.apart
        self._by_id: dict[str, list[int]] = {}
        for number, one in enumerate(self.studies):
            self._by_id.setdefault(one.study.id, []).append(number)
        self._reopening: list[int] = [
            number
            for number, one in enumerate(self.studies)
            if any(pair.reopens_assumed for pair in one.study.pairs)
        ]

    @property
    def distinct(self) -> int:
        """How many lines the studies have between them."""
        return len(self._lines)

    def judge(
        self,
        record: PatientRecord,
        as_of: int,
        own_studies: Sequence[frozenset[str]] = (),
    ) -> Marked:
        """One patient under all studies.

        ``own_studies``: study by study, the names by which the record knows it; empty for none.
        """
        lines, cases = self._begun(record, as_of)
        return self._marked(lines, cases, own_studies)

    def at_most(
        self,
        record: PatientRecord,
        as_of: int,
        own_studies: Sequence[frozenset[str]] = (),
    ) -> Bounds:
        """Study by study, a mark that ``judge`` would not exceed, without judging any study alone.

        For whoever judges what is left in full anyway: pairs only lower a mark, and a study to
        which the record means something of its own is given the top.
        """
        lines, cases = self._begun(record, as_of)
        self._judge_waiting(lines, cases)
        alone = frozenset(self._alone(cases.first, own_studies))
        lowest = self._row.lowest(lines)
        lowest[list(alone)] = self._rule.top
        return Bounds(lowest=lowest, case=cases.first, alone=alone)

    def _begun(self, record: PatientRecord, as_of: int) -> tuple[Marks, _Cases]:
        """The lines of which the record says nothing are answered, the others wait."""
        cases = _Cases(self._case(record, as_of))
        lines = np.full(len(self._bound), _UNJUDGED, dtype=np.uint8)
        lines[-1] = self._rule.top
        for silent in self._silent:
            silent.fill(lines, cases.of(silent.lines[0]), self._mark)
        return lines, cases

    def again(self, before: Marked, record: PatientRecord) -> Marked:
        """The same patient and moment with a changed record: only what that touches is judged."""
        case = self._case(record, before.case.as_of)
        lines = before.lines.copy()
        lines[:-1][self._index.touched(before.case, case)] = _UNJUDGED
        return self._marked(lines, _Cases(case), before.own_studies)

    def touched(self, before: Marked, record: PatientRecord) -> list[int]:
        """Numbers of the studies that a changed record can touch; the others stay as they are."""
        case = self._case(record, before.case.as_of)
        lines = np.append(self._index.touched(before.case, case), np.False_)
        found = self._row.any(lines)
        own = before.own_studies
        found[list(self._alone(before.case, own) | self._alone(case, own))] = True
        return [int(number) for number in np.flatnonzero(found)]

    def _case(self, record: PatientRecord, as_of: int) -> Case:
        zone = self.studies[0].mappings.site.zone
        return build(record, as_of=as_of, zone=zone, membership=self._membership)

    def _marked(self, lines: Marks, cases: _Cases, own: Sequence[frozenset[str]]) -> Marked:
        self._judge_waiting(lines, cases)
        lowest = self._row.lowest(lines)
        for number in self._alone(cases.first, own):
            lowest[number] = self._judged_alone(number, cases.first, own)
        for number in self._reopening:
            if lowest[number] > 0:
                lowest[number] = self._judged_alone(number, cases.first, own)
        return Marked(lowest=lowest, lines=lines, case=cases.first, own_studies=own)

    def _judge_waiting(self, lines: Marks, cases: _Cases) -> None:
        """Judge lines that can still lower a study, those of most studies first."""
        row = self._row
        for bound in _BOUNDS:
            able = self._bound == bound
            while True:
                row = row.only(row.lowest(lines) > bound)
                waiting = row.most_shared(able & (lines == _UNJUDGED), _AT_ONCE)
                if not waiting:
                    break
                for number in waiting:
                    line = self._lines[number]
                    case = cases.of(line)
                    lines[number] = self._mark(line, line.line.test(case), case)

    def _mark(self, line: Shared, answer: Judged, case: Case) -> int:
        """What an answer to a line's test is worth; worked out once per state and settings."""
        if line.worth is None:
            return self._new_mark(line, answer, case)
        state = (answer.truth, answer.assumed, answer.opens)
        known = line.worth.get(state)
        if known is None:
            known = line.worth[state] = self._new_mark(line, answer, case)
        return known

    def _new_mark(self, line: Shared, answer: Judged, case: Case) -> int:
        return self._rule.mark(line.line.criterion, result_for(line.line, answer, case))

    def _alone(self, case: Case, own: Sequence[frozenset[str]]) -> set[int]:
        """Studies for which this record means something of its own.

        Those that the patient takes part in, those that somebody has answered for, and those that
        use the name of a value set or calculator otherwise than the rest.
        """
        found = set(self._apart)
        facts = case.record.facts
        takes_part = {fact.study for fact in facts if fact.kind is Kind.STUDY_PARTICIPATION}
        if takes_part:
            found.update(n for n, names in enumerate(own) if not takes_part.isdisjoint(names))
        codes = {code.code for fact in facts if fact.kind is Kind.ANSWER for code in fact.concepts}
        for study in {start for code in codes for start in _starts(code)}:
            found.update(self._by_id.get(study, ()))
        return found

    def _judged_alone(self, number: int, case: Case, own: Sequence[frozenset[str]]) -> int:
        compiled = self.studies[number].compiled
        names = own[number] if own else frozenset[str]()
        results = judge(compiled, compiled.case(case.record, case.as_of, names)).results
        criteria = {criterion.id: criterion for criterion in compiled.study.criteria}
        marks = (self._rule.mark(criteria[one.criterion], one) for one in results)
        return min(marks, default=self._rule.top)


def _starts(code: str) -> Iterable[str]:
    """Study ids that an answer's code may begin with: "<study>/<question>"."""
    return (code[:at] for at, letter in enumerate(code) if letter == "/")


class _Cases:
    """One case per group of lines: what a named anchor is differs from group to group."""

    def __init__(self, first: Case) -> None:
        self.first = first
        self._cases: dict[int, Case] = {0: first}

    def of(self, line: Shared) -> Case:
        """The case in which a line is judged."""
        found = self._cases.get(line.group)
        if found is None:
            found = self._cases[line.group] = replace(self.first, memo={})
        return found
