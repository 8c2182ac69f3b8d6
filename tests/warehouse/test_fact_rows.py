"""Records as fact tables and back."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.model.code import Code
from fhir_adapter.model.fact import (
    Fact,
    Kind,
    PatientRecord,
    Retrieved,
    Standing,
    last_end,
    last_start,
)
from fhir_adapter.model.tables import CONCEPT_ROLE, KIND_NUMBER, VALUE_ROLE
from fhir_adapter.model.truth import Reason
from fhir_adapter.warehouse.dictionary import Dictionary
from fhir_adapter.warehouse.rows import (
    FACT,
    FACT_CONCEPT,
    Rows,
    codings,
    dictionary_of,
    dictionary_tables,
    recoded,
    records_of,
)

from facts_for_tests import INR, bilirubin, fact, lab, record
from worlds import records

DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(Fact)
    if field.default is not msgspec.NODEFAULT
}


def stored(*some: PatientRecord, dictionary: Dictionary | None = None):
    known = Dictionary() if dictionary is None else dictionary
    rows = Rows(known)
    for number, one in enumerate(some, 1):
        rows.add(number, one)
    return rows.tables(), known


@pytest.mark.property
@given(st.lists(records(), max_size=4))
def test_records_come_back_equal(some):
    tables, known = stored(*some)
    assert list(records_of(tables, known)) == some


def test_every_field_survives():
    full = Fact(
        patient="p", kind=Kind.OBSERVATION, source="Observation/1#component[0]",
        concepts=(Code("urn:a", "1"), Code("urn:a", "1")), version="3", last_updated="2026-11-20",
        encounter="Encounter/1", start_lo=11, start_hi=12, end_lo=13, end_hi=14,
        start_date_lo=739_001, start_date_hi=739_002, end_date_lo=739_003, end_date_hi=739_004,
        date_source="effective", known_from=15, value_lo=Decimal("-1.123456789"),
        value_hi=Decimal("2.5"), value_lo_open=True, value_hi_open=True, unit="mg/dL",
        reported_lo=Decimal("3.5"), reported_hi=Decimal("9999999999999999999.999999999"),
        reported_unit="umol/L", raw_value="<5", raw_unit="umol", comparator="<",
        value_concepts=(Code("urn:b", "x"),), ref_low=Decimal("0.1"), ref_high=Decimal("1.2"),
        standing=Standing.MAKES_UNKNOWN, standing_reason=Reason.STALE, status="final",
        clinical_status="active", severity="severe", stage="IV", criticality="high",
        intent="order", component=0, about_other=True, recorded_absence=True,
        study="ResearchStudy/1", set_by="person", label="\u00e9\U0001f600", issues=("b", "a"),
    )  # fmt: skip
    assert [name for name, value in DEFAULTS.items() if getattr(full, name) == value] == []
    one = PatientRecord(
        patient="p", facts=(full,), aliases=("z", "a"), resources=7, issues=("x",),
        retrieved=(Retrieved(patient="p", kind=Kind.OBSERVATION, complete=False, why_not="no"),),
    )  # fmt: skip
    tables, known = stored(one)
    assert list(records_of(tables, known)) == [one]


def test_a_record_can_be_read_alone():
    tables, known = stored(record(bilirubin("5", "2026-11-20")), record(), record())
    assert len(list(records_of(tables, known, [1, 3]))) == 2


def test_facts_are_numbered_newest_first_then_by_source():
    late, early = bilirubin("5", "2026-11-20"), lab(INR, "2", "2026-11-19")
    tables, _ = stored(record(late, early))
    table = tables["fact"]
    assert table["seq"].to_pylist() == [1, 2]
    assert table["source"].to_pylist() == [late.source, early.source]


def test_last_start_and_last_end_are_those_of_the_record_lane():
    some = (bilirubin("5", "2026-11"), bilirubin("5", "2026-11-20T07:00"))
    tables, _ = stored(record(*some))
    ordered = sorted(some, key=lambda one: -one.start_lo)
    assert tables["fact"]["last_start"].to_pylist() == [last_start(one) for one in ordered]
    assert tables["fact"]["last_end"].to_pylist() == [last_end(one) for one in ordered]


def test_a_visit_is_an_encounter_or_minus_the_day():
    first = bilirubin("5", "2026-11-19", encounter="Encounter/b")
    again = bilirubin("5", "2026-11-20", encounter="Encounter/b")
    other = bilirubin("5", "2026-11-21", encounter="Encounter/a")
    none = bilirubin("5", "2026-11-22")
    tables, _ = stored(record(first, again, other, none))
    assert tables["fact"]["visit"].to_pylist() == [-none.start_date_hi, 1, 2, 2]


def test_codings_list_each_code_once_per_fact_and_role():
    code, value = Code("urn:b", "1"), Code("urn:a", "1")
    one = fact(Kind.OBSERVATION, code, "2026-11-20", value_concepts=(value, code))
    twice = fact(Kind.CONDITION, None, "2026-11-19", concepts=(code, code))
    tables, known = stored(record(one, twice))
    table = codings(tables["fact"])
    assert table.schema == FACT_CONCEPT
    rows = [(r["concept"], r["role"], r["kind"], r["patient"], r["seq"]) for r in table.to_pylist()]
    number, other = known.code(code), known.code(value)
    assert rows == [
        (number, CONCEPT_ROLE, KIND_NUMBER[Kind.CONDITION], 1, 2),
        (number, CONCEPT_ROLE, KIND_NUMBER[Kind.OBSERVATION], 1, 1),
        (number, VALUE_ROLE, KIND_NUMBER[Kind.OBSERVATION], 1, 1),
        (other, VALUE_ROLE, KIND_NUMBER[Kind.OBSERVATION], 1, 1),
    ]


def test_no_record_gives_empty_tables():
    tables, _ = stored()
    assert tables["fact"].schema == FACT
    assert codings(tables["fact"]).num_rows == 0


def test_a_dictionary_is_stored_and_read_back():
    known = Dictionary()
    known.entry((Code("urn:b", "1"), Code("urn:a", "2")))
    known.entry((Code("urn:b", "3"),))
    tables = dictionary_tables(known)
    read = dictionary_of(tables["concept"], tables["coding_systems"])
    assert (read.codes, read.systems) == (known.codes, known.systems)
    assert read.entry((Code("urn:b", "3"),)) == ([3], 2)


def test_a_fact_table_is_written_in_other_numbers():
    one = record(bilirubin("5", "2026-11-20"), lab(INR, "2", "2026-11-19"))
    tables, known = stored(one)
    other = Dictionary([Code("urn:z", "0")], [("urn:z",)])
    codes = [0, *(other.code(code) for code in known.codes)]
    systems = [0, *(other.combination(names) for names in known.systems)]
    tables["fact"] = recoded(tables["fact"], codes, systems)
    assert list(records_of(tables, other)) == [one]
    assert set(tables["fact"]["systems"].to_pylist()) == {2}
