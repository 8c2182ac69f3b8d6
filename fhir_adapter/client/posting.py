"""Which searches go by POST: a patient's id does not belong in an address that proxies log."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_adapter.client.paging import RESULT_PARAMS
from fhir_adapter.client.urls import Params, plain

_LONGEST = 1800
"""Characters of an address that every proxy on the way takes."""
_HARMLESS = RESULT_PARAMS | {"status", "url", "version", "_lastUpdated"}
"""Parameters that name nobody."""
_REFUSALS = frozenset({400, 403, 404, 405, 415, 501})
"""403: a gateway that lets GET through and nothing else."""


@dataclass(slots=True, kw_only=True)
class Posting:
    """What is known of one server's POST ``_search``; it has no place in a CapabilityStatement."""

    wanted: bool
    _works: bool | None = None
    """None until a search was answered one way or the other."""

    def fits(self, params: Params, url: str) -> bool:
        """Whether to try POST."""
        if not self.wanted or self._works is False:
            return False
        return len(url) > _LONGEST or any(plain(name) not in _HARMLESS for name in params)

    def may_be_refused(self, status: int) -> bool:
        """Whether the same search by GET may be answered."""
        return self._works is None and status in _REFUSALS

    def worked(self) -> None:
        """A search by POST was answered."""
        self._works = True

    def failed(self) -> None:
        """POST was refused and the same search by GET was answered."""
        self._works = False
