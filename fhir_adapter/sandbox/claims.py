"""What the sandbox does not claim: of all else the doctor must say the same here as of HAPI."""

from __future__ import annotations

NOT_CLAIMED: dict[str, str] = {
    "query.quantity": "the adapter compares quantities itself",
    "query.composite": "likewise",
    "query.chained": "the adapter asks no chained searches",
    "query.has": "likewise",
    "query.revinclude": "the adapter asks for none",
    "operation.everything": "records are pulled by type",
    "subscription.created": "there are no Subscriptions here",
    "subscription.fires": "likewise",
}
"""Id of a check of the doctor -> why; each is refused with an OperationOutcome."""
