"""Restricted and test records: what the site leaves out, and says that it left out."""

from __future__ import annotations

from fhir_adapter.fhir.reading import coding, part, parts, text
from fhir_adapter.model.code import Code
from fhir_adapter.model.mapping import SiteRules
from fhir_adapter.ports import Resource

TEST_LABEL = Code("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
"""v3-ActReason HTEST, "test health data": a test record at every site."""


def _labels(resource: Resource, *names: str) -> frozenset[Code]:
    meta = part(resource.get("meta"))
    return frozenset(
        code for name in names for item in parts(meta.get(name)) for code in coding(item)
    )


def is_restricted(site: SiteRules, resource: Resource) -> bool:
    """Whether meta.security carries a label that the site leaves out."""
    if not site.restricted_labels or "security" not in part(resource.get("meta")):
        return False
    return not _labels(resource, "security").isdisjoint(site.restricted_labels)


def is_test(site: SiteRules, resource: Resource) -> bool:
    """Whether a tag, a security label or an identifier system marks a test patient."""
    labels = _labels(resource, "tag", "security")
    if TEST_LABEL in labels or not labels.isdisjoint(site.test_tags):
        return True
    systems = {text(item.get("system")) for item in parts(resource.get("identifier"))}
    return not systems.isdisjoint(site.test_identifier_systems)
