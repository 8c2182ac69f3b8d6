"""Every check: in the order in which they are told, and in that in which they run."""

from __future__ import annotations

from fhir_adapter.doctor import (
    answering,
    bundles,
    canary,
    keeping,
    metadata,
    operating,
    paging,
    querying,
    reading,
)
from fhir_adapter.doctor import writing as writes
from fhir_adapter.doctor.check import Check
from fhir_adapter.doctor.pairs import pair_checks

BEFORE_WRITING: tuple[Check, ...] = (*metadata.FIRST, canary.CANARY)
CHECKS: tuple[Check, ...] = (
    *BEFORE_WRITING,
    *keeping.KEPT,
    *keeping.HISTORY,
    *reading.CHECKS,
    *querying.CHECKS,
    *answering.CHECKS,
    *pair_checks(),
    *paging.CHECKS,
    *writes.CHECKS,
    *bundles.CHECKS,
    *keeping.CACHING,
    *keeping.VALIDATION,
    *operating.CHECKS,
    *operating.SUBSCRIPTION,
    *metadata.LAST,
)
IN_TURN: tuple[Check, ...] = (
    *BEFORE_WRITING,
    *(one for one in CHECKS if one.needed and one not in BEFORE_WRITING),
    *(one for one in CHECKS if not one.needed and one not in BEFORE_WRITING),
)
"""The same as they run: where time is short, what the adapter cannot do without is known."""


def ids() -> tuple[str, ...]:
    """Ids of all checks."""
    return tuple(check.id for check in CHECKS)
