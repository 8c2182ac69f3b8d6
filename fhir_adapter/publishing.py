"""STORY: a study, from its files to checked, expanded FHIR, and from FHIR back.

Files and value sets are read by bootstrap and handed in; nothing here touches a disk or a server.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_adapter.criteria.check import check
from fhir_adapter.criteria.fhir_form import from_fhir, to_fhir
from fhir_adapter.criteria.finding import Finding
from fhir_adapter.criteria.package import criterion_hashes, hash_of, needs, package_of
from fhir_adapter.errors import StudyInvalid, StudyUnsigned
from fhir_adapter.model.mapping import UnitTable
from fhir_adapter.ports import Resource, StudyPackage

__all__ = [
    "build",
    "checked",
    "criterion_hashes",
    "from_fhir",
    "hash_of",
    "needs",
    "package_of",
    "refuse_errors",
    "refuse_unsigned",
    "unsigned",
]


def checked(package: StudyPackage, units: UnitTable) -> tuple[Finding, ...]:
    """Every finding about a study, errors first."""
    return check(package.study, package.code_sets, package.calculators, units)


def refuse_errors(findings: Sequence[Finding]) -> None:
    """StudyInvalid for the first error among findings; warnings pass."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise StudyInvalid(
            f"{first.message}{more}",
            where=f"criterion {first.where}" if first.where else "study",
            remedy=f"{first.remedy} `fhir-adapter study check` lists everything.",
        )


def unsigned(package: StudyPackage) -> tuple[str, ...]:
    """Ids of criteria with a reading that the investigator has not signed."""
    return tuple(c.id for c in package.study.criteria if c.readings and c.sign_off is None)


def refuse_unsigned(package: StudyPackage) -> None:
    """StudyUnsigned while a reading waits for the investigator's signature."""
    found = unsigned(package)
    if found:
        raise StudyUnsigned(
            f"{len(found)} readings are not signed by the investigator",
            where=f"criteria {', '.join(found)}",
            remedy="Have them signed (sign-off), or publish with --unsigned: every output says so.",
        )


def build(
    package: StudyPackage, value_sets: Sequence[Resource], *, published: str
) -> tuple[Resource, ...]:
    """The study as valid R4 resources, in the order of writing."""
    return to_fhir(
        package.study,
        package.code_sets,
        value_sets,
        published,
        calculators=package.calculators,
    )
