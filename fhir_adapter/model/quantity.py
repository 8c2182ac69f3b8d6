"""Printed quantities of a protocol: an exact number that never travels without its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

SCALE = Decimal("1e-9")
"""Canonical values are DECIMAL(28,9), rounded half even (design section 3)."""

LIMIT = Decimal("1e19")

_PRINTED = re.compile(r"^([+-]?\d+(?:\.\d+)?)(?: (\S.*))?$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its UCUM unit; unit "1" where there is none (INR, a score)."""

    value: Decimal
    unit: str

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """From "5 mg/dL" or "1.5"; ValueError otherwise."""
        found = _PRINTED.match(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is not a quantity such as '5 mg/dL' or '1.5'")
        return cls(Decimal(found[1]), (found[2] or "1").strip())

    def __str__(self) -> str:
        return f"{self.value}" if self.unit == "1" else f"{self.value} {self.unit}"
