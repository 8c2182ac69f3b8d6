"""Publication: everything of which a study's resources are made, handed to each writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_adapter.criteria.names import canonical, library_name, version_id
from fhir_adapter.criteria.walk import reach
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.study import Study
from fhir_adapter.ports import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One version of a study with what it uses, and the names of its resources."""

    study: Study
    code_sets: tuple[CodeSet, ...]
    """Those that the study uses, by name."""
    calculators: tuple[Calculator, ...]
    """Those that the study uses, by name."""
    originals: dict[str, Resource]
    """ValueSet resources as curated, by url: wording, displays, copyright."""
    published: str
    """Date of publication as FHIR writes it."""

    @property
    def name(self) -> str:
        """Library name: the version is in it."""
        return library_name(self.study)

    @property
    def id(self) -> str:
        """Logical id of resources that exist once per version."""
        return version_id(self.study)

    @property
    def status(self) -> str:
        """active once every reading is signed, else draft."""
        criteria = self.study.criteria
        is_open = any(c.readings and c.sign_off is None for c in criteria)
        return "draft" if is_open else "active"

    @property
    def head(self) -> Resource:
        """Metadata that all canonical resources of one version share."""
        return {"version": self.study.version, "status": self.status, "date": self.published}

    @property
    def plan_url(self) -> str:
        """Canonical address of the PlanDefinition, without version."""
        return canonical("PlanDefinition", self.study.id)

    @property
    def library_url(self) -> str:
        """Canonical address of the Library; its last segment is its name."""
        return canonical("Library", self.name)

    @property
    def questionnaire_url(self) -> str:
        """Canonical address of the Questionnaire, without version."""
        return canonical("Questionnaire", self.study.id)

    def pinned(self, url: str) -> str:
        """A canonical address with this study's version."""
        return f"{url}|{self.study.version}"


def publication(
    study: Study,
    code_sets: Sequence[CodeSet],
    calculators: Sequence[Calculator],
    originals: Sequence[Resource],
    published: str,
) -> Publication:
    """Pick what the study uses; StudyInvalid names what is missing."""
    names = reach(study, study.anchors, calculators)
    wanted = names.value_sets | {study.identity.condition} - {""}
    by_name = {code_set.name: code_set for code_set in code_sets}
    by_calculator = {calculator.name: calculator for calculator in calculators}
    _refuse_missing("calculator", names.calculators - by_calculator.keys())
    _refuse_missing("value set", wanted - by_name.keys())
    return Publication(
        study=study,
        code_sets=tuple(by_name[name] for name in sorted(wanted)),
        calculators=tuple(by_calculator[name] for name in sorted(names.calculators)),
        originals={str(original.get("url")): original for original in originals},
        published=published,
    )


def _refuse_missing(what: str, names: frozenset[str]) -> None:
    for name in sorted(names):
        raise StudyInvalid(
            f"the study names a {what} that was not given: {name}",
            where=what,
            remedy="Run `fhir-adapter study check`, and add it or mend its name.",
        )
