"""What the statuses of a ResearchSubject say about taking part in its study."""

from __future__ import annotations

ON_STUDY = frozenset(
    ("on-study", "on-study-intervention", "on-study-observation", "follow-up", "off-study")
)
DECLINED = frozenset(("not-registered", "withdrawn"))
CLOSED = frozenset(("ineligible",))
