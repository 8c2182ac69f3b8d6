"""Resources of many patients, sorted by patient, with what is known to be whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_adapter.errors import PatientNotFound
from fhir_adapter.fhir.reading import text
from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Need, Pulled, PulledType, Resource
from fhir_adapter.pull.merges import Edge, Merge, edges_of, follow
from fhir_adapter.pull.references import (
    COMPANION_TYPES,
    COMPANIONS,
    companion_reference,
    dicts,
    key_of,
    patients_of,
    rewritten,
    target_of,
)

EVERY_TYPE = "*"
_WHOLE_BUNDLES = frozenset({"collection", "transaction", "batch"})
_LONE = frozenset(
    [
        "Medication",
        "ResearchStudy",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "Device",
        "Group",
        "Questionnaire",
        "Library",
        "PlanDefinition",
        "ValueSet",
        "CodeSystem",
        "ConceptMap",
        "StructureDefinition",
        "Substance",
        "Endpoint",
        "HealthcareService",
        "Provenance",
        "Binary",
        "Parameters",
        "OperationOutcome",
        "CapabilityStatement",
        "SearchParameter",
        "NamingSystem",
        "Measure",
        "ActivityDefinition",
    ]
)
"""Types of no patient's compartment that a record folder holds besides."""


@dataclass(slots=True)
class Index:
    """Fill it with ``add``; then ``pull`` answers from it alone."""

    complete_types: frozenset[str] = frozenset()
    issues: Counter[str] = field(default_factory=Counter[str])
    damaged: list[str] = field(default_factory=list[str])
    """Places in files that could not be read."""
    broken: dict[str, str] = field(default_factory=dict[str, str])
    """Type (or EVERY_TYPE) to why it is whole for nobody."""
    _by_patient: dict[str, dict[str, Resource]] = field(default_factory=dict[str, Any])
    _lone: dict[str, Resource] = field(default_factory=dict[str, Any])
    _types: set[str] = field(default_factory=set[str])
    _in_bundles: set[str] = field(default_factory=set[str])
    _in_documents: set[str] = field(default_factory=set[str])
    _edges: dict[str, set[Edge]] = field(default_factory=dict[str, set[Edge]])

    def add(self, resource: Resource) -> frozenset[str]:
        """Take one resource, or all of a Bundle; gives the resource types seen."""
        if not _is_typed(resource):
            self.issues["no-type"] += 1
            return frozenset()
        if resource["resourceType"] == "Bundle":
            return self._add_bundle(resource)
        self._types.add(resource["resourceType"])
        self._place(resource)
        return frozenset({resource["resourceType"]})

    def has_type(self, resource_type: str) -> None:
        """There is a file of this type, be it empty."""
        self._types.add(resource_type)

    def break_types(self, types: Collection[str], why_not: str) -> None:
        """What was read of these types is not all; no type named means any."""
        for name in types or (EVERY_TYPE,):
            self.broken.setdefault(name, why_not)

    def patients(self) -> list[str]:
        """Everybody who has a Patient or anything else here, sorted."""
        return sorted(self._by_patient)

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """Needed types, companions and the Patients of one person; PatientNotFound if nothing."""
        merge = follow(patient, lambda one: self._edges.get(one, ()))
        ids = (patient, *merge.aliases)
        if not any(one in self._by_patient for one in ids):
            raise _not_found()
        wanted = dict.fromkeys(("Patient", "Composition", *(need.resource_type for need in needs)))
        own = [r for one in ids for r in self._by_patient.get(one, {}).values()]
        chosen = [r for name in wanted for r in own if r["resourceType"] == name]
        companions, unread = self._companions(chosen)
        return Pulled(
            patient=patient,
            resources=(*chosen, *companions),
            types=tuple(
                self._pulled(name, ids, chosen, unread) for name in wanted if _is_asked(name)
            ),
            issues=self._said(merge, unread),
            aliases=merge.aliases,
        )

    def _pulled(
        self, name: str, ids: Iterable[str], chosen: list[Resource], unread: frozenset[str]
    ) -> PulledType:
        why = self.broken.get(name) or self._why_not(name, ids)
        if name == "Patient" and not any(r["resourceType"] == "Patient" for r in chosen):
            why = why or "no-file"
        if not why and name in unread and COMPANIONS[name].vital:
            why = "reference-missing"
        return PulledType(resource_type=name, complete=not why, why_not=why)

    def _why_not(self, name: str, ids: Iterable[str]) -> str:
        """A Bundle of the patient's own claims every type; else the type's file must be there."""
        if name in self.complete_types:
            return ""
        if all(one in self._in_bundles for one in ids if one in self._by_patient):
            return ""
        if EVERY_TYPE in self.broken:
            return self.broken[EVERY_TYPE]
        if name in self._types:
            return ""
        return "document-only" if self._in_documents.issuperset(ids) else "no-file"

    def _companions(self, chosen: list[Resource]) -> tuple[list[Resource], frozenset[str]]:
        found: dict[str, Resource] = {}
        unread = set[str]()
        for resource in chosen:
            target = target_of(companion_reference(resource))
            if target is None or target.resource_type not in COMPANION_TYPES:
                continue
            companion = self._lone.get(target.key)
            if companion is None:
                unread.add(resource["resourceType"])
            else:
                found[target.key] = companion
        return list(found.values()), frozenset(unread)

    def _said(self, merge: Merge, unread: frozenset[str]) -> tuple[str, ...]:
        lost = {f"{COMPANIONS[name].resource_type.lower()}-unread" for name in unread}
        return (*sorted(self.issues), *merge.issues, *sorted(lost))

    def _add_bundle(self, bundle: Resource) -> frozenset[str]:
        kind = text(bundle.get("type"))
        resources = self._entries(bundle)
        owners = {one for r in resources for one in self._place(r)}
        if kind in _WHOLE_BUNDLES:
            self._in_bundles |= owners
        elif kind == "document":
            self._in_documents |= owners
        types = frozenset(str(r["resourceType"]) for r in resources)
        if kind not in _WHOLE_BUNDLES and kind != "document":
            self._types |= types
        if any(link.get("relation") == "next" for link in dicts(bundle.get("link"))):
            self.issues["cut-short"] += 1
            self.break_types(types, "cut-short")
        return types

    def _entries(self, bundle: Resource) -> list[Resource]:
        """Resources with ``urn:`` references replaced by Type/id; the Bundle stays as it is."""
        entries = [
            (e, as_object(e.get("resource"))) for e in map(as_object, as_array(bundle.get("entry")))
        ]
        named = [(e, _named(e, r)) for e, r in entries if _is_typed(r)]
        missing = len(as_array(bundle.get("entry"))) - len(named)
        if missing:
            self.issues["entry-without-resource"] += missing
        names = {str(e["fullUrl"]): key_of(r) for e, r in named if _is_urn(e)}
        return [rewritten(r, names) if names else r for _, r in named]

    def _place(self, resource: Resource) -> tuple[str, ...]:
        """Put a resource where it belongs; gives the patients it belongs to."""
        owners = patients_of(resource)
        for patient in owners:
            self._put(self._by_patient.setdefault(patient, {}), resource)
        if not owners and resource["resourceType"] in _LONE:
            self._put(self._lone, resource)
        elif not owners:
            self.issues["no-patient"] += 1
        if resource["resourceType"] == "Patient":
            self._join(resource)
        return owners

    def _put(self, place: dict[str, Resource], resource: Resource) -> None:
        """The later one of two with the same id stands."""
        key = key_of(resource) if "id" in resource else f"#{len(place)}"
        if "id" not in resource:
            self.issues["no-id"] += 1
        elif key in place:
            self.issues["duplicate"] += 1
        place[key] = resource

    def _join(self, patient: Resource) -> None:
        for edge in edges_of(patient):
            for end in edge:
                self._edges.setdefault(end, set()).add(edge)


def _is_asked(name: str) -> bool:
    return name not in COMPANION_TYPES and name != "Composition"


def _is_typed(resource: Resource) -> bool:
    return isinstance(resource.get("resourceType"), str)


def _is_urn(entry: dict[str, Any]) -> bool:
    return str(entry.get("fullUrl", "")).startswith("urn:")


def _named(entry: dict[str, Any], resource: Resource) -> Resource:
    """A resource without id takes the last part of its ``urn:`` fullUrl as one."""
    if "id" in resource or not _is_urn(entry):
        return resource
    return {**resource, "id": str(entry["fullUrl"]).rpartition(":")[2]}


def _not_found() -> PatientNotFound:
    return PatientNotFound(
        "nothing of this patient is there",
        where="record folder",
        remedy="Check that the id is the logical id of a Patient in these files.",
    )
