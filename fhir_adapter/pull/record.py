"""One patient's record from a FHIR server: one search per needed type, each proved whole or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus

from fhir_adapter.client import status_of, why_not_of
from fhir_adapter.errors import (
    NotFhir,
    PatientNotFound,
    ServerBroken,
    ServerFault,
    ServerRefused,
    ServerUnreachable,
)
from fhir_adapter.ports import Need, Pulled, PulledType, Resource
from fhir_adapter.pull.endpoint import is_endpoint, no_endpoint, told_apart
from fhir_adapter.pull.merges import Edge, edges_of, follow
from fhir_adapter.pull.record_server import RecordServer
from fhir_adapter.pull.references import key_of
from fhir_adapter.pull.searching import Searching


class ServerRecords(RecordServer):
    """RecordSource over one FHIR server.

    ``categories`` names, per type, the categories by which this site must be searched (most EHRs
    want them for Observation); resources of no such category are then not seen. Searches are
    never narrowed by status, code or date. Medications and studies that records refer to are kept
    for the life of this object: make a new one for each run.
    """

    def patients(self) -> Iterator[str]:
        """Ids of all patients, sorted; ServerBroken when the list is not whole.

        NotFhir where no FHIR server is at the base URL.
        """
        self.capability()
        ids = set[str]()
        params = {"_count": str(self.page_size)}
        try:
            for page in self.client.pages("Patient", params, max_pages=1_000_000):
                ids.update(str(patient.get("id", "")) for patient in page.matches)
                if page.why_not:
                    raise self._list_broken(page.why_not)
        except ServerFault as fault:
            raise told_apart(self.client, fault) from fault.__cause__
        yield from sorted(ids - {""})

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """The record of one patient and of every id merged with it.

        Raises PatientNotFound, ServerUnreachable when the Patient cannot be asked for, NotFhir when
        what answers is no FHIR server, and ServerRefused when it is a 401. All else is said in
        ``types``: where it cannot be told who was merged with the patient, none is whole.
        """
        before = self.client.requests
        work = _Pull(self, patient)
        work.read_patient()
        work.follow_merges()
        work.search(tuple(dict.fromkeys(need.resource_type for need in needs)))
        return work.done(self.client.requests - before)

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
        self._unjoined = ""
        """Why it is not known who was merged with the patient: then no type is whole."""

    def read_patient(self) -> None:
        """The Patient asked for; see ``ServerRecords.pull`` for what raises."""
        try:
            found = self._client.read("Patient", self._patient)
        except (ServerUnreachable, NotFhir):
            raise
        except ServerFault as fault:
            if isinstance(fault, ServerRefused) and status_of(fault) == HTTPStatus.UNAUTHORIZED:
                raise
            told = told_apart(self._client, fault)
            if told is not fault:
                raise told from fault.__cause__
            self._whys["Patient"] = why_not_of(fault)
            return
        if found is None:
            raise self._not_found() if is_endpoint(self._client) else no_endpoint(self._client)
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
        edges = edges_of(known, base=self._client.base_url) if known else frozenset[Edge]()
        for other in self._joined_to(patient):
            self._add(other)
            edges |= edges_of(other, base=self._client.base_url)
        return edges

    def _joined_to(self, patient: str) -> Sequence[Resource]:
        """Where this cannot be told, anything may stand under an id that nobody knows."""
        try:
            return self._source.joined_to(patient)
        except ServerFault as fault:
            self._unjoined = self._unjoined or why_not_of(fault)
            return ()

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

    def search(self, types: Sequence[str]) -> None:
        """Everything of these types, by every id; what is missing is kept as its ``why_not``."""
        searching = Searching(
            server=self._source,
            ids=self._ids,
            whys=self._whys,
            issues=self._issues,
            add=self._add,
        )
        searching.search_at_once(types)
        for resource_type in types:
            searching.take(resource_type)
        searching.prove()

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
            for name, why in ((name, why or self._unjoined) for name, why in self._whys.items())
        )
        return Pulled(
            patient=self._patient,
            resources=(*self._resources.values(), *self._nameless),
            types=tuple(types),
            requests=requests,
            issues=tuple(dict.fromkeys(self._issues)),
            aliases=self._ids[1:],
        )
