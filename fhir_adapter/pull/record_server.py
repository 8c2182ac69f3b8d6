"""What is known of the server that records come from, for the life of a run."""

from __future__ import annotations

from collections.abc import Mapping

from fhir_adapter.client import Capability, FhirClient
from fhir_adapter.errors import OtherVersion, ServerFault
from fhir_adapter.model.server import ServerProfile
from fhir_adapter.ports import Resource
from fhir_adapter.pull.batching import Batch, Batching
from fhir_adapter.pull.canaries import Canaries
from fhir_adapter.pull.linking import LinkSearch
from fhir_adapter.pull.references import COMPANIONS, Companion

_MOST_CACHED = 5000
LISTS_NOTHING = (
    "The server's CapabilityStatement lists no resource type: everything is tried, one search for "
    "each type, and what is refused counts as not retrieved. `fhir-adapter server doctor URL` says "
    "what serves; with --profile FILE that is kept, and followed."
)
"""Said once; a server without any CapabilityStatement is nothing new to anybody."""


class RecordServer:
    """One FHIR server: what it says and what was seen of it, and companions that were read.

    ``profile``: what the doctor saw stands over what the server says, and a setting over both.
    """

    def __init__(
        self,
        client: FhirClient,
        *,
        categories: Mapping[str, tuple[str, ...]] | None = None,
        page_size: int = 500,
        batch: Batch = Batch.AUTO,
        profile: ServerProfile | None = None,
        capability_of: RecordServer | None = None,
    ) -> None:
        self.client = client
        self.page_size = page_size
        self.companions: dict[str, Resource] = {}
        self.include_works: dict[str, bool] = {}
        """By type, what was seen: True once it brought something, False where it lost something."""
        self.link_search: LinkSearch = (
            capability_of.link_search if capability_of else LinkSearch(client)
        )
        self.batching: Batching = capability_of.batching if capability_of else Batching(client)
        self.canaries: Canaries = capability_of.canaries if capability_of else Canaries(client)
        self._batch = batch
        self._profile = profile or ServerProfile()
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

    def has_categories(self, resource_type: str) -> bool:
        """Whether the site has said by which categories a type is searched."""
        return resource_type in self._categories

    def refuses(self, resource_type: str, *, parameter: str = "patient") -> bool:
        """Whether the server says that it cannot search this type by this parameter.

        Or that the doctor saw it fail. It is not asked then: some servers answer what they do not
        know with an empty Bundle.
        """
        capability = self.capability()
        if parameter in self._profile.unused_parameters(resource_type):
            return True
        if capability is None or not capability.types:
            return False
        offered = capability.of(resource_type)
        if offered is None:
            return True
        return bool(offered.search_params) and parameter not in offered.search_params

    def joined_to(self, patient: str) -> tuple[Resource, ...]:
        """Patients who say that they were merged with this one; nobody where that has no search.

        Asked where the server offers ``link``, or says nothing of Patient's parameters.
        """
        if self.refuses("Patient", parameter="link"):
            return ()
        return self.link_search.joined_to(patient, page_size=self.page_size)

    def batches(self) -> bool:
        """Whether searches go in batches: as set, else as seen, else as the server says."""
        if self._batch is not Batch.AUTO:
            return self._batch is Batch.ALWAYS
        seen, capability = self._profile.batches_searches, self.capability()
        if seen is not None:
            return seen
        return capability is not None and "batch" in capability.interactions

    def includes(self, resource_type: str) -> Companion | None:
        """The companion to ask for with _include; None where the server does not offer it."""
        if self._profile.fails("query.include"):
            return None
        companion, capability = COMPANIONS.get(resource_type), self.capability()
        offered = capability.of(resource_type) if capability else None
        if companion is None or offered is None or not self.include_works.get(resource_type, True):
            return None
        return companion if offered.offers_include(companion.include) else None

    @property
    def lists_nothing(self) -> bool:
        """Whether it was heard to offer no type at all, and no doctor has seen more of it."""
        said = self._capability
        return said is not None and not said.types and not self._profile.verdicts

    def capability(self) -> Capability | None:
        """What the server says of itself, asked once; None where that is unusable.

        Another version of FHIR is no matter of taste: OtherVersion is raised each time. So is
        SettingInvalid where the profile is of another software.
        """
        if not self._capability_asked:
            try:
                self._capability = self.client.capability()
            except OtherVersion:
                raise
            except ServerFault:
                self._capability = None
            self._refuse_other_profile(self._capability)
            self._capability_asked = True
        return self._capability

    def _refuse_other_profile(self, capability: Capability | None) -> None:
        """A profile without any verdict is of no server; one that says nothing is taken."""
        if capability is not None and self._profile.verdicts:
            self._profile.refuse_other(capability.software, where=self.client.base_url)

    def keep(self, key: str, resource: Resource) -> None:
        """Remember a companion for the next patient."""
        if len(self.companions) >= _MOST_CACHED:
            self.companions.clear()
        self.companions[key] = resource
