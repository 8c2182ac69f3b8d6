"""Stage: THE normaliser of both lanes: resources in, facts out. One file per resource type."""

from __future__ import annotations

from fhir_adapter.facts.normaliser import KINDS, Normaliser

__all__ = ["KINDS", "Normaliser"]
