"""Speed never costs an answer: what is remembered, and every short way, gives the same facts."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.facts import Normaliser, memory
from fhir_adapter.facts.context import Context
from fhir_adapter.facts.observation import _when_of, when_of
from fhir_adapter.facts.quantities import Quantities
from fhir_adapter.fhir.dates import DateReader
from fhir_adapter.model.code import LOINC, Code
from fhir_adapter.model.mapping import Analyte, UnitRow, UnitTable

from golden_facts import alone, broken, generated, mappings, pulled, teaching
from mutations import ODD, mutated

RECORDS = [*map(pulled, teaching()), *map(pulled, generated(5)), *broken(300, seed=6)]


def test_what_was_read_before_changes_nothing() -> None:
    used, units = Normaliser(mappings()), mappings()
    first = [used(record) for record in RECORDS]

    assert [used(record) for record in reversed(RECORDS)] == first[::-1]
    assert [Normaliser(units)(record) for record in RECORDS] == first


def test_a_memory_that_starts_anew_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [Normaliser(mappings())(record) for record in RECORDS[:60]]
    monkeypatch.setattr(memory, "MOST_REMEMBERED", 2)
    forgetful = Normaliser(mappings())

    assert [forgetful(record) for record in RECORDS[:60]] == expected
    assert len(forgetful._moments) <= 2


@given(seed=st.integers(0, 2**32))
@pytest.mark.property
def test_a_broken_resource_is_read_alike_by_a_fresh_and_a_used_reader(seed: int) -> None:
    dice = Random(seed)
    donors = [resource for record in RECORDS[:42] for resource in record.resources]
    donor = dice.choice([one for one in donors if one["resourceType"] != "Composition"])
    record = alone(mutated(dice, donor, donors), donor)

    assert USED(record) == Normaliser(USED._mappings)(record)


USED = Normaliser(mappings())


@pytest.mark.parametrize("effective", [*ODD, "2026-01-02", "2026-01-02T03:04:05Z"])
def test_the_short_way_to_a_moment_is_the_long_one(effective: Any) -> None:
    """effectiveDateTime beside every kind of issued."""
    site = mappings()
    context = Context(site, DateReader(site.site.zone), Quantities(site.units))
    for issued in (*ODD, "2026-01-03T00:00:00.5+08:00"):
        resource = {"effectiveDateTime": effective, "issued": issued}
        written, _ = context.dates.read(issued)

        assert when_of(context, resource) == _when_of(context, resource, written)


def test_equal_numbers_keep_the_text_in_which_each_was_sent() -> None:
    read = Quantities(mappings().units)
    analyte = read.analyte((Code(LOINC, "1975-2"),))
    for text in ("5.0", "5", "5.00", "5.000", "5.0"):
        found = read.quantity({"value": Decimal(text), "unit": "mg/dL"}, analyte)
        assert (found.raw, str(found.reported_lo), found.lo) == (text, text, Decimal(5))
    assert read.quantity({"value": 5, "unit": "mg/dL"}, analyte).raw == "5"
    assert read.quantity({"value": 5.5, "unit": "mg/dL"}, analyte).raw == "5.5"


def test_one_code_under_two_texts_is_remembered_apart() -> None:
    read = Quantities(mappings().units)
    analyte = read.analyte((Code(LOINC, "1975-2"),))
    coded = {"value": 210, "code": "mg/dL", "system": "http://unitsofmeasure.org"}
    for text, value in (("mg/dL", Decimal(210)), ("umol/L", None), ("mg/dl", Decimal(210))) * 2:
        found = {**coded, "unit": text}
        assert read.quantity(found, analyte).lo == value
        assert read.limits([{"low": found}], analyte) == (value, None)


def test_one_analyte_never_answers_for_another() -> None:
    """Remembered under an identity: an analyte that is gone must leave nothing behind."""
    read = Quantities(UnitTable(analytes=()))
    for factor, _ in product(range(1, 200), range(2)):
        analyte = Analyte(
            name="x", canonical="g", codes=(), source="",
            rows=(UnitRow(unit="kg", spellings=(), numerator=Decimal(factor)),),
        )  # fmt: skip
        sent = {"value": 2, "unit": "kg"}
        assert read.quantity(sent, analyte).lo == 2 * factor
        assert read.limits([{"low": sent}], analyte) == (2 * factor, None)
        del analyte
