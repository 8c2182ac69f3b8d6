"""Finds mappings/ and profiles/: beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from pathlib import Path

from fhir_adapter.errors import ArtifactsMissing

_PACKAGE = Path(__file__).resolve().parent


def mappings_dir() -> Path:
    """The folder of value sets, units, sites, calculators and studies."""
    return _find("mappings")


def profiles_dir() -> Path:
    """The folder of our own CodeSystems and StructureDefinitions."""
    return _find("profiles")


def _find(name: str) -> Path:
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise ArtifactsMissing(name)
