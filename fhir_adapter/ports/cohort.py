"""What questions about everybody need: statements, and fact tables that answer them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from fhir_adapter.model.code import Code
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.feasibility import Counted
from fhir_adapter.model.lane import LaneAnswer


class Moment(NamedTuple):
    """Who is judged, and as of when."""

    patient: int
    """Number in a store."""
    as_of: int
    as_of_date: int
    """Local date of as_of."""
    stops: int = 0
    """Stops that the record does not tell, as a mask by their place in STOP_ORDER."""


class Instead(NamedTuple):
    """Records that take the place of stored ones, for one study: its people have spoken since."""

    moments: Sequence[Moment]
    records: Mapping[int, PatientRecord]
    """By patient number."""


class Asked(NamedTuple):
    """One part of a cohort, and as of when each of its patients is judged."""

    part: int
    moments: Sequence[Moment]
    instead: Mapping[int, Instead]
    """By number of the study in the pass."""


class Told(Protocol):
    """What statements want to be told of a store's dictionary."""

    @property
    def masks(self) -> int:
        """How many mask columns ``system_masks`` gives."""
        ...

    def concept_sets(self, concepts: Iterable[tuple[int, Code]]) -> Iterator[tuple[int, int]]:
        """(concept, set number) for table ``concept_set``, from a store's dictionary."""
        ...

    def system_masks(
        self, combinations: Iterable[tuple[int, frozenset[str]]]
    ) -> Iterator[tuple[int, ...]]:
        """(combination, mask, ...) for table ``system_mask``."""
        ...


class StatementParts(Protocol):
    """sqlglot trees that a warehouse prints: the tables they share, then who reads them."""

    @property
    def tables(self) -> Mapping[str, object]:
        """Name to query, in order."""
        ...

    @property
    def finals(self) -> Sequence[object]:
        """One query per study."""
        ...


class Statements(Told, Protocol):
    """One study, or several in one pass, as SQL over the fact tables (model/tables.py)."""

    @property
    def parts(self) -> StatementParts:
        """All of them as trees."""
        ...

    @property
    def criteria(self) -> tuple[tuple[str, ...], ...]:
        """Of each study the ids of its criteria, in the order of the columns."""
        ...

    def only(self, number: int) -> Statements:
        """One study of the pass."""
        ...


class CohortAnswers(Protocol):
    """The answers for everybody of one part."""

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """Everybody, by outcome."""
        ...

    def listed(self) -> tuple[int, ...]:
        """Numbers of who stands in the default list."""
        ...

    def answers(self, records: Mapping[int, PatientRecord]) -> Mapping[int, LaneAnswer]:
        """The answers of some patients, by number."""
        ...

    def counted(self) -> Counted:
        """Everybody for a report, of a statement that was made for counting."""
        ...


class CohortTables(Protocol):
    """Fact tables that a statement is put to, part by part."""

    @property
    def parts(self) -> tuple[int, ...]:
        """Numbers of the parts; everybody is in one of them."""
        ...

    def patients(self, part: int) -> Mapping[int, str]:
        """Number -> logical id of everybody in a part."""
        ...

    def ids(self, part: int) -> Iterator[str]:
        """Every id in a part, of those too who were merged away."""
        ...

    def named(self, part: int, ids: frozenset[str]) -> tuple[int, ...]:
        """Numbers of who has one of these ids, or ever had, in order."""
        ...

    def records(
        self, part: int, patients: Iterable[int] | None
    ) -> Iterator[tuple[int, PatientRecord]]:
        """Number and record of everybody in a part, or of those numbered; in any order."""
        ...

    def judge(
        self, statements: Statements, asked: Iterable[Asked]
    ) -> Iterator[tuple[Asked, Sequence[CohortAnswers]]]:
        """The answers for each part that is asked about, in their order; one for each study.

        It may take questions ahead of the answers it gives, and work on several at once.
        """
        ...
