"""A study as FHIR R4 resources, and back: one file per resource; write.py and read.py join them."""

from __future__ import annotations

from fhir_adapter.criteria.fhir_form.read import from_fhir
from fhir_adapter.criteria.fhir_form.write import to_fhir

__all__ = ["from_fhir", "to_fhir"]
