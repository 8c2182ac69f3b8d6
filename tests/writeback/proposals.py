"""Proposals as present/ hands them over, small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.ports import Proposal, Resource

KEY = "k1"
KEY_SYSTEM = f"{BASE}/subject-key"
SET_BY = f"{BASE}/StructureDefinition/status-set-by"
MACHINE = {"extension": [{"url": SET_BY, "valueCode": "machine"}]}
DEVICE: Resource = {
    "resourceType": "Device",
    "identifier": [{"system": f"{BASE}/device", "value": "site-1"}],
    "version": [{"value": "0.1"}],
}


def subject(**elements: Any) -> Resource:
    """A proposal of Patient/p1 for ResearchStudy/s1."""
    return {
        "resourceType": "ResearchSubject",
        "identifier": [{"system": KEY_SYSTEM, "value": KEY}],
        "status": "candidate",
        "_status": MACHINE,
        "study": {"reference": "ResearchStudy/s1"},
        "individual": {"reference": "Patient/p1"},
        **elements,
    }


def opinion(fingerprint: str) -> Resource:
    """The machine's opinion."""
    return {
        "resourceType": "GuidanceResponse",
        "identifier": [{"system": f"{BASE}/opinion-key", "value": KEY}],
        "requestIdentifier": {"system": f"{BASE}/fingerprint", "value": fingerprint},
        "status": "success",
        "subject": {"reference": "Patient/p1"},
        "performer": {"reference": "Device/{id}"},
        "text": {"status": "generated", "div": "<div/>"},
    }


def provenance() -> Resource:
    """With targets to be filled in."""
    targets = ["ResearchSubject/{id}", "GuidanceResponse/{id}", "Patient/p1"]
    return {
        "resourceType": "Provenance",
        "target": [{"reference": one} for one in targets],
        "recorded": "2026-11-03T00:00:00Z",
        "agent": [{"who": {"reference": "Device/{id}"}}],
    }


def propose(fingerprint: str = "f1", **elements: Any) -> Proposal:
    """A candidate."""
    return Proposal(
        key=KEY,
        patient="p1",
        study="s1",
        fingerprint=fingerprint,
        action="propose",
        subject=subject(**elements),
        opinion=opinion(fingerprint),
        provenance=provenance(),
        device=DEVICE,
        patient_ids=("p1",),
    )


def take_back(fingerprint: str = "f2") -> Proposal:
    """Not a candidate any more, in the form of a take-back."""
    return replace(propose(fingerprint), action="take-back", subject=subject(status="ineligible"))


def keep(fingerprint: str = "f2", action: str = "keep") -> Proposal:
    """Proposed and now only unclear."""
    return replace(propose(fingerprint), action=action, subject=None)
