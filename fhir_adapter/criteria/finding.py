"""Finding: one thing that a check says about a study; Checked: the study with all it refers to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.mapping import CodeSet, UnitTable
from fhir_adapter.model.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding: an error stops publishing and judging, a warning is printed."""

    severity: Literal["error", "warning"]
    code: str
    """Stable kebab-case code."""
    where: str
    """Criterion id; "anchor onset", "pair P1" and the like elsewhere; empty for the whole study."""
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A study beside everything that its names must be found in."""

    study: Study
    code_sets: tuple[CodeSet, ...]
    calculators: tuple[Calculator, ...]
    units: UnitTable

    def places(self) -> Iterator[tuple[str, object]]:
        """Every part of the study that holds a tree, with the name findings give it."""
        for criterion in self.study.criteria:
            yield criterion.id, criterion
        for anchor in self.study.anchors:
            yield f"anchor {anchor.name}", anchor
        for pointer in self.study.pointers:
            yield f"pointer {pointer.id}", pointer
        for pair in self.study.pairs:
            yield f"pair {pair.id}", pair

    def error(self, code: str, where: str, message: str, remedy: str) -> Finding:
        """An error at a place."""
        return Finding(severity="error", code=code, where=where, message=message, remedy=remedy)

    def warning(self, code: str, where: str, message: str, remedy: str) -> Finding:
        """A warning at a place."""
        return Finding(severity="warning", code=code, where=where, message=message, remedy=remedy)
