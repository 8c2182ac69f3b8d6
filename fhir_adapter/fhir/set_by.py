"""Who set a ResearchSubject.status: an extension of ours on the status says machine or person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_adapter.fhir.reading import part, parts
from fhir_adapter.ports import Resource

SET_BY = "/status-set-by"
"""End of the extension's URL."""


def set_by(resource: Resource) -> str:
    """machine, person, or empty where the status does not say."""
    extensions = parts(part(resource.get("_status")).get("extension"))
    found = (item for item in extensions if str(item.get("url", "")).endswith(SET_BY))
    return next((_code(item) for item in found), "")


def _code(extension: Mapping[str, Any]) -> str:
    coding = part(extension.get("valueCoding"))
    return str(extension.get("valueCode") or extension.get("valueString") or coding.get("code"))
