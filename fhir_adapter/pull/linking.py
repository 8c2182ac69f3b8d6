"""Patients found by whom they link to: a merge that only the replaced record tells of.

``Patient?link=Patient/<id>`` (R4). A server that does not know the parameter may send everybody:
only those count whose link names the patient, and the search ends at the first who does not.
"""

from __future__ import annotations

from fhir_adapter.client import FhirClient, escaped, why_not_of
from fhir_adapter.errors import ServerBroken, ServerFault
from fhir_adapter.ports import Resource
from fhir_adapter.pull.merges import edges_of
from fhir_adapter.pull.references import dicts, target_of

_REFUSED = frozenset(("not-supported", "forbidden"))
"""Forbidden may be this one patient: only what is not supported is not asked for again."""


class LinkSearch:
    """One for all pulls over a server; what the server cannot do is asked for once."""

    def __init__(self, client: FhirClient) -> None:
        self._client = client
        self._works = True

    def joined_to(self, patient: str, *, page_size: int) -> tuple[Resource, ...]:
        """Patients whose own link says that they were replaced by this one, or replace it.

        Raises ServerFault where this cannot be told: it is not known then who the patient is.
        Nobody where the server refuses the search or ignores the parameter.
        """
        if not self._works:
            return ()
        params = {"link": f"Patient/{escaped(patient)}", "_count": str(page_size)}
        try:
            found = self._linking(patient, params)
        except ServerFault as fault:
            why_not = why_not_of(fault)
            if why_not not in _REFUSED:
                raise
            self._works = why_not == "forbidden"
            return ()
        base = self._client.base_url
        return tuple(
            one for one in found if any(patient in edge for edge in edges_of(one, base=base))
        )

    def _linking(self, patient: str, params: dict[str, str]) -> list[Resource]:
        found = list[Resource]()
        for page in self._client.pages("Patient", params):
            linking = [one for one in page.matches if _names(one, patient)]
            found += linking
            if page.ignored or len(linking) < len(page.matches):
                self._works = False
                return found
            if page.why_not:
                raise self._not_whole(page.why_not)
        return found

    def _not_whole(self, why_not: str) -> ServerBroken:
        return ServerBroken(
            f"the search for merged patients was not answered whole ({why_not})",
            where=f"{self._client.base_url}/Patient",
            remedy="Run `fhir-adapter server doctor`.",
        )


def _names(other: Resource, patient: str) -> bool:
    """Whether any link of it, of whatever type, is to this patient."""
    targets = (target_of(link.get("other")) for link in dicts(other.get("link")))
    return any(target is not None and target.key == f"Patient/{patient}" for target in targets)
