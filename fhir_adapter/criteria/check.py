"""Checks of a study that its form cannot make: names that must exist, readings that must mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from fhir_adapter.criteria.check_names import name_findings
from fhir_adapter.criteria.check_trees import tree_findings
from fhir_adapter.criteria.check_units import unit_findings
from fhir_adapter.criteria.check_windows import window_findings
from fhir_adapter.criteria.finding import Checked, Finding
from fhir_adapter.criteria.hashes import criterion_hash
from fhir_adapter.criteria.names import library_name
from fhir_adapter.errors import StudyInvalid
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.mapping import CodeSet, UnitTable
from fhir_adapter.model.study import Study

__all__ = ["Finding", "check"]


def check(
    study: Study,
    code_sets: Sequence[CodeSet],
    calculators: Sequence[Calculator],
    units: UnitTable,
) -> tuple[Finding, ...]:
    """All findings, errors first, each group in the order of the study."""
    seen = Checked(
        study=study, code_sets=tuple(code_sets), calculators=tuple(calculators), units=units
    )
    found = [finding for look in _LOOKS for finding in look(seen)]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error"))


def _protocol_findings(seen: Checked) -> Iterator[Finding]:
    sentences = {sentence.id: sentence.text for sentence in seen.study.protocol}
    for criterion in seen.study.criteria:
        text = sentences.get(criterion.sentence)
        if text is None:
            yield seen.error(
                "sentence-unknown",
                criterion.id,
                f"protocol.md has no sentence {criterion.sentence}",
                f"Name one of {', '.join(sentences)}.",
            )
        elif not criterion.span or criterion.span not in text:
            yield seen.error(
                "span-not-verbatim",
                criterion.id,
                f"the span is not found word for word in {criterion.sentence}",
                "Copy the words from protocol.md, character by character.",
            )


def _signature_findings(seen: Checked) -> Iterator[Finding]:
    for criterion in seen.study.criteria:
        if criterion.sign_off is None:
            if criterion.readings:
                yield seen.warning(
                    "reading-unsigned",
                    criterion.id,
                    f"{len(criterion.readings)} reading(s) not confirmed by the investigator",
                    "Have the investigator read and sign them.",
                )
            continue
        found = criterion_hash(criterion, seen.study, seen.code_sets, seen.calculators)
        if criterion.sign_off.hash != found:
            yield seen.error(
                "sign-off-void",
                criterion.id,
                "the criterion changed after it was signed",
                f"Have it signed again (its hash is now {found}), or take the signature out.",
            )


def _identity_findings(seen: Checked) -> Iterator[Finding]:
    try:
        library_name(seen.study)
    except StudyInvalid as error:
        yield seen.error("library-name-invalid", "", error.message, error.remedy)


_LOOKS: tuple[Callable[[Checked], Iterator[Finding]], ...] = (
    _identity_findings,
    name_findings,
    _protocol_findings,
    window_findings,
    unit_findings,
    tree_findings,
    _signature_findings,
)
