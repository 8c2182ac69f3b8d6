"""The opinion of a patient who could not be judged: failure, with the reason in its place.

Shape: fhir-shapes section 2. The ResearchSubject stays as it is; the opinion that stood there is
replaced, because it answers a question that can no longer be answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.errors import AdapterError, ServerFault
from fhir_adapter.fhir.resources import validated
from fhir_adapter.ports import Proposal, Resource
from fhir_adapter.present.narrative import narrative
from fhir_adapter.present.opinion import Setting
from fhir_adapter.present.proposals import Desk
from fhir_adapter.present.resources import FINGERPRINT, OPINION_KEY, provenance

_SAID = "The evaluation failed; no answer about this patient."


def is_failed_evaluation(error: AdapterError) -> bool:
    """A record that did not arrive is no failed evaluation: a failed pull changes nothing."""
    return not isinstance(error, ServerFault)


def failed_evaluation(error: AdapterError, patient: str, setting: Setting) -> Resource:
    """GuidanceResponse with status failure; the error's own words, which hold no patient data."""
    return {
        "resourceType": "GuidanceResponse",
        "text": {"status": "generated", "div": narrative(f"{_SAID} {error}", (), ())},
        "contained": [
            {
                "resourceType": "OperationOutcome",
                "id": "failure",
                "issue": [
                    {
                        "severity": "error",
                        "code": "exception",
                        "details": {"text": error.code},
                        "diagnostics": str(error),
                    }
                ],
            }
        ],
        "requestIdentifier": {"system": FINGERPRINT, "value": fingerprint(error)},
        "identifier": [{"system": OPINION_KEY, "value": setting.key}],
        "moduleCanonical": setting.plan,
        "status": "failure",
        "subject": {"reference": f"Patient/{patient}"},
        "occurrenceDateTime": setting.judged_at,
        "performer": {"reference": "Device/{id}"},
        "evaluationMessage": [{"reference": "#failure"}],
    }


def fingerprint(error: AdapterError) -> str:
    """Stands where the outcome's would: the same failure is written once, an answer replaces it."""
    return f"failed:{error.code}"


def failure(
    error: AdapterError, desk: Desk, *, key: str, patient: str, ids: Sequence[str]
) -> Proposal:
    """What is sent for a patient who was proposed under ``key`` and could not be judged now."""
    setting = Setting(key=key, plan=desk.plan, judged_at=desk.judged_at, zone=desk.zone)
    return Proposal(
        key=key,
        patient=patient,
        study=desk.study.id,
        fingerprint=fingerprint(error),
        action="keep",
        subject=None,
        opinion=validated(failed_evaluation(error, patient, setting)),
        provenance=provenance(patient=patient, sources=(), recorded=desk.judged_at),
        device=desk.device,
        patient_ids=tuple(ids),
    )
