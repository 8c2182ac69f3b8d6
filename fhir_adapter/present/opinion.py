"""GuidanceResponse: the machine's opinion, with the reasons as contained Parameters.

Shape: fhir-shapes section 2. It is a document, not an index: one per study, patient and attempt,
updated in place, written only when the outcome_fingerprint changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

import msgspec

from fhir_adapter.model.criterion import Events
from fhir_adapter.model.decision import Check, Decision, Outcome
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.study import BEFORE_CONTACT, Criterion, Study
from fhir_adapter.model.vocabulary import CODE_SYSTEM, VALUE_SET
from fhir_adapter.ports import Resource
from fhir_adapter.present.narrative import narrative
from fhir_adapter.present.resources import FINGERPRINT, OPINION_KEY
from fhir_adapter.present.rows import CriterionRow, EvidenceRow, criterion_rows, date_time
from fhir_adapter.present.sentences import check_sentence, decision_sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What an opinion names beside the decision: all of it given, nothing looked up."""

    key: str
    plan: str
    """PlanDefinition url|version."""
    judged_at: str
    """FHIR instant."""
    zone: ZoneInfo


def guidance_response(decision: Decision, study: Study, setting: Setting) -> Resource:
    """The opinion about one decision."""
    rows = criterion_rows(decision, study, setting.zone)
    criteria = {criterion.id: criterion for criterion in study.criteria}
    hashes = decision.hashes
    return {
        "resourceType": "GuidanceResponse",
        "text": {
            "status": "generated",
            "div": narrative(
                decision_sentence(decision),
                rows,
                [check_sentence(check) for check in decision.checks],
            ),
        },
        "contained": [_parameters(decision, rows, criteria, setting.zone)],
        "requestIdentifier": {
            "system": FINGERPRINT,
            "value": "" if hashes is None else hashes.outcome,
        },
        "identifier": [{"system": OPINION_KEY, "value": setting.key}],
        "moduleCanonical": setting.plan,
        "status": _status(decision),
        "subject": {"reference": f"Patient/{decision.patient}"},
        "occurrenceDateTime": setting.judged_at,
        "performer": {"reference": "Device/{id}"},
        "outputParameters": {"reference": "#results"},
        **_data_requirements(decision.checks, criteria),
    }


def _status(decision: Decision) -> str:
    """success, data-requested (people's questions) or data-required (before contact)."""
    if decision.outcome is Outcome.CANDIDATE:
        return "data-requested" if decision.checks else "success"
    gate_open = decision.outcome is Outcome.NOT_PROPOSED and bool(decision.checks)
    needed = decision.outcome is Outcome.NEEDS_DATA or gate_open
    return "data-required" if needed else "success"


def _data_requirements(checks: Sequence[Check], criteria: dict[str, Criterion]) -> Resource:
    """Next checks that are data: the results which the open criteria read, one per value set."""
    wanted = [check for check in checks if check.settled in ("record", "result-under-way")]
    named = [name for check in wanted for name in check.criteria]
    sets = dict.fromkeys(name for number in named for name in _observed(criteria[number].test))
    found = [
        {
            "type": "Observation",
            "codeFilter": [{"path": "code", "valueSet": f"{VALUE_SET}/{name}"}],
        }
        for name in sets
    ]
    return {"dataRequirement": found} if found else {}


def _observed(part: object) -> Iterator[str]:
    """Value sets of the observations that a tree reads, in tree order."""
    if isinstance(part, Events) and Kind.OBSERVATION in part.kind and part.codes is not None:
        yield part.codes
    if isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            yield from _observed(getattr(part, name))
    elif isinstance(part, tuple):
        for item in cast("tuple[object, ...]", part):
            yield from _observed(item)


def _parameters(
    decision: Decision,
    rows: Sequence[CriterionRow],
    criteria: dict[str, Criterion],
    zone: ZoneInfo,
) -> Resource:
    shared = [
        {"name": "outcome", "valueCoding": _coding("outcome", decision.outcome.value)},
        {"name": "asOf", "valueDateTime": date_time(decision.as_of, zone)},
        {"name": "studyVersion", "valueString": decision.study_version},
        {"name": "attempt", "valueInteger": decision.attempt},
    ]
    shared += [{"name": "check", "part": _check(check)} for check in decision.checks]
    shared += [{"name": "criterion", "part": _criterion(row, criteria[row.number])} for row in rows]
    return {"resourceType": "Parameters", "id": "results", "parameter": shared}


def _check(check: Check) -> list[Resource]:
    found: list[Resource] = [
        {"name": "question", "valueString": check.text},
        {"name": "settled", "valueCoding": _coding("settled", check.settled)},
        {"name": "beforeContact", "valueBoolean": check.settled in BEFORE_CONTACT},
    ]
    return found + [{"name": "number", "valueString": name} for name in check.criteria]


def _criterion(row: CriterionRow, criterion: Criterion) -> list[Resource]:
    found: list[Resource] = [
        {"name": "number", "valueString": row.number},
        {"name": "verdict", "valueCoding": _coding("verdict", row.verdict.replace(" ", "-"))},
        {"name": "effect", "valueCoding": _coding("effect", row.effect.replace(" ", "-"))},
    ]
    if row.reason_code:
        found.append({"name": "reason", "valueCoding": _coding("reason", row.reason_code)})
    found += [
        {"name": "policy", "valueCoding": _coding("policy", criterion.if_absent)},
        {"name": "assumed", "valueBoolean": row.assumed},
        {"name": "confirmed", "valueBoolean": row.confirmed},
    ]
    if row.criterion_hash:
        found.append({"name": "hash", "valueString": row.criterion_hash})
    found += [{"name": "evidence", "part": _evidence(item)} for item in row.evidence]
    if row.evidence_left_out:
        found.append({"name": "evidenceLeftOut", "valueInteger": row.evidence_left_out})
    return found


def _coding(system: str, code: str) -> Resource:
    return {"system": f"{CODE_SYSTEM}/{system}", "code": code}


def _evidence(item: EvidenceRow) -> list[Resource]:
    """The reference without its version, the version as a string: servers strip versions."""
    found: list[Resource] = []
    if is_resource(item.reference):
        found.append(
            {"name": "source", "valueReference": {"reference": item.reference.split("#", 1)[0]}}
        )
    texts = (
        ("statement", item.reference),
        ("version", item.version),
        ("value", item.value),
        ("canonical", item.canonical),
        ("date", item.date),
        ("why", item.why),
    )
    return found + [{"name": name, "valueString": text} for name, text in texts if text]


def is_resource(reference: str) -> bool:
    """Whether a fact comes from a resource of a server; answers of the ledger do not."""
    return reference[:1].isupper() and "/" in reference
