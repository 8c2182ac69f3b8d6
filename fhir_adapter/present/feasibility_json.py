"""A feasibility report as JSON, and its JSON Schema (schemas/cohort-report.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_adapter.model.decision import Stop
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.present.feasibility import OUTCOME_GROUPS, Feasibility, Line, StepLine
from fhir_adapter.present.words import DISCLAIMER

FEASIBILITY_FORMAT = 1
"""Version of the JSON form; another number is refused by name."""

Json = dict[str, Any]


def feasibility_json(report: Feasibility, *, as_of: str, site: str) -> Json:
    """The whole report; null where a count is withheld."""
    return {
        "format": FEASIBILITY_FORMAT,
        "study": report.study.id,
        "study-version": report.study.version,
        "site": site,
        "as-of": as_of,
        "min-cell": report.min_cell,
        "signed": report.signed,
        "patients": report.everyone,
        "failed": report.failed,
        "stopped": report.stopped,
        "stops": {stop.value: count for stop, count in report.stops},
        "judged": report.judged,
        "outcomes": dict(report.outcomes),
        "criteria": [_line(line) for line in report.lines],
        "attrition": [
            {"order": name, "steps": [_step(step) for step in steps]}
            for name, steps in report.attritions
        ],
        "issues": dict(report.issues),
        "disclaimer": DISCLAIMER,
    }


def _line(line: Line) -> Json:
    return {
        "criterion": line.criterion,
        "title": line.title,
        "kind": "inclusion" if line.inclusion else "exclusion",
        "gate": line.gate,
        "signed": line.signed,
        "fits": line.fits,
        "assumed": line.assumed,
        "does-not-apply": line.not_applicable,
        "against": line.against,
        "against-assumed": line.against_assumed,
        "open": dict(line.reasons),
        "open-total": line.open,
        "sole-reason-against": line.sole,
        "if-set-aside": {
            "new-candidates": line.to_candidate,
            "new-needs-data": line.to_needs_data,
            "needs-data-to-candidate": line.settled,
        },
    }


def _step(step: StepLine) -> Json:
    return {
        "criterion": step.criterion,
        "fits": step.fits,
        "open": step.open,
        "against": step.against,
        "still-in": step.still_in,
        "newly-against": step.lost,
    }


_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_COUNT: Json = {"type": ["integer", "null"], "minimum": 0}


def _object(properties: Mapping[str, Json]) -> Json:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }


def _some(names: Mapping[str, Json]) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": dict(names)}


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def feasibility_schema() -> Json:
    """JSON Schema 2020-12 of ``cohort report --json``; null stands for a withheld count."""
    gains = ("new-candidates", "new-needs-data", "needs-data-to-candidate")
    counts = ("fits", "assumed", "does-not-apply", "against", "against-assumed")
    line: Json = {
        "criterion": _TEXT,
        "title": _TEXT,
        "kind": {"enum": ["inclusion", "exclusion"]},
        "gate": _FLAG,
        "signed": _FLAG,
        **dict.fromkeys(counts, _COUNT),
        "open": _some({reason.code: _COUNT for reason in Reason}),
        "open-total": _COUNT,
        "sole-reason-against": _COUNT,
        "if-set-aside": _object(dict.fromkeys(gains, _COUNT)),
    }
    numbers = ("fits", "open", "against", "still-in", "newly-against")
    step = _object({"criterion": _TEXT, **dict.fromkeys(numbers, _COUNT)})
    attrition = _object({"order": _TEXT, "steps": _list(step)})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{BASE}/cohort-report.schema.json",
        "title": "Counts over everybody before a study goes live; null where one is withheld",
        **_object(
            {
                "format": {"const": FEASIBILITY_FORMAT},
                **dict.fromkeys(("study", "study-version", "site", "as-of"), _TEXT),
                "min-cell": {"type": "integer", "minimum": 1},
                "signed": _FLAG,
                **dict.fromkeys(("patients", "failed", "stopped"), _COUNT),
                "stops": _some({stop.value: _COUNT for stop in Stop}),
                "judged": _COUNT,
                "outcomes": _object(dict.fromkeys(OUTCOME_GROUPS, _COUNT)),
                "criteria": _list(_object(line)),
                "attrition": _list(attrition),
                "issues": {"type": "object", "additionalProperties": _COUNT},
                "disclaimer": _TEXT,
            }
        ),
    }
