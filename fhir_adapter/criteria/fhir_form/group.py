"""The readable Group: every criterion as a reader sees it, none coded so that a tool misreads it.

R4 characteristics are all ANDed and know no "or", "latest" or relative time, so none of a study's
criteria is coded clinically yet: each is its own number, present (or, for an exclusion, absent).
A second Group, CQLGroupDefinition, names an outcome definition in CQL; it is left out until the
Library has CQL text, because without that text it would not be valid.
"""

from __future__ import annotations

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import CRITERION, GROUP_KEY, concept
from fhir_adapter.model.study import Criterion, Study
from fhir_adapter.ports import Resource


def group(made: Publication) -> Resource:
    """One characteristic per criterion, in order; nobody who meets the protocol fails one."""
    study = made.study
    return {
        "resourceType": "Group",
        "id": f"{made.id}-readable",
        "identifier": [{"system": GROUP_KEY, "value": f"{made.id}-readable"}],
        "active": True,
        "type": "person",
        "actual": False,
        "name": f"Who may take part in {study.identity.title}",
        "characteristic": [_characteristic(item, study) for item in study.criteria],
    }


def _characteristic(criterion: Criterion, study: Study) -> Resource:
    text = next((s.text for s in study.protocol if s.id == criterion.sentence), criterion.span)
    code = concept(CRITERION, f"{study.id}/{criterion.id}", criterion.title)
    return {
        "code": code | {"text": f"{criterion.id}: {text}"},
        "valueBoolean": True,
        "exclude": criterion.kind == "exclusion",
    }
