"""The small FHIR resources we write: Device, ResearchSubject, Provenance (fhir-shapes section 2).

Ids that the server gives stand as placeholders ("Device/{id}"), filled in by writeback/. An arm,
a period or a consent is never written.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from fhir_adapter.model.vocabulary import BASE, STRUCTURE
from fhir_adapter.ports import Resource

SUBJECT_KEY = f"{BASE}/NamingSystem/subject-key"
OPINION_KEY = f"{BASE}/NamingSystem/opinion-key"
FINGERPRINT = f"{BASE}/NamingSystem/outcome-fingerprint"
DEVICE_KEY = f"{BASE}/NamingSystem/device"
LIST_KEY = f"{BASE}/NamingSystem/list-key"
SET_BY = f"{STRUCTURE}/status-set-by"
_DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_LIST_USE = "http://terminology.hl7.org/CodeSystem/list-example-use-codes"
_AGENT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def subject_key(site_key: bytes, study_identifier: str, patient: str, attempt: int) -> str:
    """Deterministic identifier of (study, patient at first proposal, attempt): HMAC-SHA256, hex.

    Without the site's key nobody can tell from it who the patient is.
    """
    message = msgspec.json.encode([study_identifier, patient, attempt])
    return hmac.new(site_key, message, hashlib.sha256).hexdigest()


def device(identifier: str, version: str) -> Resource:
    """This installation."""
    return {
        "resourceType": "Device",
        "identifier": [{"system": DEVICE_KEY, "value": identifier}],
        "status": "active",
        "deviceName": [{"name": "fhir-adapter", "type": "user-friendly-name"}],
        "version": [{"value": version}],
    }


def research_subject(*, key: str, status: str, study: str, patient: str) -> Resource:
    """Our proposal, or its taking back: marked as set by the machine."""
    return {
        "resourceType": "ResearchSubject",
        "identifier": [{"system": SUBJECT_KEY, "value": key}],
        "status": status,
        "_status": {"extension": [{"url": SET_BY, "valueCode": "machine"}]},
        "study": {"reference": study},
        "individual": {"reference": f"Patient/{patient}"},
    }


def screening_list(site_key: bytes, study_identifier: str, *, title: str, device: str) -> Resource:
    """The List of a study's proposals, without entries: they refer to no patient but through them.

    R4 List: ``subject`` cannot be a study (fhir-shapes section 2), so the title names it, and the
    identifier is the same for the same installation and study.
    """
    message = msgspec.json.encode(["list", study_identifier])
    return {
        "resourceType": "List",
        "identifier": [
            {
                "system": LIST_KEY,
                "value": hmac.new(site_key, message, hashlib.sha256).hexdigest(),
            }
        ],
        "status": "current",
        "mode": "working",
        "title": title,
        "code": {"coding": [{"system": _LIST_USE, "code": "worklist"}]},
        "source": {"type": "Device", "identifier": {"system": DEVICE_KEY, "value": device}},
    }


def provenance(*, patient: str, sources: tuple[str, ...], recorded: str) -> Resource:
    """Who wrote it, from what, and why: the Device assembled it for clinical trial research."""
    made: Resource = {
        "resourceType": "Provenance",
        "target": [
            {"reference": "ResearchSubject/{id}"},
            {"reference": "GuidanceResponse/{id}"},
            {"reference": f"Patient/{patient}"},
        ],
        "recorded": recorded,
        "activity": {"coding": [{"system": _DATA_OPERATION, "code": "UPDATE"}]},
        "reason": [{"coding": [{"system": _REASON, "code": "CLINTRCH"}]}],
        "agent": [
            {
                "type": {"coding": [{"system": _AGENT, "code": "assembler"}]},
                "who": {"reference": "Device/{id}"},
            }
        ],
    }
    if sources:
        made["entity"] = [{"role": "source", "what": {"reference": name}} for name in sources]
    return made
