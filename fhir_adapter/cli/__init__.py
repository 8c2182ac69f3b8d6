"""Door: commands for people at a terminal. Each file is a group of commands."""

from __future__ import annotations

from fhir_adapter.cli.app import app, main

__all__ = ["app", "main"]
