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
class CohortStatements:
    """Studies in one pass: the tables that they share, one query of each study.

    It says too what it wants to be told by whoever runs it.
    """

    parts: Parts
    criteria: tuple[tuple[str, ...], ...]
    """Of each study, in the order of the queries."""
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

    def only(self, number: int) -> CohortStatements:
        """One study of the pass, with the tables that it reads."""
        if len(self.criteria) == 1:
            return self
        criteria = (self.criteria[number],)
        return CohortStatements(
            parts=self.parts.only(number), criteria=criteria, inputs=self.inputs
        )

    @property
    def tree(self) -> exp.Select:
        """The first study's as one statement, for an auditor's eyes."""
        parts = self.parts.only(0)
        tree = parts.finals[0].copy()
        assert isinstance(tree, exp.Select)
        for name, query in parts.tables.items():
            tree = tree.with_(name, as_=query.copy(), materialized=True, copy=False)
        return tree


def compile_cohort(
    study: Study,
    mappings: Mappings,
    *,
    code_sets: Mapping[str, CodeSet] | None = None,
    calculators: Mapping[str, Calculator] | None = None,
    own_studies: frozenset[str] = frozenset(),
    counting: bool = False,
) -> CohortStatements:
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
    return CohortStatements(parts=parts, inputs=made.inputs, criteria=criteria)


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
