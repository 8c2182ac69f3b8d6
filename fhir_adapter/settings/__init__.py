"""Every setting: name, default, help. Read once; adapters get values, never settings.

Order: command line > environment FHIR_ADAPTER_* > fhir-adapter.toml > default. Secrets come only
from the environment or from a file that is named, and are never printed.
"""

from __future__ import annotations

from fhir_adapter.settings.loading import InForce, Loaded, load
from fhir_adapter.settings.values import Connection, Settings, setting_names, spelled

__all__ = ["Connection", "InForce", "Loaded", "Settings", "load", "setting_names", "spelled"]
