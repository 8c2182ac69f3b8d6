"""Node ``ask``: a person's dated answer comes first; without one, what data alone may say.

Data never overwrite a person: when a newer fact decides otherwise the answer becomes a conflict,
which is open again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fhir_adapter.evaluate.case import Case, last_start
from fhir_adapter.evaluate.judged import Closure, Judged, once, shown
from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import Duration
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.result import Evidence, Open
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.model.vocabulary import NO, YES


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledAsk:
    """One compiled question."""

    code: Code
    question: str
    valid_for: Duration | None
    yes_if: Closure | None
    no_if: Closure | None
    raised_by: Closure | None
    raised_as: Reason

    def judge(self, case: Case) -> Judged:
        """The answer for one case."""
        answers = self.valid(case)
        if answers:
            return self._answered(case, answers)
        return self._from_data(case)

    def valid(self, case: Case) -> list[Fact]:
        """The newest yes or no that still holds; two at the same instant are both returned."""
        given = [fact for fact in case.answers.get(self.code, ()) if _said(fact) is not None]
        newest = max((fact.start_lo for fact in given), default=None)
        return [fact for fact in given if fact.start_lo == newest and not self._old(fact, case)]

    def _old(self, fact: Fact, case: Case) -> bool:
        if self.valid_for is None:
            return False
        if self.valid_for.is_hours:
            return last_start(fact) < case.as_of - self.valid_for.micros
        return fact.start_date_hi < self.valid_for.shift(case.as_of_date, -1)

    def _answered(self, case: Case, answers: Sequence[Fact]) -> Judged:
        said = {_said(fact) for fact in answers}
        evidence = shown(answers, "answered")
        truth = said.pop() if len(said) == 1 else None
        if truth is None:
            return self._open(Reason.CONFLICT, evidence)
        data = self._from_data(case)
        if data.truth not in (truth, Truth.UNKNOWN) and _newer(data, answers):
            return self._open(Reason.CONFLICT, (*evidence, *data.evidence))
        return Judged(truth, evidence)

    def _from_data(self, case: Case) -> Judged:
        yes = self.yes_if(case) if self.yes_if is not None else None
        no = self.no_if(case) if self.no_if is not None else None
        said_yes = yes is not None and yes.truth is Truth.TRUE
        said_no = no is not None and no.truth is Truth.TRUE
        if said_yes and said_no:
            return self._open(Reason.CONFLICT, _evidence(yes, no))
        if yes is not None and said_yes:
            return yes
        if no is not None and said_no:
            return msgspec.structs.replace(no, truth=Truth.FALSE, until=None)
        return self._undecided(case, yes, no)

    def _undecided(self, case: Case, yes: Judged | None, no: Judged | None) -> Judged:
        raised = self.raised_by(case) if self.raised_by is not None else None
        if raised is not None and raised.truth is Truth.TRUE:
            evidence = _evidence(raised, yes, no)
            return self._open(self.raised_as, evidence)
        unsure = [part for part in (yes, no) if part is not None and part.truth is Truth.UNKNOWN]
        evidence = _evidence(yes, no)
        if not unsure:
            return self._open(self._unanswered(case), evidence)
        opens = tuple(
            dict.fromkeys(
                item if item.question else Open(item.reason, self.question)
                for part in unsure
                for item in part.opens
            )
        )
        return Judged(Truth.UNKNOWN, evidence, opens)

    def _unanswered(self, case: Case) -> Reason:
        """STALE when somebody answered and it no longer holds, else a person is needed."""
        given = [fact for fact in case.answers.get(self.code, ()) if _said(fact) is not None]
        return Reason.STALE if given else Reason.NEEDS_HUMAN

    def _open(self, reason: Reason, evidence: tuple[Evidence, ...]) -> Judged:
        return Judged(Truth.UNKNOWN, evidence, (Open(reason, self.question),))


def _said(fact: Fact) -> Truth | None:
    if YES in fact.value_concepts:
        return Truth.TRUE
    return Truth.FALSE if NO in fact.value_concepts else None


def _newer(data: Judged, answers: Sequence[Fact]) -> bool:
    given = max(fact.start_lo for fact in answers)
    return any(last_start(item.fact) > given for item in data.evidence)


def _evidence(*parts: Judged | None) -> tuple[Evidence, ...]:
    return once(item for part in parts if part is not None for item in part.evidence)
