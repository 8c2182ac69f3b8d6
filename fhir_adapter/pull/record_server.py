"""What is known of the server that records come from, for the life of a run."""

from __future__ import annotations

from collections.abc import Mapping

from fhir_adapter.client import Capability, FhirClient
from fhir_adapter.errors import OtherVersion, ServerFault
from fhir_adapter.ports import Resource
from fhir_adapter.pull.batching import Batch, Batching
from fhir_adapter.pull.references import COMPANIONS, Companion

_MOST_CACHED = 5000


class RecordServer:
    """One FHIR server: what it says and what was seen of it, and companions that were read."""

    def __init__(
        self,
        client: FhirClient,
        *,
        categories: Mapping[str, tuple[str, ...]] | None = None,
        page_size: int = 500,
        batch: Batch = Batch.AUTO,
        capability_of: RecordServer | None = None,
    ) -> None:
        self.client = client
        self.page_size = page_size
        self.companions: dict[str, Resource] = {}
        self.include_works: dict[str, bool] = {}
        """By type, what was seen: True once it brought something, False where it lost something."""
        self.batching: Batching = capability_of.batching if capability_of else Batching(client)
        self._batch = batch
        self._categories = dict(categories or {})
        self._capability: Capability | None = None
        self._capability_asked = False
        if capability_of is not None:  # another run over the same server asked already
            self._capability = capability_of.capability()
            self._capability_asked = True

    def searches(self, resource_type: str) -> tuple[Mapping[str, str], ...]:
        """Extra parameters of each search that this site wants for a type."""
        categories = self._categories.get(resource_type, ())
        return tuple({"category": name} for name in categories) or ({},)

    def refuses(self, resource_type: str) -> bool:
        """Whether the server says that it cannot search this type by patient.

        It is not asked then: some servers answer what they do not know with an empty Bundle.
        """
        capability = self.capability()
        if capability is None or not capability.types:
            return False
        offered = capability.of(resource_type)
        if offered is None:
            return True
        return bool(offered.search_params) and "patient" not in offered.search_params

    def batches(self) -> bool:
        """Whether searches go in batches: where the server says so, or where it was set."""
        if self._batch is not Batch.AUTO:
            return self._batch is Batch.ALWAYS
        capability = self.capability()
        return capability is not None and "batch" in capability.interactions

    def includes(self, resource_type: str) -> Companion | None:
        """The companion to ask for with _include; None where the server does not offer it."""
        companion, capability = COMPANIONS.get(resource_type), self.capability()
        offered = capability.of(resource_type) if capability else None
        if companion is None or offered is None or not self.include_works.get(resource_type, True):
            return None
        return companion if offered.offers_include(companion.include) else None

    def capability(self) -> Capability | None:
        """What the server says of itself, asked once; None where that is unusable.

        Another version of FHIR is no matter of taste: OtherVersion is raised each time.
        """
        if not self._capability_asked:
            try:
                self._capability = self.client.capability()
            except OtherVersion:
                raise
            except ServerFault:
                self._capability = None
            self._capability_asked = True
        return self._capability

    def keep(self, key: str, resource: Resource) -> None:
        """Remember a companion for the next patient."""
        if len(self.companions) >= _MOST_CACHED:
            self.companions.clear()
        self.companions[key] = resource
