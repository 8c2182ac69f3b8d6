"""A record from what a CDS Hooks client prefetched, completed from the registered server.

CDS Hooks 2.0.1, prefetch template. Four cases of a key: a Bundle or resource (whole, unless the
Bundle has further pages), null (asked, nothing there), an OperationOutcome (asked and failed: not
asked again), left out (not asked: the registered server is asked, else it is not retrieved).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_adapter.client import Params
from fhir_adapter.errors import PatientNotFound, ServerFault
from fhir_adapter.fhir.outcome import OUTCOME, issues_of
from fhir_adapter.fhir.reading import is_object, parts, text
from fhir_adapter.ports import Need, Pulled, Resource
from fhir_adapter.pull.index import Index
from fhir_adapter.pull.references import key_of as key_of_resource

PATIENT_KEY = "patient"
MOST_KEYS = 8
"""Searches that one opened chart may cost the EHR; the rest is asked of the registered server."""

_FIRST = (
    "Observation",
    "Condition",
    "MedicationRequest",
    "Procedure",
    "Encounter",
    "AllergyIntolerance",
    "ResearchSubject",
)
"""What most criteria read, and what every EHR can search by patient."""

Words = Callable[[str, Params], Params]
"""A type's search parameters in the words of the client's version of FHIR."""


def as_in_r4(_resource_type: str, params: Params) -> Params:
    """The words of R4, which are ours."""
    return params


Complete = Callable[[str, Sequence[Need]], Pulled]
"""Pulls types of one patient from the registered server, within what is left of the deadline."""


def templates(needs: Sequence[Need], words: Words = as_in_r4) -> dict[str, str]:
    """Prefetch templates for the types that criteria read most; never narrowed by code or status.

    >>> from fhir_adapter.model.fact import Kind
    >>> templates((Need(kind=Kind.CONDITION, resource_type="Condition"),))["condition"]
    'Condition?patient={{context.patientId}}'
    """
    wanted = {need.resource_type for need in needs}
    first = [name for name in _FIRST if name in wanted][: MOST_KEYS - 1]
    found = {PATIENT_KEY: "Patient/{{context.patientId}}"}
    return found | {key_of(name): _search(name, words) for name in first}


def _search(resource_type: str, words: Words) -> str:
    said = words(resource_type, {"patient": "{{context.patientId}}"})
    return f"{resource_type}?{'&'.join(f'{name}={value}' for name, value in said.items())}"


def key_of(resource_type: str) -> str:
    """The prefetch key of a type: its name with a small first letter."""
    return resource_type[:1].lower() + resource_type[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """What a client sent: resources, and how whole each type is."""

    resources: tuple[Resource, ...]
    whole: frozenset[str]
    failed: Mapping[str, str]
    """Type -> why it is not whole and is not asked for again."""


def read(prefetch: Mapping[str, Any], names: Sequence[str]) -> Prefetched:
    """The keys of ``names`` (resource types); others are ignored, for we did not ask for them."""
    resources: list[Resource] = []
    whole: set[str] = set()
    failed: dict[str, str] = {}
    for name in names:
        if key_of(name) not in prefetch:
            continue
        value = prefetch[key_of(name)]
        if value is None:
            whole.add(name)
        elif not is_object(value) or text(value.get("resourceType")) == OUTCOME:
            failed[name] = "prefetch-failed"
        else:
            resources.extend(_unpacked(value))
            if not _has_more(value):
                whole.add(name)
    return Prefetched(resources=tuple(resources), whole=frozenset(whole), failed=failed)


def _unpacked(value: Resource) -> list[Resource]:
    if value.get("resourceType") != "Bundle":
        return [value]
    found = [entry.get("resource") for entry in parts(value.get("entry"))]
    return [one for one in found if is_object(one)]


def _has_more(value: Resource) -> bool:
    """A further page, or matches that are said to exist and were not sent, or not as resources."""
    links = (text(link.get("relation")) for link in parts(value.get("link")))
    if "next" in links:
        return True
    total = value.get("total")
    entries = parts(value.get("entry"))
    said = (issue for entry in entries for issue in issues_of(entry.get("resource")))
    if any(issue.withholds for issue in said):
        return True
    matches = [entry for entry in entries if _mode(entry) != "outcome"]
    if not all(is_object(entry.get("resource")) for entry in matches):
        return True
    return isinstance(total, int) and not isinstance(total, bool) and total > len(matches)


def _mode(entry: Resource) -> str:
    search = entry.get("search")
    return text(search.get("mode")) if is_object(search) else ""


class PrefetchRecord:
    """RecordSource of one call: what was prefetched, and the rest from the registered server."""

    def __init__(self, found: Prefetched, complete: Complete | None = None) -> None:
        self._found = found
        self._complete = complete

    def patients(self) -> Sequence[str]:
        """Ids of the Patients that were sent."""
        sent = (one for one in self._found.resources if one.get("resourceType") == "Patient")
        return tuple(text(one.get("id")) for one in sent)

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """One patient's record; PatientNotFound where neither the client nor the server has it."""
        index = self._indexed(needs)
        if patient not in self.patients():
            return self._with_patient(index, patient, needs)
        pulled = index.pull(patient, needs)
        missing = self._missing(pulled, needs)
        if self._complete is None or not missing:
            return pulled
        try:
            return self._completed(index, patient, needs, missing)
        except ServerFault:
            return pulled

    def _with_patient(self, index: Index, patient: str, needs: Sequence[Need]) -> Pulled:
        """The Patient too comes from the server, unless the client has asked for it already."""
        answered = self._found.whole | set(self._found.failed)
        if self._complete is None or "Patient" in answered:
            raise _no_patient()
        missing = [need for need in needs if need.resource_type not in answered]
        try:
            found = self._completed(index, patient, needs, missing)
        except ServerFault:
            raise _no_patient() from None
        if not found.has_patient:  # the read of it alone was refused, or failed
            raise _no_patient()
        return found

    def _indexed(self, needs: Sequence[Need]) -> Index:
        index = Index(complete_types=self._found.whole)
        for name in dict.fromkeys(("Patient", *(need.resource_type for need in needs))):
            if name not in self._found.whole:
                index.break_types([name], self._found.failed.get(name, "not-prefetched"))
        for resource in self._found.resources:
            index.add(resource)
        return index

    def _missing(self, pulled: Pulled, needs: Sequence[Need]) -> list[Need]:
        """What is not whole and was not refused to the client already."""
        open_types = {one.resource_type for one in pulled.types if not one.complete}
        asked = open_types - set(self._found.failed)
        return [need for need in needs if need.resource_type in asked]

    def _completed(
        self, index: Index, patient: str, needs: Sequence[Need], missing: Sequence[Need]
    ) -> Pulled:
        assert self._complete is not None
        more = self._complete(patient, missing)
        sent = {key_of_resource(one): one for one in self._found.resources}
        for resource in more.resources:
            known = sent.get(key_of_resource(resource))
            if known is None or "" < _changed_at(known) < _changed_at(resource):
                index.add(resource)
        pulled = index.pull(patient, needs)
        asked = {one.resource_type: one for one in more.types}
        types = tuple(
            one if one.complete else asked.get(one.resource_type, one) for one in pulled.types
        )
        aliases = tuple(dict.fromkeys((*pulled.aliases, *more.aliases)))
        return replace(pulled, types=types, requests=more.requests, aliases=aliases)


def _changed_at(resource: Resource) -> str:
    """What was sent stands, unless the server's is known to be newer; both come from one server."""
    meta = resource.get("meta")
    return text(meta.get("lastUpdated")) if is_object(meta) else ""


def _no_patient() -> PatientNotFound:
    return PatientNotFound(
        "the Patient was not prefetched and cannot be asked for",
        where="prefetch",
        remedy="Send the prefetch key patient, or register the client's FHIR server.",
    )
