"""Adapter: a small R4 server over a folder: the embedded default and the demo."""

from __future__ import annotations

from fhir_adapter.sandbox.habits import Habits
from fhir_adapter.sandbox.interactions import Interactions
from fhir_adapter.sandbox.loading import Loaded, load, save
from fhir_adapter.sandbox.running import RunningSandbox

__all__ = ["Habits", "Interactions", "Loaded", "RunningSandbox", "load", "save"]
