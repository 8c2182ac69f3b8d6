"""Statements about a whole kind: "no known allergies" is recorded absence, "not asked" is nothing.

Codes: IPS absent-unknown-uv-ips; SNOMED CT 716186003 No known allergy and its kin. These satisfy
any absence policy for their kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.facts.context import COUNTS, IGNORED, Worth
from fhir_adapter.model.code import SNOMED, Code
from fhir_adapter.model.fact import Kind

IPS = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"

_ABSENT: dict[Code, Kind] = {
    Code(IPS, "no-known-allergies"): Kind.ALLERGY,
    Code(IPS, "no-known-medication-allergies"): Kind.ALLERGY,
    Code(IPS, "no-known-medications"): Kind.MEDICATION,
    Code(IPS, "no-known-problems"): Kind.CONDITION,
    Code(IPS, "no-known-procedures"): Kind.PROCEDURE,
    Code(IPS, "no-known-immunizations"): Kind.IMMUNIZATION,
    Code(SNOMED, "716186003"): Kind.ALLERGY,
    Code(SNOMED, "160244002"): Kind.ALLERGY,
    Code(SNOMED, "160245001"): Kind.CONDITION,
}
_PARTIAL = frozenset((Code(IPS, "no-known-medication-allergies"),))
"""Denies a part of the kind only: kept, but it states no absence of the whole."""

_NO_INFORMATION: dict[Code, Kind] = {
    Code(IPS, "no-allergy-info"): Kind.ALLERGY,
    Code(IPS, "no-medication-info"): Kind.MEDICATION,
    Code(IPS, "no-problem-info"): Kind.CONDITION,
    Code(IPS, "no-procedure-info"): Kind.PROCEDURE,
    Code(IPS, "no-immunization-info"): Kind.IMMUNIZATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """What such a statement is worth."""

    kind: Kind
    states: bool
    worth: Worth
    issues: tuple[str, ...] = ()


def _said(kind: Kind, *, states: bool) -> Absence:
    return Absence(kind=kind, states=states, worth=COUNTS)


def _not_said(kind: Kind) -> Absence:
    issues = ("no-information-statement",)
    return Absence(kind=kind, states=False, worth=IGNORED, issues=issues)


_STATEMENTS: dict[Code, Absence] = {
    code: _said(kind, states=code not in _PARTIAL) for code, kind in _ABSENT.items()
} | {code: _not_said(kind) for code, kind in _NO_INFORMATION.items()}


def recorded_absence(concepts: tuple[Code, ...]) -> Absence | None:
    """The statement that these codes make about a whole kind; None for ordinary codes."""
    for code in concepts:
        if code in _STATEMENTS:
            return _STATEMENTS[code]
    return None
