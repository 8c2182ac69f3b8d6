"""Calculators as data: items scored by printed steps, summed. Missing items give their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Points for values up to ``upper`` (closed or open there); None is everything above."""

    upper: Decimal | None
    closed: bool
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """One printed table of an item in one printed unit; steps ascend and the last is open-ended."""

    printed: str
    """Which publication prints it so ("standard", "albumin lower bound 3.0")."""
    unit: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPoints:
    """Points for a coded finding: a value set and the possible points (lo = hi when certain)."""

    codes: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the score; where printed tables differ the wider range is the answer."""

    name: str
    lo: int
    hi: int
    tables: tuple[StepTable, ...] = ()
    coded: tuple[CodedPoints, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculator:
    """A named, versioned score: the sum of its items."""

    name: str
    version: str
    title: str
    source: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRange:
    """A score as a closed interval; lo = hi when every item is known and tables agree."""

    lo: int
    hi: int
    missing: tuple[str, ...] = ()
