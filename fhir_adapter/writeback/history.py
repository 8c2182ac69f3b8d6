"""Whether a create that nobody saw the end of has arrived: asked of the server's history.

A run was killed between a create and the ledger. Where nothing stands afterwards, either it never
arrived, or somebody has deleted it since, and only the server knows which of the two.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from fhir_adapter.client import why_not_of
from fhir_adapter.errors import ServerFault
from fhir_adapter.model.dates import moment
from fhir_adapter.writeback.sending import Sender
from fhir_adapter.writeback.standing import identifiers, reference_of

_EARLIER = timedelta(days=1)
"""How far the server's clock may be behind ours."""
_REFUSED = frozenset(("not-supported", "forbidden"))


def created_once(sender: Sender, kind: str, key: str, *, since: int) -> str:
    """Reference of what was created under this key, be it deleted since.

    Empty where it never arrived, and where the server keeps no such history: a person's deletion
    in the moment of a kill is then not seen, which is better than a patient who is lost.
    """
    if not sender.choice.history:
        return ""
    begun = moment(since, ZoneInfo("UTC")) - _EARLIER
    try:
        versions = sender.client.history(kind, since=begun.isoformat(timespec="seconds"))
    except ServerFault as fault:
        if why_not_of(fault) not in _REFUSED:
            raise
        return ""
    ours = (one for one in versions if any(value == key for _, value in identifiers(one)))
    return next(map(reference_of, ours), "")
