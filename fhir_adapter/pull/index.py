"""Resources of many patients, sorted by patient, with what is known to be whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_adapter.errors import PatientNotFound
from fhir_adapter.fhir.reading import text
from fhir_adapter.ports import ExportState, Need, Pulled, PulledType, Resource
from fhir_adapter.pull.bundles import read_bundle
from fhir_adapter.pull.merges import Edge, Merge, edges_of, follow
from fhir_adapter.pull.references import (
    COMPANION_TYPES,
    COMPANIONS,
    companion_reference,
    is_about_no_patient,
    key_of,
    patients_of,
    target_of,
)

EVERY_TYPE = "*"
NO_PATIENT = "no-patient"
"""Issue, and why a type is whole for nobody: a resource that does not say whose it is."""
OTHER_SUBJECT = "subject-no-patient"
"""Issue: a resource about a Group, a Device, a Location."""
LONE_TYPES = frozenset(
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
    only: frozenset[str] | None = None
    """Where set: nobody else's resources are taken, and nothing is counted for others."""
    _by_patient: dict[str, dict[str, Resource]] = field(default_factory=dict[str, Any])
    _lone: dict[str, Resource] = field(default_factory=dict[str, Any])
    _types: set[str] = field(default_factory=set[str])
    _in_bundles: set[str] = field(default_factory=set[str])
    _in_documents: set[str] = field(default_factory=set[str])
    _edges: dict[str, set[Edge]] = field(default_factory=dict[str, set[Edge]])

    @classmethod
    def of_group(cls, state: ExportState, ids: Collection[str]) -> Index:
        """Empty, for these patients alone, with what is true of the export that they are in."""
        return cls(
            complete_types=state.complete_types,
            broken=dict(state.broken),
            only=frozenset(ids),
            _types=set(state.types),
        )

    def lend(self, key: str, companion: Resource) -> None:
        """A resource of nobody's under ``Type/id``."""
        self._lone[key] = companion

    def add(self, resource: Resource) -> frozenset[str]:
        """Take one resource, or all of a Bundle; gives the resource types seen."""
        if not text(resource.get("resourceType")):
            self.issues["no-type"] += 1
            self.break_types((), "no-type")
            return frozenset()
        if resource["resourceType"] == "Bundle":
            return self._add_bundle(resource)
        self._types.add(resource["resourceType"])
        self.place(resource)
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
        by_type: dict[str, list[Resource]] = {}
        for resource in own:
            by_type.setdefault(resource["resourceType"], []).append(resource)
        chosen = [resource for name in wanted for resource in by_type.get(name, ())]
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
        """A Bundle of the patient's own claims every type; else the type's file must be there.

        A file that cannot be read, of a type that nobody knows, may be about anybody: whoever has
        a whole Bundle may have had more in it.
        """
        if EVERY_TYPE in self.broken:
            return self.broken[EVERY_TYPE]
        if name in self.complete_types:
            return ""
        if all(one in self._in_bundles for one in ids if one in self._by_patient):
            return ""
        if name in self._types:
            return ""
        return "document-only" if self._in_documents.issuperset(ids) else "no-file"

    def _companions(self, chosen: list[Resource]) -> tuple[list[Resource], frozenset[str]]:
        found: dict[str, Resource] = {}
        unread = set[str]()
        for resource in chosen:
            if resource["resourceType"] not in COMPANIONS:
                continue
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
        read = read_bundle(bundle)
        self.issues.update(read.issues)
        owners = {one for r in read.resources for one in self.place(r)}
        self.claim(owners, whole=read.is_whole, document=read.is_document)
        if not read.is_whole and not read.is_document:
            self._types |= read.types
        if read.is_cut_short:
            self.break_types(read.types, "cut-short")
        if read.has_lost:
            self.break_types((), "unreadable-entry")
        return read.types

    def claim(self, owners: Collection[str], *, whole: bool, document: bool) -> None:
        """A Bundle that is whole, or a summary, held resources of these patients."""
        if whole:
            self._in_bundles.update(owners)
        elif document:
            self._in_documents.update(owners)

    def place(self, resource: Resource) -> tuple[str, ...]:
        """Put a resource where it belongs; gives the patients it belongs to."""
        owners = patients_of(resource)
        if owners:
            self.give(owners, resource)
        elif resource["resourceType"] in LONE_TYPES:
            self._put(self._lone, resource)
        elif is_about_no_patient(resource):
            self.issues[OTHER_SUBJECT] += 1
        else:
            self.issues[NO_PATIENT] += 1
            self.break_types({resource["resourceType"]}, NO_PATIENT)
        return owners

    def give(self, owners: Iterable[str], resource: Resource) -> None:
        """Put a resource of these patients in the place of each."""
        for patient in owners:
            if self.only is None or patient in self.only:
                self._put(self._by_patient.setdefault(patient, {}), resource)
        if resource["resourceType"] == "Patient":
            self._join(resource)

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


def _not_found() -> PatientNotFound:
    return PatientNotFound(
        "nothing of this patient is there",
        where="record folder",
        remedy="Check that the id is the logical id of a Patient in these files.",
    )
