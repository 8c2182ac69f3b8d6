"""Names under which a study is published; canonical addresses of its resources."""

from __future__ import annotations

import re

from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.study import Study
from fhir_adapter.model.vocabulary import BASE

_LONGEST = 30
_VERSION = re.compile(r"^\d+(\.\d+)*$")
_WORD = re.compile(r"^[A-Za-z][A-Za-z0-9-]*$")


def library_name(study: Study) -> str:
    """Letters and digits, at most 30, with the version in it: engines look libraries up by name.

    Id and version are both in it, so a study whose id or version cannot be written so is refused.
    """
    if not _VERSION.match(study.version) or not _WORD.match(study.id):
        raise StudyInvalid(
            f"id {study.id!r} with version {study.version!r} makes no library name",
            where="study.yaml",
            remedy="Write the id in letters, digits and hyphens and the version as in 1.2.0.",
        )
    name = study.id.replace("-", "") + "v" + study.version.replace(".", "x")
    if len(name) > _LONGEST:
        raise StudyInvalid(
            f"the library name {name} is longer than {_LONGEST} characters",
            where="study.yaml",
            remedy="Shorten the study's id.",
        )
    return name


def version_id(study: Study) -> str:
    """Logical id of everything that exists once per published version."""
    return f"{study.id}-{study.version.replace('.', '-')}"


def canonical(resource_type: str, name: str) -> str:
    """Canonical address of one of our resources, without version."""
    return f"{BASE}/{resource_type}/{name}"
