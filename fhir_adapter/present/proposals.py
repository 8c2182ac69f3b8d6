"""Proposal: the finished resources of one decision, by the status table of fhir-shapes section 2.

| decision | action |
|---|---|
| candidate | propose candidate |
| needs-data | keep; propose potential-candidate where the study turns it on |
| not-eligible, not-now, a gate against | take back |
| a gate open | keep |
| deceased, opted out | take back, no opinion |
| any other stop, already on the study | none |
| declined, or an earlier attempt is closed | none: people decide |
| anything rests on a failed pull, a stop that cannot be ruled out too | keep |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from fhir_adapter.fhir.resources import validated
from fhir_adapter.model.decision import Decision, Outcome, Stop
from fhir_adapter.model.result import Effect
from fhir_adapter.model.study import Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.present.opinion import Setting, guidance_response, is_resource
from fhir_adapter.present.resources import provenance, research_subject, subject_key
from fhir_adapter.present.sentences import decision_sentence
from fhir_adapter.present.stand_ins import stand_in

Action = Literal["propose", "keep", "take-back", "none"]
_SOURCES = 50
"""Deciding resources named in one Provenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every proposal of one run shares."""

    study: Study
    site_key: bytes
    study_reference: str
    """ResearchStudy/<id> on the server that is written to."""
    plan: str
    """PlanDefinition url|version."""
    device: Resource
    judged_at: str
    zone: ZoneInfo
    stand_in: str = ""
    """Type of what stands for a ResearchSubject where the server takes none; empty: nothing."""


def action_of(decision: Decision, study: Study) -> Action:
    """What the status table says for the ResearchSubject."""
    if decision.stops:
        ended = {Stop.DECEASED, Stop.OPTED_OUT} & set(decision.stops)
        return "take-back" if ended else "none"
    if decision.withheld or decision.rescreen:
        return "none"
    if _is_proposed(decision, study):
        return "keep" if decision.unproved else "propose"
    return "take-back" if _is_decisive(decision) else "keep"


def _is_proposed(decision: Decision, study: Study) -> bool:
    if decision.outcome is Outcome.NEEDS_DATA:
        return study.writes_potential_candidate and not decision.labs_only
    return decision.outcome is Outcome.CANDIDATE


def _is_decisive(decision: Decision) -> bool:
    """Something is against: an open gate, or data that did not arrive, takes nothing back."""
    if decision.outcome is Outcome.NOT_PROPOSED:
        return any(r.gate and r.effect is Effect.AGAINST for r in decision.results)
    return decision.outcome in (Outcome.NOT_ELIGIBLE, Outcome.NOT_NOW)


def proposal(decision: Decision, desk: Desk, *, first_patient: str, ids: Sequence[str]) -> Proposal:
    """The resources of one decision.

    ``first_patient``: the id under which the patient was proposed first; ``ids``: every id the
    patient ever had.
    """
    every = tuple(dict.fromkeys((first_patient, *ids)))
    key, *others = (_key(desk, one, decision.attempt) for one in every)
    action = action_of(decision, desk.study)
    opinion = _opinion(decision, desk, key, action)
    recorded = provenance(
        patient=decision.patient, sources=_sources(decision), recorded=desk.judged_at
    )
    return Proposal(
        key=key,
        patient=decision.patient,
        study=decision.study,
        fingerprint="" if decision.hashes is None else decision.hashes.outcome,
        action=action,
        subject=_subject(decision, desk, key, action),
        opinion=opinion,
        provenance=recorded if action != "none" else None,
        device=desk.device,
        patient_ids=tuple(dict.fromkeys((*ids, first_patient))),
        other_keys=tuple(others),
        stand_in=_stand_in(decision, desk, key, action, opinion),
    )


def _key(desk: Desk, patient: str, attempt: int) -> str:
    identity = desk.study.identity
    return subject_key(desk.site_key, f"{identity.registry}|{identity.number}", patient, attempt)


def _stand_in(
    decision: Decision, desk: Desk, key: str, action: Action, opinion: Resource | None
) -> Resource | None:
    if not desk.stand_in or action in ("none", "keep"):
        return None
    return validated(
        stand_in(
            desk.stand_in,
            key=key,
            patient=decision.patient,
            study=desk.study_reference,
            outcome=decision.outcome.value,
            sentence=decision_sentence(decision),
            opinion=opinion,
            stands=action == "propose",
        )
    )


def _subject(decision: Decision, desk: Desk, key: str, action: Action) -> Resource | None:
    """A proposal, or the form in which it is taken back."""
    if action in ("none", "keep"):
        return None
    proposed = "candidate" if decision.outcome is Outcome.CANDIDATE else "potential-candidate"
    return validated(
        research_subject(
            key=key,
            status=proposed if action == "propose" else "ineligible",
            study=desk.study_reference,
            patient=decision.patient,
        )
    )


def _opinion(decision: Decision, desk: Desk, key: str, action: Action) -> Resource | None:
    if decision.stops or action == "none" or decision.labs_only:
        return None
    setting = Setting(key=key, plan=desk.plan, judged_at=desk.judged_at, zone=desk.zone)
    return validated(guidance_response(decision, desk.study, setting))


def _sources(decision: Decision) -> tuple[str, ...]:
    """The deciding resources, in criterion order."""
    found = dict.fromkeys(
        item.fact.source.split("#", 1)[0]
        for result in decision.results
        if result.reason is not Reason.NOT_RETRIEVED
        for item in result.evidence
        if item.why in ("", "borderline") and is_resource(item.fact.source)
    )
    return tuple(found)[:_SOURCES]
