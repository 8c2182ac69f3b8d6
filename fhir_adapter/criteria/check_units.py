"""Bounds: each printed unit must be in the unit table for what the value set measures."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_adapter.criteria.finding import Checked, Finding
from fhir_adapter.criteria.walk import parts
from fhir_adapter.model.code import key_of
from fhir_adapter.model.criterion import (
    Earliest,
    Episode,
    Events,
    Fall,
    Highest,
    Latest,
    Lowest,
    Rise,
    ValueTest,
)
from fhir_adapter.model.mapping import Analyte


def unit_findings(seen: Checked) -> Iterator[Finding]:
    """Units that cannot be converted, and numbers without the unit that they need."""
    for where, part in seen.places():
        for events, quantity in _quantities(part):
            yield from _one(seen, where, events, quantity)


def _quantities(part: object) -> Iterator[tuple[Events, str]]:
    """Every printed quantity with the retrieve whose values are held against it."""
    for node in parts(part):
        match node:
            case Latest() | Earliest() | Lowest() | Highest():
                yield from ((node.of, text) for text in bounds_of(node.test))
            case Rise() | Fall() if node.by is not None:
                yield node.of, node.by
            case Episode():
                yield from ((node.of, text) for text in bounds_of(node.bound))
            case Events() if node.value is not None:
                yield from ((node, text) for text in bounds_of(node.value))
            case _:
                pass


def bounds_of(test: ValueTest) -> tuple[str, ...]:
    """All printed quantities of a value test."""
    return (*test.at_least, *test.more_than, *test.at_most, *test.less_than)


def _one(seen: Checked, where: str, events: Events, quantity: str) -> Iterator[Finding]:
    _, _, unit = quantity.partition(" ")
    analytes = _analytes(seen, events.codes)
    known = {spelling for analyte in analytes for spelling in analyte.by_spelling}
    if unit and unit not in known:
        yield seen.error(
            "unit-unknown",
            where,
            f"`{quantity}`: the unit table has no {unit} for {events.codes or 'every code'}",
            f"Use one of {', '.join(sorted(known - {''}))}."
            if known
            else "Add the analyte to the unit table.",
        )
    if not unit and analytes and not known & {"", "1"}:
        yield seen.error(
            "unit-missing",
            where,
            f"`{quantity}` has no unit, and {events.codes} is measured in one",
            f"Write one of {', '.join(sorted(known))} behind the number.",
        )


def _analytes(seen: Checked, codes: str | None) -> tuple[Analyte, ...]:
    """What a value set measures: the analytes of its enumerated codes, each once."""
    found = [item for item in seen.code_sets if item.name == codes]
    by_key = seen.units.by_key
    hits = (by_key.get(key_of(code)) for item in found for code in item.codes)
    return tuple({hit.name: hit for hit in hits if hit is not None}.values())
