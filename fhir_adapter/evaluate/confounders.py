"""Node ``unless-confounded``: a deciding value under a confounder needs a person."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.evaluate.case import Case
from fhir_adapter.evaluate.judged import Closure, Judged, once, shown
from fhir_adapter.evaluate.retrieve import Retrieve
from fhir_adapter.model.fact import Fact
from fhir_adapter.model.result import Evidence, Open
from fhir_adapter.model.truth import Reason, Truth

_DECIDING = ("", "borderline", "answered")


@dataclass(frozen=True, slots=True)
class CompiledConfounder:
    """Facts around a value that put its answer in doubt."""

    name: str
    retrieve: Retrieve
    doubts: str

    def touches(self, truth: Truth) -> bool:
        """Whether it puts this answer in doubt."""
        return self.doubts in ("both", truth.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfounded:
    """One compiled node."""

    test: Closure
    by: tuple[CompiledConfounder, ...]
    question: str

    def judge(self, case: Case) -> Judged:
        """The test's answer; UNKNOWN (confounded, or not-retrieved) when it is in doubt."""
        answer = self.test(case)
        if answer.truth is Truth.UNKNOWN:
            return answer
        values = [item.fact for item in answer.evidence if item.why in _DECIDING]
        doubts = [
            doubt
            for confounder in self.by
            if confounder.touches(answer.truth)
            for value in values
            if (doubt := _doubt(confounder, case, value)) is not None
        ]
        if not doubts:
            return answer
        reasons = dict.fromkeys(Open(reason, self.question) for reason, _ in doubts)
        beside = tuple(item for _, evidence in doubts for item in evidence)
        return Judged(Truth.UNKNOWN, once((*answer.evidence, *beside)), tuple(reasons))


def _doubt(
    confounder: CompiledConfounder, case: Case, value: Fact
) -> tuple[Reason, tuple[Evidence, ...]] | None:
    members = confounder.retrieve.members(case, value)
    facts = [*members.sure, *(fact for fact, _ in members.maybe)]
    if facts:
        return Reason.CONFOUNDED, shown(facts, f"confounder: {confounder.name}")
    return None if members.problem is None else (members.problem, ())
