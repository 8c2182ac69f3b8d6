"""The ResearchStudy: identity, arms as the protocol describes them, and where the criteria are."""

from __future__ import annotations

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import PHASE, concept, filled
from fhir_adapter.model.study import Arm, Identity
from fhir_adapter.ports import Resource


def research_study(made: Publication) -> Resource:
    """One resource for all versions: ``protocol`` points at the version that is published now."""
    identity = made.study.identity
    return filled(
        {
            "resourceType": "ResearchStudy",
            "id": made.study.id,
            "identifier": [{"system": identity.registry, "value": identity.number}],
            "title": identity.title,
            "protocol": [{"reference": f"PlanDefinition/{made.id}"}],
            "status": "active",
            "phase": concept(PHASE, identity.phase) if identity.phase else None,
            "condition": [{"text": identity.condition_text}],
            "keyword": [{"text": word} for word in identity.keywords],
            "description": identity.description,
            "enrollment": [{"reference": f"Group/{made.id}-readable"}],
            "period": filled({"start": identity.start, "end": identity.end}),
            "sponsor": {"display": identity.lead},
            "site": [{"display": name} for name in identity.locations],
            "note": _notes(identity),
            "arm": [_arm(arm) for arm in identity.arms],
        }
    )


def _notes(identity: Identity) -> list[Resource]:
    """R4 has no element for collaborators."""
    names = "; ".join(identity.collaborators)
    return [{"text": f"Collaborators: {names}"}] if names else []


def _arm(arm: Arm) -> Resource:
    words = arm.type.replace("-", " ")
    return {"name": arm.name, "type": {"text": words}, "description": arm.description}
