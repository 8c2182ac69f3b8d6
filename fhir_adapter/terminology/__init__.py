"""Reads mappings/: value sets, units, site files, calculators; everything is checked on the way."""

from fhir_adapter.terminology.assembly import facts_basis, load_mappings
from fhir_adapter.terminology.calculators import load_calculators
from fhir_adapter.terminology.sites import load_site
from fhir_adapter.terminology.units import load_units
from fhir_adapter.terminology.valuesets import (
    code_set_from_value_set,
    load_code_sets,
    value_set_with_expansion,
)

__all__ = [
    "code_set_from_value_set",
    "facts_basis",
    "load_calculators",
    "load_code_sets",
    "load_mappings",
    "load_site",
    "load_units",
    "value_set_with_expansion",
]
