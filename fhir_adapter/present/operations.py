"""Answers of the FHIR operations: Parameters around the resources that write-back sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_adapter.fhir.resources import validated
from fhir_adapter.model.decision import Decision, Outcome
from fhir_adapter.model.study import Study
from fhir_adapter.model.vocabulary import CODE_SYSTEM
from fhir_adapter.ports import Resource
from fhir_adapter.present.opinion import Setting, guidance_response
from fhir_adapter.present.proposals import action_of
from fhir_adapter.present.sentences import decision_sentence

Context = dict[str, Any]
"""plan, judged_at and zone of an opinion."""


def prescreen(decision: Decision, study: Study, context: Context) -> Resource:
    """Outcome, sentence, what would be proposed, and the opinion."""
    found = _said(decision)
    found.append({"name": "proposal", "valueCode": action_of(decision, study)})
    if not decision.stops:
        found.append({"name": "opinion", "resource": _opinion(decision, study, context)})
    return validated({"resourceType": "Parameters", "parameter": found})


def match(told: Sequence[tuple[Decision, Study, Context]]) -> Resource:
    """One part per study: those worth looking at first."""
    order = list(Outcome)
    best = sorted(told, key=lambda one: (-order.index(one[0].outcome), one[0].rank, one[1].id))
    found: list[Resource] = []
    for decision, study, context in best:
        inner = [{"name": "study", "valueReference": {"reference": f"ResearchStudy/{study.id}"}}]
        inner += _said(decision)
        if not decision.stops:
            inner.append({"name": "opinion", "resource": _opinion(decision, study, context)})
        found.append({"name": "match", "part": inner})
    return validated({"resourceType": "Parameters", "parameter": found})


def opinion_of(decision: Decision, study: Study, context: Context) -> Resource:
    """The criteria alone: the Parameters that the opinion contains, with the sentence before."""
    (contained,) = _opinion(decision, study, context)["contained"]
    parameters = [*_said(decision)[1:], *contained["parameter"]]
    return validated({"resourceType": "Parameters", "parameter": parameters})


def _said(decision: Decision) -> list[Resource]:
    outcome = {"system": f"{CODE_SYSTEM}/outcome", "code": decision.outcome.value}
    return [
        {"name": "outcome", "valueCoding": outcome},
        {"name": "sentence", "valueString": decision_sentence(decision)},
        {"name": "confirmed", "valueBoolean": decision.confirmed},
    ]


def _opinion(decision: Decision, study: Study, context: Context) -> Resource:
    """Not written anywhere, so it has no key and no device of the record server."""
    made = guidance_response(decision, study, Setting(key="not-written", **context))
    made.pop("performer")
    made.pop("identifier")
    return made
