"""A study as one SQL statement: per patient the stops, every criterion's answer, and the outcome.

Columns: patient, stops (a mask), outcome, pointers (a count), then per criterion N (in protocol
order) ``tN`` truth (0 FALSE, 1 UNKNOWN, 2 TRUE), ``rN`` reason, ``fN`` effect, ``aN`` assumed,
``sN`` where it is settled, ``eN`` the evidence: packed fact numbers, leaf by leaf in tree order.
For a report ``cN``, the outcome it calls for, takes the place of ``eN``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from fhir_adapter.evaluate.cohort.base_tables import BaseTables
from fhir_adapter.evaluate.cohort.classes import Classes
from fhir_adapter.evaluate.cohort.inputs import Inputs
from fhir_adapter.evaluate.cohort.one_study import ForStudy, Maker, Shared
from fhir_adapter.evaluate.cohort.script import Parts
from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.code import Code
from fhir_adapter.model.mapping import CodeSet, Mappings
from fhir_adapter.model.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    inputs: Inputs

    @property
    def masks(self) -> int:
        """How many mask columns ``system_masks`` gives."""
        return self.inputs.masks

    def concept_sets(self, concepts: Iterable[tuple[int, Code]]) -> Iterator[tuple[int, int]]:
        """(concept, set number) of every concept of a dictionary that some set holds."""
        return self.inputs.concept_sets(concepts)

    def system_masks(
        self, combinations: Iterable[tuple[int, frozenset[str]]]
    ) -> Iterator[tuple[int, ...]]:
        """(combination, mask, ...): which combinations of code systems count as mapped."""
        return self.inputs.system_masks(combinations)


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortStatement(_Told):
    """One study's statement, and what it wants to be told by whoever runs it."""

    tree: exp.Select
    criteria: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortStatements(_Told):
    """Several studies in one pass: the tables that they share, and one query of each study."""

    parts: Parts
    criteria: tuple[tuple[str, ...], ...]
    """Of each study, in the order of the queries."""


def compile_cohort(
    study: Study,
    mappings: Mappings,
    *,
    code_sets: Mapping[str, CodeSet] | None = None,
    calculators: Mapping[str, Calculator] | None = None,
    own_studies: frozenset[str] = frozenset(),
    counting: bool = False,
) -> CohortStatement:
    """The statement of one study under one site's mappings; the twin of ``compile_study``.

    ``counting``: for a report, with the outcome that each criterion calls for (``cN``) in place of
    the evidence.
    """
    asked = ForStudy(
        study=study, mappings=mappings, calculators=calculators or {}, own_studies=own_studies
    )
    sets = dict(code_sets) if code_sets is not None else mappings.by_name
    made = Maker(Shared(mappings), asked, sets)
    parts, criteria = _finished([made], counting=counting)
    tree = parts.finals[0]
    assert isinstance(tree, exp.Select)
    for name, query in parts.tables.items():
        tree = tree.with_(name, as_=query, materialized=True, copy=False)
    return CohortStatement(tree=tree, inputs=made.inputs, criteria=criteria[0])


def compile_cohorts(asked: Sequence[ForStudy], *, counting: bool = False) -> CohortStatements:
    """Several studies of one site in one pass; whatever two of them read alike is worked out once.

    Every study's answers are those of its own statement.
    """
    shared = Shared(asked[0].mappings)
    makers = [Maker(shared, one, one.mappings.by_name) for one in asked]
    parts, criteria = _finished(makers, counting=counting)
    return CohortStatements(parts=parts, inputs=shared.inputs, criteria=criteria)


def _finished(
    makers: Sequence[Maker], *, counting: bool
) -> tuple[Parts, tuple[tuple[str, ...], ...]]:
    """All tables in order, each study's last query, and each study's criteria."""
    shared = makers[0].shared
    anchors = [table for maker in makers for table in maker.anchor_tables()]
    classes = Classes(shared.script, shared.person, anchors)
    said = [maker.statement(classes, counting=counting) for maker in makers]
    classes.finish()
    parts = shared.script.select([query for query, _ in said], BaseTables(shared.person).tables())
    return parts, tuple(criteria for _, criteria in said)
