"""The package: a manifest Library (asset-collection) that pins every part to its version."""

from __future__ import annotations

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import LIBRARY_TYPE, concept
from fhir_adapter.criteria.names import canonical
from fhir_adapter.ports import Resource


def package(made: Publication) -> Resource:
    """What belongs together: parts of the study (composed-of) and value sets (depends-on)."""
    name = f"{made.name}Package"
    own = (made.plan_url, made.library_url, made.questionnaire_url)
    parts = [{"type": "composed-of", "resource": made.pinned(url)} for url in own]
    sets = [
        {"type": "depends-on", "resource": f"{code_set.url}|{code_set.version}"}
        for code_set in made.code_sets
    ]
    return {
        "resourceType": "Library",
        "id": name,
        "url": canonical("Library", name),
        **made.head,
        "name": name,
        "title": f"Package of {made.study.identity.title}",
        "type": concept(LIBRARY_TYPE, "asset-collection"),
        "relatedArtifact": [*parts, *sets],
    }
