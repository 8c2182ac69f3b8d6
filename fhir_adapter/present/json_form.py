"""A decision as JSON, and the JSON Schema that ships with it (schemas/result.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any
from zoneinfo import ZoneInfo

from fhir_adapter.errors import AdapterError
from fhir_adapter.model.decision import Check, Decision, Outcome, Stop
from fhir_adapter.model.result import Effect, Verdict
from fhir_adapter.model.study import SETTLED_ORDER, Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.model.vocabulary import BASE
from fhir_adapter.ports import NotWhole, Written
from fhir_adapter.present.rows import CriterionRow, EvidenceRow, criterion_rows, iso, local_time
from fhir_adapter.present.sentences import decision_sentence, not_whole_remedy
from fhir_adapter.present.words import DISCLAIMER
from fhir_adapter.present.worklist import outcome_counts, unproved_counts

RESULT_FORMAT = 1
"""Version of the JSON form; another number is refused by name."""

Json = dict[str, Any]


def decision_json(decision: Decision, study: Study, zone: ZoneInfo) -> Json:
    """One decision: same decision, same bytes."""
    return {
        "format": RESULT_FORMAT,
        "patient": decision.patient,
        "study": decision.study,
        "study-version": decision.study_version,
        "as-of": local_time(decision.as_of, zone),
        "zone": zone.key,
        "outcome": decision.outcome.value,
        "sentence": decision_sentence(decision),
        "stops": [stop.value for stop in decision.stops],
        "unproved": [stop.value for stop in decision.unproved],
        "until": iso(decision.until),
        "watching": list(decision.watching),
        "next-date": iso(decision.next_date),
        "checks": [_check(check) for check in decision.checks],
        "pointers": list(decision.pointers),
        "rank": list(decision.rank),
        "labs-only": decision.labs_only,
        "withheld": decision.withheld,
        "rescreen": decision.rescreen,
        "attempt": decision.attempt,
        "assumed": decision.assumed,
        "confirmed": decision.confirmed,
        "issues": list(decision.issues),
        "hashes": asdict(decision.hashes) if decision.hashes is not None else {},
        "criteria": [_row(row) for row in criterion_rows(decision, study, zone)],
        "disclaimer": DISCLAIMER,
    }


def run_json(
    decisions: Sequence[Decision],
    failed: Sequence[tuple[str, AdapterError]],
    study: Study,
    zone: ZoneInfo,
    written: Sequence[Written] = (),
    *,
    issues: Mapping[str, int],
    not_whole: Sequence[NotWhole] = (),
    people: Mapping[str, str] | None = None,
) -> Json:
    """A whole run: the counts add up to everyone pulled; what was, or would be, written."""
    return {
        "format": RESULT_FORMAT,
        "study": study.id,
        "study-version": study.version,
        "patients": len(decisions) + len(failed),
        "counts": {outcome.value: count for outcome, count in outcome_counts(decisions)},
        "unproved": {outcome.value: count for outcome, count in unproved_counts(decisions)},
        "set-by-people": dict(people or {}),
        "failed": [
            {"patient": patient, "error": error.code, "remedy": error.remedy}
            for patient, error in failed
        ],
        "decisions": [decision_json(decision, study, zone) for decision in decisions],
        "written": [_written(one) for one in written],
        "issues": dict(issues),
        "types-not-whole": [_not_whole(one) for one in not_whole],
    }


def _not_whole(one: NotWhole) -> Json:
    return {
        "type": one.resource_type,
        "why-not": one.why_not,
        "patients": one.patients,
        "remedy": not_whole_remedy(one),
    }


def runs_json(runs: Sequence[Json]) -> Json:
    """One study's run as it is; several studies of one pass as a list of such."""
    return runs[0] if len(runs) == 1 else {"format": RESULT_FORMAT, "studies": list(runs)}


def _written(one: Written) -> Json:
    """What one proposal came to on the server."""
    return {
        "patient": one.patient,
        "created": list(one.created),
        "updated": list(one.updated),
        "unchanged": list(one.unchanged),
        "left-to-person": one.left_to_person,
        "dry-run": one.dry_run,
        "notes": list(one.notes),
        "error": one.error,
    }


def _check(check: Check) -> Json:
    return {
        "criteria": list(check.criteria),
        "question": check.question,
        "text": check.text,
        "who": check.who,
        "settled": check.settled,
        "reason": "" if check.reason is None else check.reason.code,
    }


def _row(row: CriterionRow) -> Json:
    found: Json = {_key(field.name): getattr(row, field.name) for field in fields(row)}
    found["evidence"] = [_evidence(item) for item in row.evidence]
    found["notes"] = list(row.notes)
    return found


def _evidence(row: EvidenceRow) -> Json:
    return {_key(field.name): getattr(row, field.name) for field in fields(row)}


def _key(name: str) -> str:
    return name.replace("_", "-")


# --- schema -----------------------------------------------------------------------------------

_TEXT: Json = {"type": "string"}
_FLAG: Json = {"type": "boolean"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TEXTS: Json = {"type": "array", "items": _TEXT}


def _enum(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def _object(properties: Mapping[str, Json]) -> Json:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def result_schema() -> Json:
    """JSON Schema 2020-12 of what --json prints: one decision, a run, or runs of studies."""
    reasons = _enum("", *(reason.code for reason in Reason))
    settled = _enum("", *SETTLED_ORDER)
    evidence = {_key(field.name): _TEXT for field in fields(EvidenceRow)} | {"entered": _FLAG}
    row = {_key(field.name): _TEXT for field in fields(CriterionRow)} | {
        "effect": _enum(*(effect.value for effect in Effect)),
        "verdict": _enum(*(verdict.value for verdict in Verdict)),
        "reason-code": reasons,
        "settled-code": settled,
        "evidence": _list({"$ref": "#/$defs/evidence"}),
        "evidence-left-out": _COUNT,
        "notes": _TEXTS,
        **dict.fromkeys(("inclusion", "gate", "assumed", "confirmed", "lasting"), _FLAG),
    }
    check = {
        "criteria": _TEXTS,
        "question": _TEXT,
        "text": _TEXT,
        "who": _TEXT,
        "settled": settled,
        "reason": reasons,
    }
    outcomes = [outcome.value for outcome in Outcome]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{BASE}/result.schema.json",
        "title": "What fhir-adapter concluded: for one patient and one study, or a whole run",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in ("decision", "run", "runs")],
        "$defs": {
            "decision": _decision(outcomes),
            "evidence": _object(evidence),
            "criterion": _object(row),
            "check": _object(check),
            "run": _run(outcomes),
            "runs": _object(
                {"format": {"const": RESULT_FORMAT}, "studies": _list({"$ref": "#/$defs/run"})}
            ),
        },
    }


def _decision(outcomes: Sequence[str]) -> Json:
    hashes = dict.fromkeys(("study", "basis", "outcome", "alert"), _TEXT)
    return _object(
        {
            "format": {"const": RESULT_FORMAT},
            "patient": _TEXT,
            "study": _TEXT,
            "study-version": _TEXT,
            "as-of": _TEXT,
            "zone": _TEXT,
            "outcome": _enum(*outcomes),
            "sentence": _TEXT,
            "stops": _list(_enum(*(stop.value for stop in Stop))),
            "unproved": _list(_enum(*(stop.value for stop in Stop))),
            "until": _TEXT,
            "watching": _TEXTS,
            "next-date": _TEXT,
            "checks": _list({"$ref": "#/$defs/check"}),
            "pointers": _TEXTS,
            "rank": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
            "labs-only": _FLAG,
            "withheld": _FLAG,
            "rescreen": _FLAG,
            "attempt": {"type": "integer", "minimum": 1},
            "assumed": _COUNT,
            "confirmed": _FLAG,
            "issues": _TEXTS,
            "hashes": {"type": "object", "additionalProperties": False, "properties": hashes},
            "criteria": _list({"$ref": "#/$defs/criterion"}),
            "disclaimer": _TEXT,
        }
    )


def _run(outcomes: Sequence[str]) -> Json:
    failed = _object({"patient": _TEXT, "error": _TEXT, "remedy": _TEXT})
    written: dict[str, Json] = {
        **dict.fromkeys(("patient", "error"), _TEXT),
        **dict.fromkeys(("created", "updated", "unchanged", "notes"), _TEXTS),
        **dict.fromkeys(("left-to-person", "dry-run"), _FLAG),
    }
    run = _object(
        {
            "format": {"const": RESULT_FORMAT},
            "study": _TEXT,
            "study-version": _TEXT,
            "patients": _COUNT,
            "counts": _object(dict.fromkeys(outcomes, _COUNT)),
            "unproved": {"type": "object", "additionalProperties": _COUNT},
            "set-by-people": {"type": "object", "additionalProperties": _TEXT},
            "failed": _list(failed),
            "decisions": _list({"$ref": "#/$defs/decision"}),
            "written": _list(_object(written)),
            "issues": {"type": "object", "additionalProperties": _COUNT},
            "types-not-whole": _list(
                _object({**dict.fromkeys(("type", "why-not", "remedy"), _TEXT), "patients": _COUNT})
            ),
        }
    )
    run["properties"] |= {  # of fact tables only
        "not_retrieved": {"type": "object", "additionalProperties": _COUNT},
        "unlisted": _COUNT,
    }
    return run
