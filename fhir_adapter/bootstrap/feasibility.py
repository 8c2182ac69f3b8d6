"""The feasibility report put together: a store or a folder of records, a study, a site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fhir_adapter.bootstrap.cohorts import cores, open_store, statement_of
from fhir_adapter.bootstrap.judging import Bench
from fhir_adapter.errors import SettingInvalid
from fhir_adapter.evaluate.feasibility import tally
from fhir_adapter.model.decision import Decision
from fhir_adapter.model.feasibility import Counted, Tally
from fhir_adapter.model.study import Study
from fhir_adapter.population import Question, Spoken, count, count_decisions
from fhir_adapter.screening import AsOf
from fhir_adapter.warehouse.cohort import CohortStore
from fhir_adapter.warehouse.engine import Engine
from fhir_adapter.warehouse.manifest import NAME

GIVEN_ORDER = "order asked for"


def is_store(folder: Path) -> bool:
    """Whether a folder holds fact tables; anything else holds records."""
    return (folder / NAME).is_file()


class StoreCount:
    """Everybody of a store, to be counted part by part."""

    def __init__(
        self,
        bench: Bench,
        store: Path,
        as_of: AsOf,
        spoken: Spoken,
        engine: Engine | None = None,
    ) -> None:
        package = bench.package
        statement = statement_of(bench, counting=True)
        found = open_store(store, bench.mappings)
        tables = CohortStore(found, engine=engine, workers=cores())
        self._study = package.study
        self.total: int = len(tables.parts)
        self.everyone: int = tables.everyone
        self.issues: Mapping[str, int] = tables.issues
        question = Question(screener=bench.screener, spoken=spoken)
        self.parts: Iterator[Counted] = count(tables, statement, question, as_of)

    def tally(self, counted: Sequence[Counted], order: str) -> Tally:
        """The counts, held against the number of people that the store says it has."""
        return tally_of(self._study, counted, order, everyone=self.everyone)


def tally_decisions(
    study: Study, decisions: Sequence[Decision], order: str, *, failed: int
) -> tuple[Tally, Mapping[str, int]]:
    """The same counts over decisions of the record lane; records that have each issue."""
    counted = count_decisions(study, decisions)
    everyone = len(decisions) + failed
    issues = Counter(issue for decision in decisions for issue in decision.issues)
    made = tally_of(study, [counted], order, everyone=everyone, failed=failed)
    return made, issues


def tally_of(
    study: Study, counted: Sequence[Counted], order: str, *, everyone: int, failed: int = 0
) -> Tally:
    """All counts, with the attrition in the order that somebody asked for."""
    criteria = tuple(one.id for one in study.criteria)
    given = wanted_order(criteria, order)
    orders = {GIVEN_ORDER: given} if given != criteria else {}
    return tally(criteria, counted, everyone=everyone, failed=failed, orders=orders)


def wanted_order(criteria: Sequence[str], order: str) -> tuple[str, ...]:
    """The criteria named first, the others after them in protocol order.

    >>> wanted_order(["I1", "I2", "E1"], "E1, I2")
    ('E1', 'I2', 'I1')
    """
    named = tuple(dict.fromkeys(word.strip() for word in order.split(",") if word.strip()))
    unknown = [name for name in named if name not in criteria]
    if unknown:
        raise SettingInvalid(
            f"the study has no criterion {', '.join(unknown)}",
            where="--order",
            remedy=f"Its criteria are: {', '.join(criteria)}.",
        )
    return (*named, *(name for name in criteria if name not in named))
