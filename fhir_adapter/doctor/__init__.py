"""Adapter: tries what a FHIR server does, check by check; writes only what it takes away again."""

from __future__ import annotations

from fhir_adapter.doctor.earlier import Earlier, token_of
from fhir_adapter.doctor.examine import Report, examine
from fhir_adapter.doctor.table import CHECKS, ids

__all__ = ["CHECKS", "Earlier", "Report", "examine", "ids", "token_of"]
