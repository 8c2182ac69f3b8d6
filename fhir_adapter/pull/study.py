"""Study resources from and to a FHIR server, raw: parsing them is the work of criteria/."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_adapter.client import Capability, FhirClient, Found, Saved, escaped
from fhir_adapter.errors import ServerBroken, ServerFault, StudyInvalid, StudyNotFound
from fhir_adapter.fhir.wire import as_array, as_object
from fhir_adapter.ports import Resource
from fhir_adapter.pull.references import dicts, key_of, rewritten, target_of

_FETCHED = frozenset({"Library", "ValueSet", "Questionnaire", "ConceptMap", "CodeSystem"})
_ORDER = (
    "CodeSystem",
    "ConceptMap",
    "ValueSet",
    "Questionnaire",
    "Library",
    "PlanDefinition",
    "Group",
    "ResearchStudy",
)
"""Written in this order, so that what is referred to is there first."""
_NOT_COMPARED = frozenset({"meta", "text", "id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedResource:
    """What publishing one resource came to."""

    resource_type: str
    id: str
    """On the server; empty where it is not there yet."""
    action: str
    """created | updated | unchanged | would-create | would-update | ambiguous."""
    verified: bool = False
    """Read back, and equal to what was sent but for meta, text and decimal spelling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """All resources in the order of writing."""

    resources: tuple[PublishedResource, ...]

    @property
    def changed(self) -> bool:
        """Whether the server differs, or differed, from what was published."""
        return any(row.action != "unchanged" for row in self.resources)


class ServerStudies:
    """Studies on one FHIR server."""

    def __init__(self, client: FhirClient) -> None:
        self._client = client
        self._offered: Capability | None = None
        self._offered_asked = False

    def fetch(self, name: str) -> tuple[Resource, ...]:
        """ResearchStudy, its PlanDefinitions, and every artifact they name that the server has.

        ``name`` is a business identifier (``value`` or ``system|value``) or a logical id. An
        artifact that is not there is left to criteria/ to miss; a search that is refused or not
        whole raises, because half a study must not look like a study.
        """
        study = self._study(name)
        found = {key_of(study): study}
        for plan in self._plans(study):
            found[key_of(plan)] = plan
        waiting = [c for resource in found.values() for c in canonicals_of(resource)]
        seen = set[str]()
        for canonical in waiting:
            if canonical in seen:
                continue
            seen.add(canonical)
            artifact = self._by_canonical(canonical)
            if artifact is not None:
                found.setdefault(key_of(artifact), artifact)
                waiting.extend(canonicals_of(artifact))
        return tuple(found.values())

    def publish(self, resources: Sequence[Resource], *, write: bool) -> PublishReport:
        """Put resources there; those that are the same already are not written.

        Found by url and version, else by identifier, else by id. References between them follow
        the ids that the server gives.
        """
        names: dict[str, str] = {}
        rows: list[PublishedResource] = []
        for resource in sorted(resources, key=_rank):
            row = self._publish(rewritten(resource, names), write=write)
            rows.append(row)
            if row.id:
                names[key_of(resource)] = f"{row.resource_type}/{row.id}"
        return PublishReport(resources=tuple(rows))

    def _study(self, name: str) -> Resource:
        system, bar, value = name.rpartition("|")
        token = f"{escaped(system)}|{escaped(value)}" if bar else escaped(name)
        matches = self._whole("ResearchStudy", {"identifier": token}).matches
        if len(matches) > 1:
            raise StudyInvalid(
                "several ResearchStudy resources carry this identifier",
                where=f"{self._client.base_url}/ResearchStudy",
                remedy="Name the study by its logical id.",
            )
        study = matches[0] if matches else None if bar else self._client.read("ResearchStudy", name)
        if study is None:
            raise StudyNotFound(
                "the study server has no such study",
                where=f"{self._client.base_url}/ResearchStudy",
                remedy="Publish it with `fhir-adapter study publish --write`.",
            )
        return study

    def _plans(self, study: Resource) -> Iterator[Resource]:
        for reference in dicts(study.get("protocol")):
            target = target_of(reference)
            if target is None or not target.is_on(self._client.base_url):
                continue
            plan = self._client.read(target.resource_type, target.id)
            if plan is not None:
                yield plan

    def _by_canonical(self, canonical: str) -> Resource | None:
        """The one artifact of a canonical; without a version the only active one."""
        url, _, version = canonical.partition("|")
        resource_type = _type_in(url)
        if resource_type is None:
            return None
        params = {"url": escaped(url)} | ({"version": escaped(version)} if version else {})
        matches = [
            m
            for m in self._whole(resource_type, params).matches
            if m.get("url") == url and version in {"", m.get("version")}
        ]
        active = [m for m in matches if m.get("status") == "active"]
        chosen = active if len(matches) > 1 else matches
        if len(matches) > 1 and len(chosen) != 1:
            raise StudyInvalid(
                f"{len(matches)} versions of one {resource_type} and not exactly one is active",
                where=f"{self._client.base_url}/{resource_type}",
                remedy="Name a version in the canonical, or retire the others.",
            )
        return chosen[0] if chosen else None

    def _whole(self, resource_type: str, params: dict[str, str]) -> Found:
        found = self._client.search(resource_type, params)
        if not found.complete:
            raise ServerBroken(
                f"a search for study resources is not whole ({found.why_not})",
                where=f"{self._client.base_url}/{resource_type}",
                remedy="Run `fhir-adapter server doctor` on the study server.",
            )
        return found

    def _publish(self, resource: Resource, *, write: bool) -> PublishedResource:
        resource_type = str(resource["resourceType"])
        there = self._there(resource)
        if len(there) > 1:
            return PublishedResource(resource_type=resource_type, id="", action="ambiguous")
        if there and same(there[0], resource):
            return _row(there[0], "unchanged", verified=True)
        if not write:
            action = "would-update" if there else "would-create"
            known = str(there[0].get("id", "")) if there else ""
            return PublishedResource(resource_type=resource_type, id=known, action=action)
        saved = self._update(resource, there[0]) if there else self._create(resource)
        back = self._client.read(resource_type, saved.id)
        return PublishedResource(
            resource_type=resource_type,
            id=saved.id,
            action="updated" if there else "created",
            verified=back is not None and same(back, resource),
        )

    def _there(self, resource: Resource) -> list[Resource]:
        key = _business_key(resource)
        if key:
            found = self._whole(str(resource["resourceType"]), key).matches
            return [match for match in found if _shares_key(match, resource)]
        known = self._client.read(str(resource["resourceType"]), str(resource.get("id", "")))
        return [] if known is None else [known]

    def _update(self, resource: Resource, there: Resource) -> Saved:
        version = str(as_object(there.get("meta")).get("versionId", ""))
        return self._client.update({**resource, "id": there["id"]}, if_match=version)

    def _create(self, resource: Resource) -> Saved:
        """Under its own id where the server allows that, else conditionally on its key."""
        if "id" in resource and self._takes_ids(str(resource["resourceType"])):
            return self._client.update(resource)
        nameless = {name: value for name, value in resource.items() if name != "id"}
        return self._client.create(nameless, if_none_exist=_business_key(resource) or None)

    def _takes_ids(self, resource_type: str) -> bool:
        offered = self._capability()
        found = offered.of(resource_type) if offered is not None else None
        return found is not None and found.update_create

    def _capability(self) -> Capability | None:
        """Asked once: HAPI makes 1.5 MB of it anew for every question."""
        if not self._offered_asked:
            self._offered_asked = True
            try:
                self._offered = self._client.capability()
            except ServerFault:
                self._offered = None
        return self._offered


def _row(there: Resource, action: str, *, verified: bool) -> PublishedResource:
    return PublishedResource(
        resource_type=str(there["resourceType"]),
        id=str(there.get("id", "")),
        action=action,
        verified=verified,
    )


def _rank(resource: Resource) -> int:
    name = str(resource["resourceType"])
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _business_key(resource: Resource) -> dict[str, str]:
    """Search that finds this resource on any server; empty where it has no business key."""
    if resource.get("url"):
        version = resource.get("version")
        extra = {"version": escaped(str(version))} if version else {}
        return {"url": escaped(str(resource["url"])), **extra}
    for item in dicts(resource.get("identifier")):
        if item.get("value"):
            system = escaped(str(item.get("system", "")))
            return {"identifier": f"{system}|{escaped(str(item['value']))}"}
    return {}


def _shares_key(one: Resource, other: Resource) -> bool:
    """Servers that do not know a parameter may send anything: look again."""
    return bool(_business_key(one)) and _keys(one) & _keys(other) != set()


def _keys(resource: Resource) -> set[tuple[str, str]]:
    if resource.get("url"):
        return {(str(resource["url"]), str(resource.get("version", "")))}
    found = dicts(resource.get("identifier"))
    return {(str(i.get("system", "")), str(i["value"])) for i in found if i.get("value")}


def same(one: Resource, other: Resource) -> bool:
    """Equal without meta, text and id, decimals by value, references without version."""
    return bool(_normal(_compared(one)) == _normal(_compared(other)))


def _compared(resource: Resource) -> dict[str, Any]:
    return {k: v for k, v in resource.items() if k not in _NOT_COMPARED}


def _normal(value: Any, name: str = "") -> Any:
    fields, items = as_object(value), as_array(value)
    if fields:
        return {k: _normal(v, k) for k, v in fields.items()}
    if items:
        return [_normal(item) for item in items]
    if name == "reference" and isinstance(value, str):
        return value.partition("/_history/")[0]
    return ("bool", value) if isinstance(value, bool) else value


def canonicals_of(resource: Resource) -> list[str]:
    """Canonicals of the libraries, value sets and questionnaires that a resource rests on."""
    found = [str(c) for c in _strings(resource.get("library"))]
    for related in dicts(resource.get("relatedArtifact")):
        if related.get("type") in {"depends-on", "composed-of"}:
            found.extend(_strings([related.get("resource")]))
    found.extend(_in_requirements(resource.get("dataRequirement")))
    for action in dicts(resource.get("action")):
        found.extend(_strings([action.get("definitionCanonical")]))
        found.extend(_in_requirements(action.get("input")))
    return list(dict.fromkeys(found))


def _in_requirements(requirements: object) -> Iterator[str]:
    for requirement in dicts(requirements):
        for code_filter in dicts(requirement.get("codeFilter")):
            yield from _strings([code_filter.get("valueSet")])


def _strings(items: object) -> Iterator[str]:
    yield from (item for item in as_array(items) if isinstance(item, str) and item)


def _type_in(url: str) -> str | None:
    """Resource type in a canonical: its last but one segment, by convention of the standard."""
    parts = url.split("/")
    return parts[-2] if len(parts) > 1 and parts[-2] in _FETCHED else None
