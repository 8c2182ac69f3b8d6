"""The Library of a study: our algebra as JSON, which any CQL engine skips.

The algebra holds the whole Study, its hashes, the calculators it uses and the pinned value sets;
the value sets' members travel as ValueSet resources and are held against the hashes on reading.
CQL text is not in it yet: it becomes one more entry of ``content`` (exactly one text/cql), with
one definition per criterion under the name that the PlanDefinition's condition already states.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from fhir_adapter.criteria.fhir_form.publication import Publication
from fhir_adapter.criteria.fhir_form.systems import ALGEBRA_TYPE, LIBRARY_TYPE, concept, filled
from fhir_adapter.criteria.hashes import criterion_hash, study_hash
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.hashing import canonical
from fhir_adapter.model.study import STUDY_FORMAT, Study
from fhir_adapter.ports import Resource


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A value set that the study uses: the name in the tree, and the version it was judged with."""

    name: str
    url: str
    version: str


class Hashes(msgspec.Struct, frozen=True, kw_only=True):
    """The hashes at the time of publishing."""

    study: str
    criteria: dict[str, str]


class Algebra(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The content of the Library."""

    format: int
    study: Study
    hashes: Hashes
    calculators: tuple[Calculator, ...]
    value_sets: tuple[Pin, ...]


class _Format(msgspec.Struct):
    format: int


def algebra(made: Publication) -> Algebra:
    """What the Library of a publication says."""
    used = (made.study, made.code_sets, made.calculators)
    criteria = {c.id: criterion_hash(c, *used) for c in made.study.criteria}
    return Algebra(
        format=STUDY_FORMAT,
        study=made.study,
        hashes=Hashes(study=study_hash(*used), criteria=criteria),
        calculators=made.calculators,
        value_sets=tuple(
            Pin(name=code_set.name, url=code_set.url, version=code_set.version)
            for code_set in made.code_sets
        ),
    )


def library(made: Publication, content: Algebra) -> Resource:
    """The Library resource; its address ends in its name."""
    data = base64.b64encode(canonical(content)).decode("ascii")
    return filled(
        {
            "resourceType": "Library",
            "id": made.name,
            "url": made.library_url,
            **made.head,
            "name": made.name,
            "title": f"Criteria of {made.study.identity.title}",
            "type": concept(LIBRARY_TYPE, "logic-library"),
            "relatedArtifact": [
                {"type": "depends-on", "resource": f"{pin.url}|{pin.version}"}
                for pin in content.value_sets
            ],
            "content": [{"contentType": ALGEBRA_TYPE, "data": data}],
        }
    )


def algebra_from(resource: Resource) -> Algebra | None:
    """The algebra of a Library; None where it has none, StudyInvalid where it is damaged."""
    contents = resource.get("content", ())
    data = next((c.get("data") for c in contents if c.get("contentType") == ALGEBRA_TYPE), None)
    if data is None:
        return None
    where = f"Library {resource.get('id', '')}".strip()
    try:
        return _decoded(base64.b64decode(str(data), validate=True), where)
    except (binascii.Error, msgspec.MsgspecError) as error:
        raise StudyInvalid(
            "the criteria in the Library are damaged",
            where=where,
            remedy="Publish the study again from its files.",
        ) from error


def _decoded(text: bytes, where: str) -> Algebra:
    found = msgspec.json.decode(text, type=_Format).format
    if found != STUDY_FORMAT:
        raise StudyInvalid(
            f"format {found} is not one this version reads (it reads {STUDY_FORMAT})",
            where=where,
            remedy="Use the version that published it, or publish it again.",
        )
    return msgspec.json.decode(text, type=Algebra)
