"""The laboratory series behind the criteria of one patient, for plots."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fhir_adapter.bootstrap.judging import Bench
from fhir_adapter.criteria.walk import parts
from fhir_adapter.evaluate.values import analyte_of, to_canonical
from fhir_adapter.model.code import key_of
from fhir_adapter.model.criterion import Latest
from fhir_adapter.model.dates import EARLIEST
from fhir_adapter.model.fact import Fact, Kind, Standing
from fhir_adapter.model.mapping import Analyte
from fhir_adapter.model.quantity import Quantity
from fhir_adapter.model.result import Evidence
from fhir_adapter.present.plots import Plot, Series, plot
from fhir_adapter.present.rows import evidence_row
from fhir_adapter.screening import Screened


def plots_of(bench: Bench, screened: Screened) -> tuple[Plot, ...]:
    """One plot per laboratory value that a criterion tests as the latest."""
    if screened.record is None or screened.decision is None or screened.judged is None:
        return ()
    onset = next(
        (
            (max(value.lo, EARLIEST), value.hi)
            for _, value in screened.judged.anchors
            if value.state.value == "present"
        ),
        None,
    )
    found = (_series(bench, screened, name, bounds) for name, bounds in _tested(bench).items())
    drawn = (
        plot(one, as_of=screened.decision.as_of, onset=onset, zone=bench.zone)
        for one in found
        if one.unit
    )
    return tuple(one for one in drawn if one is not None)


def _tested(bench: Bench) -> dict[str, list[tuple[str, str]]]:
    """Value set -> bounds as printed (the first of each test) and the criterion's number."""
    found: dict[str, list[tuple[str, str]]] = {}
    for criterion in bench.package.study.criteria:
        for part in parts(criterion.test):
            if isinstance(part, Latest) and part.of.codes and Kind.OBSERVATION in part.of.kind:
                test = part.test
                for texts in (test.at_least, test.more_than, test.at_most, test.less_than):
                    if texts:
                        entry = (texts[0], criterion.id)
                        known = found.setdefault(part.of.codes, [])
                        known += [entry] if entry not in known else []
    return found


def _series(bench: Bench, screened: Screened, name: str, bounds: list[tuple[str, str]]) -> Series:
    code_set = bench.mappings.by_name[name]
    analyte = analyte_of(code_set, bench.mappings.units)
    assert screened.record is not None
    facts = [fact for fact in screened.record.facts if _is_shown(fact, code_set.holds)]
    return Series(
        title=_title(name),
        unit="" if analyte is None else analyte.canonical,
        values=[
            (fact.start_lo, fact.value_lo, evidence_row(Evidence(fact), bench.zone).value)
            for fact in facts
            if fact.value_lo is not None
        ],
        bounds=[
            (_bound(text, analyte), f"{text} ({number})")
            for text, number in bounds
            if analyte is not None and Quantity.parse(text).value != 0  # "any value" is no bound
        ],
    )


_SHORT = frozenset(("inr", "alt", "ast", "crp"))
_NAMES = {"west": "West", "haven": "Haven"}
"""Words of value set names that are names of their own."""


def _title(name: str) -> str:
    if name in _SHORT:
        return name.upper()
    words = " ".join(_NAMES.get(word, word) for word in name.split("-"))
    return words[:1].upper() + words[1:]


def _bound(text: str, analyte: Analyte) -> Decimal:
    return to_canonical(Quantity.parse(text), analyte)


def _is_shown(fact: Fact, holds: Callable[[str], bool]) -> bool:
    usable = fact.kind is Kind.OBSERVATION and fact.standing is Standing.COUNTS
    dated = fact.start_lo > EARLIEST and fact.value_lo == fact.value_hi
    return usable and dated and any(holds(key_of(code)) for code in fact.concepts)
