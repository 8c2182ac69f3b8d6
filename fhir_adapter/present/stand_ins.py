"""What stands for a ResearchSubject on a server that takes none (fhir-shapes section 2).

A Task: somebody shall look at this patient for this study, its narrative is the explanation. Else a
DocumentReference that holds the explanation. The machine sets ``requested`` and ``cancelled`` (or
``current`` and ``superseded``), marked as its own; every other status is a person's.
"""

from __future__ import annotations

import base64

from fhir_adapter.model.vocabulary import BASE, CODE_SYSTEM, STRUCTURE
from fhir_adapter.ports import Resource

TASK_KEY = f"{BASE}/NamingSystem/task-key"
DOCUMENT_KEY = f"{BASE}/NamingSystem/document-key"
_SET_BY = f"{STRUCTURE}/status-set-by"
_EXPLAINED: Resource = {
    "type": {"text": "explanation"},
    "valueReference": {"reference": "GuidanceResponse/{id}"},
}
_MACHINE: Resource = {"extension": [{"url": _SET_BY, "valueCode": "machine"}]}


def stand_in(
    resource_type: str, *, key: str, patient: str, study: str, outcome: str, sentence: str,
    opinion: Resource | None, stands: bool,
) -> Resource:  # fmt: skip
    """One proposal in that form; ``stands`` is False where it is taken back.

    ``opinion``: its narrative explains; a Task links to it where the server keeps it.
    """
    narrative: Resource | None = None if opinion is None else opinion["text"]
    shared: Resource = {"_status": _MACHINE, "description": sentence}
    if resource_type == "Task":
        return {
            "resourceType": "Task",
            **({"text": narrative} if narrative else {}),
            "identifier": [{"system": TASK_KEY, "value": key}],
            "status": "requested" if stands else "cancelled",
            **shared,
            "businessStatus": _concept("outcome", outcome),
            "intent": "proposal",
            "code": _concept("task", "review-for-study"),
            "focus": {"reference": study},
            "for": {"reference": f"Patient/{patient}"},
            "requester": {"reference": "Device/{id}"},
            **({"output": [_EXPLAINED]} if narrative else {}),
        }
    return {
        "resourceType": "DocumentReference",
        "identifier": [{"system": DOCUMENT_KEY, "value": key}],
        "status": "current" if stands else "superseded",
        **shared,
        "type": _concept("task", "review-for-study"),
        "subject": {"reference": f"Patient/{patient}"},
        "author": [{"reference": "Device/{id}"}],
        "content": [{"attachment": _explanation(sentence, narrative)}],
        "context": {"related": [{"reference": study}]},
    }


def _explanation(sentence: str, narrative: Resource | None) -> Resource:
    shown = sentence if narrative is None else str(narrative["div"])
    kind = "text/plain" if narrative is None else "text/html"
    return {
        "contentType": f"{kind}; charset=utf-8",
        "data": base64.b64encode(shown.encode()).decode("ascii"),
        "title": "Pre-screening for a study: why",
    }


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{CODE_SYSTEM}/{system}", "code": code}]}
