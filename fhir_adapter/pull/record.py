"""One patient's record from a FHIR server: one search per needed type, each proved whole or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus

from fhir_adapter.client import Capability, FhirClient, Found, escaped, status_of, why_not_of
from fhir_adapter.errors import (
    NotFhir,
    OtherVersion,
    PatientNotFound,
    ServerBroken,
    ServerFault,
    ServerRefused,
    ServerUnreachable,
)
from fhir_adapter.ports import Need, Pulled, PulledType, Resource
from fhir_adapter.pull.linking import LinkSearch
from fhir_adapter.pull.merges import Edge, edges_of, follow
from fhir_adapter.pull.references import (
    COMPANION_TYPES,
    COMPANIONS,
    Companion,
    companion_reference,
    key_of,
    patients_of,
    target_of,
)

_GIVING_UP = frozenset({"unreachable", "throttled"})
_GIVE_UP_AFTER = 2
_MOST_CACHED = 5000


class ServerRecords:
    """RecordSource over one FHIR server.

    ``categories`` names, per type, the categories by which this site must be searched (most EHRs
    want them for Observation); resources of no such category are then not seen. Searches are
    never narrowed by status, code or date. Medications and studies that records refer to are kept
    for the life of this object: make a new one for each run.
    """

    def __init__(
        self,
        client: FhirClient,
        *,
        categories: Mapping[str, tuple[str, ...]] | None = None,
        page_size: int = 500,
        capability_of: ServerRecords | None = None,
    ) -> None:
        self.client = client
        self.page_size = page_size
        self.companions: dict[str, Resource] = {}
        self.include_works: dict[str, bool] = {}
        """By type, what was seen: True once it brought something, False where it lost something."""
        self.link_search = LinkSearch(client)
        self._categories = dict(categories or {})
        self._capability: Capability | None = None
        self._capability_asked = False
        if capability_of is not None:  # another run over the same server asked already
            self._capability = capability_of.capability()
            self._capability_asked = True
            self.link_search = capability_of.link_search

    def patients(self) -> Iterator[str]:
        """Ids of all patients, sorted; ServerBroken when the list is not whole."""
        self.capability()
        ids = set[str]()
        params = {"_count": str(self.page_size)}
        for page in self.client.pages("Patient", params, max_pages=1_000_000):
            ids.update(str(patient.get("id", "")) for patient in page.matches)
            if page.why_not:
                raise self._list_broken(page.why_not)
        yield from sorted(ids - {""})

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """The record of one patient and of every id merged with it.

        Raises PatientNotFound, ServerUnreachable when the Patient cannot be asked for, NotFhir when
        what answers is no FHIR server, ServerRefused when it is a 401, and ServerFault when it
        cannot be told who was merged with the patient. All else is said in ``types``.
        """
        before = self.client.requests
        work = _Pull(self, patient)
        work.read_patient()
        work.follow_merges()
        for resource_type in dict.fromkeys(need.resource_type for need in needs):
            work.take(resource_type)
        return work.done(self.client.requests - before)

    def searches(self, resource_type: str) -> tuple[Mapping[str, str], ...]:
        """Extra parameters of each search that this site wants for a type."""
        categories = self._categories.get(resource_type, ())
        return tuple({"category": name} for name in categories) or ({},)

    def refuses(self, resource_type: str, *, parameter: str = "patient") -> bool:
        """Whether the server says that it cannot search this type by this parameter.

        It is not asked then: some servers answer what they do not know with an empty Bundle.
        """
        capability = self.capability()
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

    def _list_broken(self, why_not: str) -> ServerBroken:
        return ServerBroken(
            f"the list of patients is not whole ({why_not})",
            where=f"{self.client.base_url}/Patient",
            remedy="Run `fhir-adapter server doctor`; screen by a list of ids meanwhile.",
        )


class _Pull:
    """The work of one pull; thrown away afterwards."""

    def __init__(self, source: ServerRecords, patient: str) -> None:
        self._source = source
        self._client = source.client
        self._patient = patient
        self._ids: tuple[str, ...] = (patient,)
        self._resources: dict[str, Resource] = {}
        self._nameless: list[Resource] = []
        self._whys: dict[str, str] = {}
        self._issues: list[str] = []
        self._unread: dict[str, str] = {}
        self._failures = 0
        self._give_up = ""

    def read_patient(self) -> None:
        """The Patient asked for; see ``ServerRecords.pull`` for what raises."""
        try:
            found = self._client.read("Patient", self._patient)
        except (ServerUnreachable, NotFhir):
            raise
        except ServerFault as fault:
            if isinstance(fault, ServerRefused) and status_of(fault) == HTTPStatus.UNAUTHORIZED:
                raise
            self._whys["Patient"] = why_not_of(fault)
            return
        if found is None:
            raise self._not_found()
        self._whys["Patient"] = ""
        self._add(found)

    def follow_merges(self) -> None:
        """Read every Patient that is joined by links, and search by all their ids."""
        merge = follow(self._patient, self._edges_at)
        self._issues.extend(merge.issues)
        self._ids = (self._patient, *merge.aliases)
        if merge.issues:
            own = f"Patient/{self._patient}"
            self._resources = {k: v for k, v in self._resources.items() if k == own}

    def _edges_at(self, patient: str) -> Iterable[Edge]:
        known = self._resources.get(f"Patient/{patient}") or self._other_patient(patient)
        edges = edges_of(known) if known else frozenset[Edge]()
        for other in self._source.joined_to(patient):
            self._add(other)
            edges |= edges_of(other)
        return edges

    def _other_patient(self, patient: str) -> Resource | None:
        if patient == self._patient:
            return self._answered_for()
        try:
            found = self._client.read("Patient", patient)
        except ServerFault as fault:
            self._whys["Patient"] = self._whys["Patient"] or why_not_of(fault)
            return None
        if found is None:
            self._issues.append("merge-target-missing")
            return None
        self._add(found)
        return found

    def _answered_for(self) -> Resource | None:
        """A server that merged the patient away may answer with the survivor: an alias."""
        other = next(iter(self._resources.values()), None)
        if other is None:
            return None
        survivor = {"type": "replaced-by", "other": {"reference": key_of(other)}}
        return {"id": self._patient, "link": [survivor]}

    def take(self, resource_type: str) -> None:
        """Search one type for every id; what is missing is kept as its ``why_not``."""
        if resource_type in self._whys or resource_type in COMPANION_TYPES:
            return
        if self._give_up or self._source.refuses(resource_type):
            self._whys[resource_type] = self._give_up or "not-supported"
            return
        why_not = ""
        for patient in self._ids:
            for extra in self._source.searches(resource_type):
                why_not = why_not or self._search(resource_type, patient, extra)
        self._whys[resource_type] = why_not
        self._count_failure(why_not)

    def _count_failure(self, why_not: str) -> None:
        self._failures = self._failures + 1 if why_not in _GIVING_UP else 0
        self._give_up = why_not if self._failures >= _GIVE_UP_AFTER else ""

    def _search(self, resource_type: str, patient: str, extra: Mapping[str, str]) -> str:
        params = {"patient": escaped(patient), **extra, "_count": str(self._source.page_size)}
        try:
            found = self._found(resource_type, params)
        except ServerFault as fault:
            return why_not_of(fault)
        own = [match for match in found.matches if self._is_own(match)]
        for resource in own:
            self._add(resource)
        self._keep_included(found)
        unread = [self._why_unread(resource) for resource in own]
        foreign = "foreign-patient" if len(own) < len(found.matches) else ""
        return next((why for why in (found.why_not, foreign, *unread) if why), "")

    def _found(self, resource_type: str, params: Mapping[str, str]) -> Found:
        """With _include where it is offered; without where the server then refuses or forgets.

        A server that does not know a parameter may answer as if there were nothing: until an
        _include has brought something, an empty answer is asked for again without it.
        """
        companion = self._source.includes(resource_type)
        if companion is None:
            return self._client.search(resource_type, params)
        include = {"_include": f"{resource_type}:{companion.include}"}
        try:
            found = self._client.search(resource_type, {**params, **include})
        except ServerFault as fault:
            if why_not_of(fault) != "not-supported":
                raise
        else:
            if found.matches:
                self._source.include_works[resource_type] = True
            if not found.complete or resource_type in self._source.include_works:
                return found
        plain = self._client.search(resource_type, params)
        if plain.matches:
            self._source.include_works[resource_type] = False
        return plain

    def _is_own(self, resource: Resource) -> bool:
        """Not plainly somebody else's: a server that ignores ``patient`` sends everybody's."""
        owners = patients_of(resource)
        return not owners or not set(owners).isdisjoint(self._ids)

    def _keep_included(self, found: Found) -> None:
        for resource in found.included:
            if resource.get("resourceType") in COMPANION_TYPES:
                self._source.keep(key_of(resource), resource)

    def _why_unread(self, resource: Resource) -> str:
        """Fetch what the resource refers to; a code when that failed and matters."""
        reference = companion_reference(resource)
        target = target_of(reference)
        if target is None or target.resource_type not in COMPANION_TYPES:
            return ""
        if not target.is_on(self._client.base_url):
            return self._lost(resource, "foreign-reference")
        known = self._source.companions.get(target.key)
        if known is None and target.key not in self._unread:
            known = self._read_companion(target.resource_type, target.id)
        if known is None:
            return self._lost(resource, self._unread[target.key])
        self._add(known)
        return ""

    def _read_companion(self, resource_type: str, resource_id: str) -> Resource | None:
        try:
            found = self._client.read(resource_type, resource_id)
        except ServerFault as fault:
            self._unread[f"{resource_type}/{resource_id}"] = why_not_of(fault)
            return None
        if found is None:
            self._unread[f"{resource_type}/{resource_id}"] = "reference-missing"
            return None
        self._source.keep(f"{resource_type}/{resource_id}", found)
        return found

    def _lost(self, resource: Resource, why_not: str) -> str:
        companion = COMPANIONS[str(resource["resourceType"])]
        self._issues.append(f"{companion.resource_type.lower()}-unread")
        return why_not if companion.vital else ""

    def _add(self, resource: Resource) -> None:
        if "id" in resource:
            self._resources.setdefault(key_of(resource), resource)
        else:
            self._nameless.append(resource)

    def _not_found(self) -> PatientNotFound:
        return PatientNotFound(
            "the record server does not know this patient",
            where=f"{self._client.base_url}/Patient",
            remedy="Check that the id is the server's logical id and not a hospital number.",
        )

    def done(self, requests: int) -> Pulled:
        """Everything found, in the order of asking."""
        types = (
            PulledType(resource_type=name, complete=not why, why_not=why)
            for name, why in self._whys.items()
        )
        return Pulled(
            patient=self._patient,
            resources=(*self._resources.values(), *self._nameless),
            types=tuple(types),
            requests=requests,
            issues=tuple(dict.fromkeys(self._issues)),
            aliases=self._ids[1:],
        )
