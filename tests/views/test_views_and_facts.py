"""What the views give is what facts/ reads of the same resources.

Over the teaching cohort, a made-up record with the shapes that the cohort lacks, and a few public
records where they lie beside this checkout.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from fhir_adapter.model.dates import DATE_EARLIEST, EARLIEST
from fhir_adapter.model.fact import Kind
from fhir_adapter.model.vocabulary import NO, YES

from view_records import COHORT, VIEWS, Record, Row, resources_of
from view_runner import run

pytestmark = pytest.mark.slow

Codings = set[tuple[str, str, str, str]]

OF_CONCEPTS = {
    "observation": None, "observation-component": None, "condition": None, "procedure": None,
    "medication-request": None, "medication-statement": None, "medication-administration": None,
    "medication-dispense": None, "immunization": None,
    "allergy-intolerance": ("code", "substance", "manifestation"),
    "encounter": ("class", "type", "service-type", "admit-source"),
    "service-request": ("code",), "diagnostic-report": ("code", "category"),
}  # fmt: skip
"""View -> its elements whose codings are the concepts of a fact; None: all of them."""
OF_VALUES = {
    "observation-value-coding": ("value", "interpretation"),
    "allergy-intolerance": ("manifestation",), "encounter": ("reason",),
    "service-request": ("category",), "diagnostic-report": ("conclusion",),
}  # fmt: skip


def _said(record: Record, name: str, elements: tuple[str, ...] | None) -> Codings:
    return {
        (source, row["patient_id"], row["code_system"] or "", row["code"])
        for source, row in record.rows(name)
        if row["code"] is not None and (elements is None or row["element"] in elements)
    }


@pytest.mark.parametrize("name", OF_CONCEPTS)
def test_codings_are_the_concepts_of_the_facts(name: str, records: list[Record]) -> None:
    seen = 0
    for record in records:
        kind, inner = VIEWS[name]["resource"], name == "observation-component"
        facts = record.of_type(kind, components=inner)
        wanted = {
            (source, fact.patient, code.system, code.code)
            for source, fact in facts.items()
            for code in fact.concepts
            if fact.kind is not Kind.MEDICATION or not _is_referred(record, source)
        }
        said = _said(record, name, OF_CONCEPTS[name])
        if name == "observation":  # facts has no row for a panel that only holds others
            said = {one for one in said if one[0] in facts or not _only_holds(record, one[0])}
        assert said == wanted
        seen += len(wanted)
    assert seen


def _sent(record: Record, source: str) -> Any:
    kind, _, own = source.partition("/")
    return next(r for r in record.resources if r["resourceType"] == kind and r["id"] == own)


def _is_referred(record: Record, source: str) -> bool:
    return "medicationReference" in _sent(record, source)


def _only_holds(record: Record, source: str) -> bool:
    sent = _sent(record, source)
    holds = "component" in sent or "hasMember" in sent
    return holds and not any(name.startswith(("value", "dataAbsent")) for name in sent)


@pytest.mark.parametrize("name", OF_VALUES)
def test_codings_of_values_are_those_of_the_facts(name: str, records: list[Record]) -> None:
    seen = 0
    for record in records:
        wanted = {
            (source, fact.patient, code.system, code.code)
            for source, fact in record.facts.items()
            if source.startswith(f"{VIEWS[name]['resource']}/")
            for code in fact.value_concepts
            if code not in (YES, NO)  # a boolean is a column of its own
        }
        assert _said(record, name, OF_VALUES[name]) == wanted
        seen += len(wanted)
    assert seen


def test_referred_drugs_have_the_codings_of_their_medication(records: list[Record]) -> None:
    seen = 0
    for record in records:
        by_id: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for _, row in record.rows("medication"):
            by_id[f"Medication/{row['id']}"].add((row["code_system"], row["code"]))
        for source, row in record.rows("medication-request"):
            if row["medication_reference"]:
                codes = {(code.system, code.code) for code in record.facts[source].concepts}
                assert by_id[row["medication_reference"]] == codes
                seen += len(codes)
    assert seen


@pytest.mark.parametrize("name", ["observation", "observation-component"])
def test_values_are_the_raw_values_of_the_facts(name: str, records: list[Record]) -> None:
    seen = 0
    for record in records:
        for source, row in record.rows(name):
            fact = record.facts.get(source)
            if fact is None:  # a panel that only holds others says nothing itself
                assert _only_holds(record, source)
                continue
            if row["value"] is not None:
                assert isinstance(row["value"], (Decimal, int))
                assert (str(row["value"]), row["value_comparator"] or "") == (
                    fact.raw_value, fact.comparator,
                )  # fmt: skip
                assert _unit(row) == fact.raw_unit
                seen += 1
            elif row["value_integer"] is not None:
                assert str(row["value_integer"]) == fact.raw_value
                seen += 1
            elif row["value_boolean"] is not None:
                assert fact.value_concepts == ((YES if row["value_boolean"] else NO),)
                seen += 1
            elif row["value_string"] is not None:
                assert row["value_string"] == fact.raw_value
                seen += 1
    assert seen


def _unit(row: Row) -> str:
    """UCUM's code, else the unit in words, else whatever code there is."""
    is_ucum = row["value_unit_system"] == "http://unitsofmeasure.org"
    code = row["value_unit_code"] or ""
    return (code if is_ucum else "") or row["value_unit"] or code


SINGLE = {"low": "ref_low", "high": "ref_high"}


def test_reference_ranges_are_the_limits_of_the_facts(records: list[Record]) -> None:
    """Where one range stands and its unit is the result's own, so that nothing was converted."""
    seen = 0
    for record in records:
        ranges: dict[str, list[Row]] = defaultdict(list)
        for source, row in record.rows("observation-reference-range"):
            ranges[source].append(row)
        for source, found in ranges.items():
            fact = record.facts[source]
            if len(found) > 1 or fact.unit != found[0]["high_unit_code"]:
                continue
            for column, name in SINGLE.items():
                limit = getattr(fact, name)
                sent = found[0][column]
                assert (None if sent is None else Decimal(sent)) == limit
                seen += 1
    assert seen


STARTS: dict[str, dict[str, tuple[str, ...]]] = {
    "observation": {
        "effective": ("effective_date_time", "effective_instant", "effective_period_start"),
        "issued": ("issued",),
    },
    "observation-component": {"effective": ("effective_date_time", "effective_period_start")},
    "condition": {"onset": ("onset_date_time", "onset_period_start"),
                  "recorded": ("recorded_date",)},
    "procedure": {"performed": ("performed_date_time", "performed_period_start")},
    "medication-request": {"authored": ("authored_on",)},
    "medication-statement": {"effective": ("effective_date_time", "effective_period_start"),
                             "asserted": ("date_asserted",)},
    "medication-administration": {"effective": ("effective_date_time", "effective_period_start")},
    "medication-dispense": {"whenHandedOver": ("when_handed_over",),
                            "whenPrepared": ("when_prepared",)},
    "immunization": {"occurrence": ("occurrence_date_time",)},
    "allergy-intolerance": {"onset": ("onset_date_time",), "recorded": ("recorded_date",)},
    "encounter": {"period": ("period_start",)},
    "service-request": {"authored": ("authored_on",)},
    "diagnostic-report": {"effective": ("effective_date_time",), "issued": ("issued",)},
    "research-subject": {"period": ("period_start",)},
}  # fmt: skip
"""View -> the element that gave a fact its start -> the columns that hold it as sent."""
UPPER_BOUNDS = frozenset(("recorded", "issued", "asserted"))


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.slow
def test_dates_as_sent_are_those_that_the_facts_start_by(name: str, records: list[Record]) -> None:
    seen = 0
    for record in records:
        for source, row in record.rows(name):
            fact = record.facts.get(source)
            if fact is None or fact.date_source in ("", "dosage"):
                continue
            sent = [row[one] for one in STARTS[name][fact.date_source] if row[one] is not None]
            span, _ = record.dates.read(sent[0])
            assert len(sent) == 1
            assert span is not None
            if fact.date_source in UPPER_BOUNDS:
                assert (fact.start_lo, fact.start_date_lo) == (EARLIEST, DATE_EARLIEST)
                assert (fact.start_hi, fact.start_date_hi) == (span.hi, span.date_hi)
            else:
                assert (fact.start_lo, fact.start_hi) == (span.lo, span.hi)
                assert (fact.start_date_lo, fact.start_date_hi) == (span.date_lo, span.date_hi)
            seen += 1
    assert seen


@pytest.mark.parametrize("name", STARTS)
def test_every_fact_has_its_row_and_its_status_as_sent(name: str, records: list[Record]) -> None:
    seen = 0
    for record in records:
        rows: dict[str, Row] = dict(record.rows(name))
        inner = name == "observation-component"
        for source, fact in record.of_type(VIEWS[name]["resource"], components=inner).items():
            row = rows[source]
            assert row["patient_id"] == fact.patient
            assert (row.get("status") or "") == fact.status
            assert (row.get("encounter_id") or "") in fact.encounter
            assert (row.get("version_id") or "") == fact.version
            assert (row.get("last_updated") or "") == fact.last_updated
            for column in ("intent", "criticality"):
                assert (row.get(column) or "") == getattr(fact, column)
            seen += 1
    assert seen


ENDS = {
    "observation": "effective_period_end", "condition": "abatement_date_time",
    "procedure": "performed_period_end", "medication-statement": "effective_period_end",
    "medication-administration": "effective_period_end", "encounter": "period_end",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_ends_as_sent_are_those_that_the_facts_end_by(name: str, records: list[Record]) -> None:
    seen = 0
    for record in records:
        for source, row in record.rows(name):
            if row[ENDS[name]] is not None:
                span, _ = record.dates.read(row[ENDS[name]])
                fact = record.facts[source]
                assert span is not None
                assert (fact.end_lo, fact.end_hi) == (span.lo, span.hi)
                seen += 1
    assert seen


def test_the_one_dosage_line_bounds_the_order(records: list[Record]) -> None:
    seen = 0
    for record in records:
        for source, row in record.rows("medication-request-dosage"):
            fact = record.facts[source]
            if fact.date_source == "dosage":
                start, end = (
                    record.dates.read(row[f"bounds_{one}"])[0] for one in ("start", "end")
                )
                assert start is not None
                assert end is not None
                assert (fact.start_lo, fact.end_hi) == (start.lo, end.hi)
                seen += 1
    assert seen


def test_the_worst_reaction_is_the_severity_of_the_allergy(records: list[Record]) -> None:
    seen = 0
    for record in records:
        for source, row in record.rows("allergy-intolerance-reaction"):
            if row["severity"] == "severe":
                assert record.facts[source].severity == "severe"
                seen += 1
    assert seen


def test_patients_have_birth_date_sex_and_death_as_sent() -> None:
    resources = [one for path in COHORT for one in resources_of(path.read_bytes())]
    people = {one["id"]: one for one in resources if one["resourceType"] == "Patient"}
    rows = run(VIEWS["patient"], resources)
    assert {row["id"] for row in rows} == set(people)
    for row in rows:
        sent = people[row["id"]]
        assert (row["birth_date"], row["gender"]) == (sent.get("birthDate"), sent.get("gender"))
        assert row["deceased_date_time"] == sent.get("deceasedDateTime")
    links = [(row["id"], row["other_patient_id"]) for row in run(VIEWS["patient-link"], resources)]
    assert all(other in people for _, other in links)
