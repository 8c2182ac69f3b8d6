"""Both lanes over the same records: what they answer, in one form that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_adapter.decide import standing_of, stops_of
from fhir_adapter.decide.outcome import outcome_of
from fhir_adapter.evaluate.cohort import (
    EFFECTS,
    OUTCOMES,
    STOPS,
    ForStudy,
    compile_cohort,
    compile_cohorts,
    unpack,
)
from fhir_adapter.evaluate.record import CompiledStudy, compile_study, judge
from fhir_adapter.model.dates import local_date
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import Fact, PatientRecord
from fhir_adapter.model.mapping import Mappings
from fhir_adapter.model.study import SETTLED_ORDER, Study
from fhir_adapter.model.truth import Reason
from fhir_adapter.ports import Moment
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.duckdb import Engine
from fhir_adapter.warehouse.rows import Rows, codings, dictionary_tables, newest_first

TRUTHS = ("false", "unknown", "true")
Answer = dict[str, Any]


def tables_of(records: Sequence[PatientRecord]) -> tuple[dict[str, Any], Dictionary]:
    """The fact tables of some records, in memory."""
    dictionary = Dictionary()
    rows = Rows(dictionary)
    for number, record in enumerate(records, 1):
        rows.add(number, record)
    tables = dict(rows.tables())
    tables["fact_concept"] = codings(tables["fact"])
    return {**tables, **dictionary_tables(dictionary)}, dictionary


def by_sql(
    study: Study,
    mappings: Mappings,
    records: Sequence[PatientRecord],
    as_of: int,
    *,
    engine: Any = None,
    own_studies: frozenset[str] = frozenset(),
    **more: Any,
) -> list[Answer]:
    """What the statement says of each record, in order."""
    statement = compile_cohort(study, mappings, own_studies=own_studies, **more)
    tables, dictionary = tables_of(records)
    engine = engine or Engine()
    engine.tables(tables)
    day = local_date(as_of, mappings.site.zone)
    engine.moments(Moment(n, as_of, day) for n in range(1, len(records) + 1))
    rows = sorted(engine.run(statement, dictionary)[0].to_pylist(), key=lambda row: row["patient"])
    assert [row["patient"] for row in rows] == list(range(1, len(records) + 1))
    return [
        _said(row, record, [c.id for c in study.criteria])
        for row, record in zip(rows, records, strict=True)
    ]


def by_one_pass(
    asked: Sequence[ForStudy],
    records: Sequence[PatientRecord],
    as_of: int,
    *,
    engine: Any = None,
) -> list[list[Answer]]:
    """The same of several studies that are judged in one pass."""
    statements = compile_cohorts(asked)
    tables, dictionary = tables_of(records)
    engine = engine or Engine()
    engine.tables(tables)
    day = local_date(as_of, asked[0].mappings.site.zone)
    engine.moments(Moment(n, as_of, day) for n in range(1, len(records) + 1))
    found = engine.run(statements, dictionary)
    return [
        [
            _said(row, record, criteria)
            for row, record in zip(table.sort_by("patient").to_pylist(), records, strict=True)
        ]
        for table, criteria in zip(found, statements.criteria, strict=True)
    ]


def _said(row: Answer, record: PatientRecord, criteria: Sequence[str]) -> Answer:
    facts = sorted(record.facts, key=newest_first)
    stops = {stop.value for place, stop in enumerate(STOPS) if row["stops"] >> place & 1}
    return {
        "outcome": OUTCOMES[row["outcome"]].value,
        "stops": stops,
        "pointers": row["pointers"],
        **{name: _criterion(row, number, facts) for number, name in enumerate(criteria)},
    }


def _criterion(row: Answer, number: int, facts: Sequence[Fact]) -> Answer:
    seqs = [seq for packed in row[f"e{number}"] or () for seq in unpack(packed or 0)]
    reason, settled = row[f"r{number}"], row[f"s{number}"]
    return {
        "truth": TRUTHS[row[f"t{number}"]],
        "reason": None if reason is None else Reason(reason).code,
        "effect": EFFECTS[row[f"f{number}"]].value,
        "assumed": bool(row[f"a{number}"]),
        "settled": None if settled is None else SETTLED_ORDER[settled],
        "evidence": list(dict.fromkeys(facts[seq - 1].source for seq in seqs)),
    }


def by_closures(
    study: Study,
    mappings: Mappings,
    records: Sequence[PatientRecord],
    as_of: int,
    *,
    own_studies: frozenset[str] = frozenset(),
    **more: Any,
) -> list[Answer]:
    """What the record lane says of each record, in order."""
    compiled = compile_study(study, mappings, **more)
    return [_judged(compiled, mappings, record, as_of, own_studies) for record in records]


def _judged(
    compiled: CompiledStudy,
    mappings: Mappings,
    record: PatientRecord,
    as_of: int,
    own: frozenset[str],
) -> Answer:
    judged = judge(compiled, compiled.case(record, as_of, own))
    standing = standing_of(record, own, as_of=as_of)
    stops = stops_of(
        record,
        as_of=as_of,
        basis=True,
        on_study=standing.on_study,
        opted_out=False,
        silence_refuses=mappings.site.no_consent_means == "refusal",
    )
    outcome = Outcome.NOT_SCREENED if stops else outcome_of(compiled.study, judged.results)
    return {
        "outcome": outcome.value,
        "stops": {stop.value for stop in stops},
        "pointers": len(judged.pointers),
        **{
            result.criterion: {
                "truth": result.truth.value,
                "reason": None if result.reason is None else result.reason.code,
                "effect": result.effect.value,
                "assumed": result.assumed,
                "settled": result.settled,
                "evidence": list(dict.fromkeys(item.fact.source for item in result.evidence)),
            }
            for result in judged.results
        },
    }


def differences(ours: Sequence[Answer], theirs: Sequence[Answer]) -> list[str]:
    """Where two lanes differ, one line each."""
    return [
        f"record {number}, {name}: {one[name]} against {two[name]}"
        for number, (one, two) in enumerate(zip(ours, theirs, strict=True))
        for name in one
        if one[name] != two[name]
    ]
