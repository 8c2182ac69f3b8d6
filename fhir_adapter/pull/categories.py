"""Categories by which a server may want to be searched: most EHRs do not take a patient alone."""

from __future__ import annotations

from collections.abc import Mapping

USUAL_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "Observation": (
        "laboratory",
        "vital-signs",
        "exam",
        "survey",
        "social-history",
        "imaging",
        "procedure",
        "therapy",
        "activity",
    ),
    "Condition": ("problem-list-item", "encounter-diagnosis"),
}
"""R4 code systems observation-category and condition-category (4.0.1), all of their codes."""

CATEGORISED = ("Observation", "Condition", "DiagnosticReport", "DocumentReference")
"""Types that the pull reads and that R4 has a search parameter ``category`` for."""
