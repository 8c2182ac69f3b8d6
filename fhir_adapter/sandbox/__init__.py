"""Adapter: a small R4 server over a folder: the embedded default and the demo."""

from __future__ import annotations

from fhir_adapter.sandbox.claims import NOT_CLAIMED
from fhir_adapter.sandbox.habits import HAPI, TIDY, Habits
from fhir_adapter.sandbox.interactions import Interactions
from fhir_adapter.sandbox.loading import Loaded, load, save
from fhir_adapter.sandbox.running import RunningSandbox

__all__ = [
    "HAPI",
    "NOT_CLAIMED",
    "TIDY",
    "Habits",
    "Interactions",
    "Loaded",
    "RunningSandbox",
    "load",
    "save",
]
