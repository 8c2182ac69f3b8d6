"""Where an open criterion is settled, and which question settles it."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.model.result import Open
from fhir_adapter.model.study import BEFORE_CONTACT, SETTLED_ORDER, Criterion, Settled
from fhir_adapter.model.truth import Reason

_BY_REASON: dict[Reason, Settled] = {
    Reason.PENDING: "result-under-way",
    Reason.OUTSIDE: "outside-document",
}

_BEFORE: frozenset[Reason] = frozenset(
    (Reason.NOT_RETRIEVED, Reason.UNCONFIRMED, Reason.PENDING, Reason.CONFOUNDED, Reason.OUTSIDE)
)
"""Reasons that are settled before contact whatever the criterion says (seed-trial section 2.1)."""


_ASKS = frozenset((Reason.NEEDS_HUMAN, Reason.CONFOUNDED))
"""Reasons for which the tree's own question is the one to ask; for the rest it is what the
criterion asks when something is missing."""


def settle(criterion: Criterion, opens: Sequence[Open]) -> tuple[Settled | None, str]:
    """The earliest place among the open leaves, and the question to ask there."""
    if not opens:
        return None, ""
    placed = [
        (
            SETTLED_ORDER.index(where_settled(criterion, item.reason, item.question)),
            item.reason,
            item,
        )
        for item in opens
    ]
    place, _, first = min(placed, key=lambda entry: (entry[0], entry[1]))
    asks = first.reason in _ASKS and first.question
    return SETTLED_ORDER[place], asks or criterion.question


def where_settled(criterion: Criterion, reason: Reason, question: str) -> Settled:
    """Where one open leaf is settled: what the criterion names, else what the reason says."""
    if reason is Reason.NEEDS_HUMAN and question in criterion.settled_when:
        return criterion.settled_when[question]
    if reason.code in criterion.settled_when:
        return criterion.settled_when[reason.code]
    usual = _BY_REASON.get(reason, criterion.settled)
    if reason in _BEFORE and usual not in BEFORE_CONTACT:
        return "record"
    return usual
