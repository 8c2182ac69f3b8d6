"""Habits of real servers (fhir-shapes section 3), each as a switch; all off is a tidy server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What this server does that others do not."""

    strips_versions: bool = False
    """Cuts ``/_history/n`` off references (HAPI)."""
    keeps_old_tags: bool = False
    """Keeps meta.tag and meta.security on update (HAPI)."""
    normalises_numbers: bool = False
    """Turns 1.50 into 1.5 (Medplum)."""
    accepts_any_code: bool = False
    """Takes codes outside required value sets (Medplum)."""
    empty_for_unknown_parameter: bool = False
    """Answers an unknown search parameter with an empty Bundle, total 0 (Medplum)."""
    no_metadata: bool = False
    """Answers /metadata as a search, with an empty Bundle (Medplum's router)."""
    needs_patient: bool = False
    """Refuses searches of patient data without a patient (most EHRs)."""
    no_last_updated: bool = False
    """Does not search by _lastUpdated (IPA)."""
    no_conditional_create: bool = False
    """Ignores If-None-Exist."""
    no_versions: bool = False
    """No ETag, and If-Match is ignored."""
    no_type_history: bool = False
    """Keeps no history of a type."""
    no_delete: bool = False
    """Refuses to delete."""
    relative_links: bool = False
    """next links are relative."""
    refuses_types: frozenset[str] = frozenset()
    """Types that this server does not have at all."""
    forbids_types: frozenset[str] = frozenset()
    """Types that the caller may not see (403)."""
    accepts_missing: bool = False
    """Takes resources without a required element (HAPI)."""
    ignores_match_on_delete: bool = False
    """Deletes whatever version If-Match names (HAPI)."""
    demands_consent: int = 0
    """Status with which it refuses a ResearchSubject without consent and period, as the profile of
    the German MII demands them (422; HAPI 412); 0 = it demands neither."""
    knows_no_absolute: bool = False
    """Finds nothing by the absolute URL of a reference (HAPI, Medplum)."""
    caches_searches: bool = False
    """Answers a search asked before from a cache, unless asked with no-cache (HAPI, 60 s)."""
    no_bundles: bool = False
    """Takes no batch and no transaction."""
    max_page: int = 1000
    export_polls: int = 1
    """How often an export says that it is not ready yet."""
    export_lines: int = 10_000
    """Most resources in one file of an export."""


TIDY = Habits()
HAPI = Habits(
    strips_versions=True,
    keeps_old_tags=True,
    accepts_missing=True,
    ignores_match_on_delete=True,
    knows_no_absolute=True,
    caches_searches=True,
)
"""What the doctor saw of HAPI JPA (docs/server-matrix.md)."""
