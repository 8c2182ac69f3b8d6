"""Door: one FastAPI process for the EHR (CDS Hooks), coordinators (pages) and integrators."""

from __future__ import annotations

from fhir_adapter.web.app import create_app

__all__ = ["create_app"]
