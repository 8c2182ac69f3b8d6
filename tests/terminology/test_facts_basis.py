"""What asks a hospital to load its export again: the rules for records, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_adapter.artifacts import mappings_dir
from fhir_adapter.model.mapping import Mappings, UnitRow
from fhir_adapter.terminology import facts_basis, load_mappings

DEMO = load_mappings(mappings_dir(), "demo")


def site(**changes: Any) -> Mappings:
    return replace(DEMO, site=replace(DEMO.site, **changes))


def with_a_unit_row() -> Mappings:
    first, *others = DEMO.units.analytes
    row = UnitRow(unit="mol/L", spellings=("mol per litre",), numerator=Decimal(7))
    changed = replace(first, rows=(*first.rows, row))
    return replace(DEMO, units=replace(DEMO.units, analytes=(changed, *others)))


def with_other_codes() -> Mappings:
    first, *others = DEMO.code_sets
    return replace(DEMO, code_sets=(replace(first, codes=first.codes[1:]), *others), version="x")


READ: dict[str, Callable[[], Mappings]] = {
    "zone": lambda: site(zone=ZoneInfo("Asia/Tokyo")),
    "unit row": with_a_unit_row,
    "certainty flag": lambda: site(certainty=(*DEMO.site.certainty, ("urn:x", "G", "confirmed"))),
}
NOT_READ: dict[str, Callable[[], Mappings]] = {
    "value set": with_other_codes,
    "basis": lambda: site(bases=()),
}


@pytest.mark.parametrize("what", READ)
def test_what_facts_are_read_by_gives_another_hash(what: str) -> None:
    assert facts_basis(READ[what]()) != facts_basis(DEMO)


@pytest.mark.parametrize("what", NOT_READ)
def test_what_questions_are_asked_by_gives_the_same(what: str) -> None:
    changed = NOT_READ[what]()
    assert changed != DEMO
    assert facts_basis(changed) == facts_basis(DEMO)
