"""Wiring: settings -> adapters and ready-to-use stories. The only place with a clock.

judging (records in, decisions out) stands here; writing, studies and sites (a sandbox, the demo)
are asked for by name, so that a question about one patient does not wait for their libraries.
"""

from __future__ import annotations

from fhir_adapter.bootstrap.judging import (
    Bench,
    Damage,
    SystemClock,
    bench,
    damage_of,
    folder_records,
    make_screener,
    package_from_folder,
    parse_as_of,
    record_source,
    run_id,
    site_mappings,
    study_folder,
    study_package,
    types_of,
    units,
)

__all__ = [
    "Bench",
    "Damage",
    "SystemClock",
    "bench",
    "damage_of",
    "folder_records",
    "make_screener",
    "package_from_folder",
    "parse_as_of",
    "record_source",
    "run_id",
    "site_mappings",
    "study_folder",
    "study_package",
    "types_of",
    "units",
]
