"""What the stories need from the outside, as protocols of one or two methods.

Resources travel as plain JSON mappings: real hospital data is not always valid FHIR.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.code import Code
from fhir_adapter.model.decision import Outcome
from fhir_adapter.model.fact import Fact, Kind, PatientRecord
from fhir_adapter.model.feasibility import Counted
from fhir_adapter.model.joins import roots_of
from fhir_adapter.model.lane import LaneAnswer
from fhir_adapter.model.mapping import CodeSet
from fhir_adapter.model.study import Study

Resource = dict[str, Any]
"""One FHIR resource as parsed JSON; numbers are Decimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One retrieve that a study makes of a record: from its DataRequirements."""

    kind: Kind
    resource_type: str
    code_sets: tuple[str, ...] = ()
    """Value sets read; empty means every code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledType:
    """How the pull of one resource type went."""

    resource_type: str
    complete: bool
    why_not: str = ""
    """kebab-case: forbidden, not-supported, cut-short, throttled, unreachable, no-file, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """One patient's record as it came: resources as sent, and what was pulled whole."""

    patient: str
    """Logical id of the patient asked for."""
    resources: Sequence[Resource]
    types: tuple[PulledType, ...]
    requests: int = 0
    issues: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other ids of the same person (merges, followed to the end); their resources are as sent."""


class RecordSource(Protocol):
    """Where patient records come from: a FHIR server, a folder, a Bundle."""

    def patients(self) -> Iterator[str]:
        """Logical ids of all patients there, in a fixed order."""
        ...

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """One patient's record; raises PatientNotFound or another ServerFault."""
        ...


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One resource of an export, still as bytes, and whose it is."""

    owners: tuple[str, ...]
    """Ids of its patients; none for what is nobody's."""
    key: str
    """``Type/id``; the id is empty where the resource has none."""
    body: bytes
    role: str = ""
    """Empty for a resource; COMPANION, or what a Bundle claimed of its patients."""


COMPANION = "companion"
"""A resource of nobody's that others refer to: a Medication, a ResearchStudy."""
WHOLE = "whole"
"""No resource: a Bundle held everything about the owners."""
DOCUMENT = "document"
"""No resource: a document, which is a summary, held something about the owners."""


class ExportState(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of an export as a whole, once all of it has been read."""

    types: frozenset[str] = frozenset()
    """Resource types of which there is a file."""
    complete_types: frozenset[str] = frozenset()
    """Types that the site knows to be whole, file or not."""
    broken: dict[str, str] = {}
    """Type, or "*" for any, to why it is whole for nobody."""
    issues: dict[str, int] = {}
    links: dict[str, tuple[tuple[str, str], ...]] = {}
    """Patient id to what that Patient says: (replaced id, surviving id)."""
    deleted: frozenset[str] = frozenset()
    """``Type/id`` of what is gone from the server since the export before."""
    transaction_time: str = ""
    """Of the server's export, as it said it: what changed later is not in it."""
    origin: str = ""
    """Hash of the server's address and of what was asked of it; increments must have the same."""

    def roots(self) -> dict[str, str]:
        """Every id that a link joins to another -> the first of all ids so joined.

        >>> ExportState(links={"b": (("b", "c"),), "c": (), "d": (("a", "c"),)}).roots()
        {'b': 'a', 'c': 'a', 'a': 'a'}
        """
        return roots_of(self.links)


class BulkSource(Protocol):
    """Where a whole export comes from: a folder, a ``$export`` that is being downloaded."""

    @property
    def size(self) -> int:
        """About how many bytes of resources there are; asked for after ``links``."""
        ...

    steps: int
    """How many parts (files) there are, for a progress bar."""
    steps_done: int

    def links(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """What Patients say about merges, as far as a quick look finds it; ``state`` has all."""
        ...

    def hashes(self) -> Mapping[str, str]:
        """A sayable label of each part to its sha256."""
        ...

    def pieces(self, *, strict: bool) -> Iterator[Piece]:
        """Every resource once through; ``strict`` decodes each wholly instead of its head."""
        ...

    def state(self) -> ExportState:
        """What the pieces did not say; complete after they have all been taken."""
        ...


class BucketRead(Protocol):
    """The records of some pieces, and what came up while reading them."""

    @property
    def issues(self) -> Mapping[str, int]:
        """Data-quality code to count."""
        ...

    @property
    def references(self) -> Collection[str]:
        """``Type/id`` of every companion that was asked for, there or not."""
        ...

    @property
    def unreadable(self) -> int:
        """Pieces that were no resources after all."""
        ...

    def records(self) -> Iterator[PatientRecord]:
        """One record per patient, in a fixed order."""
        ...


BucketReader = Callable[
    [Iterable[Piece], ExportState, Mapping[str, bytes], Callable[[str], bool]], BucketRead
]
"""Pieces, the export's state, companions by key, and which patients are wanted -> their records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """How far a load is, for a progress bar."""

    name: str
    """split, normalise or write."""
    done: int
    total: int


class FactLoad(Protocol):
    """One load into a store; nothing of it is seen before ``switch``."""

    def split(self, source: BulkSource) -> Iterator[LoadStep]:
        """Sort the export into buckets of patients."""
        ...

    def normalise(self) -> Iterator[LoadStep]:
        """Make records of every touched bucket."""
        ...

    def write(self) -> Iterator[LoadStep]:
        """Write their tables beside those that are there."""
        ...

    def switch(self) -> LoadCounts:
        """From now on the new tables are the store's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCounts:
    """What a finished load put into the store."""

    patients: int
    resources: int
    facts: int
    buckets: int
    """How many were written."""
    issues: Mapping[str, int]
    not_retrieved: Mapping[str, str] = field(default_factory=dict[str, str])
    """Resource type, or "*" for any, to why it is whole for nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPackage:
    """A study with the value sets and calculators that it names: what its hashes cover."""

    study: Study
    code_sets: tuple[CodeSet, ...]
    calculators: tuple[Calculator, ...]


class StudySource(Protocol):
    """Where studies come from: a folder or a FHIR server."""

    def study(self, name: str) -> StudyPackage:
        """A study by id, with everything that travels with it; StudyNotFound otherwise."""
        ...


class Answers(Protocol):
    """People's answers and entered values, as facts of kind answer and entered."""

    def of(self, study: str, patients: Iterable[str]) -> tuple[Fact, ...]:
        """All facts given by people about these ids of one patient, oldest first."""
        ...


class Clock(Protocol):
    """The only place where the time of day comes from."""

    def now(self) -> datetime:
        """The present moment, with a zone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Finished resources for one decision, ready to be sent; made by present/.

    The writer compares with the server, never builds or judges.
    """

    key: str
    """Deterministic identifier value of (study, patient at first proposal, attempt)."""
    patient: str
    study: str
    fingerprint: str
    """outcome_fingerprint of the decision."""
    action: str
    """propose | keep | take-back | none: what the status table says for the ResearchSubject."""
    subject: Resource | None
    opinion: Resource | None
    """GuidanceResponse; None where none is written."""
    provenance: Resource | None
    device: Resource
    patient_ids: tuple[str, ...] = ()
    """Every id the patient ever had: searched before any create."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one proposal came to on the server."""

    key: str
    patient: str
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    left_to_person: bool = False
    """A person's status stands there: nothing of it was touched."""
    dry_run: bool = True
    notes: tuple[str, ...] = field(default=())
    error: str = ""
    """Code of the fault that stopped it; the next run takes it up again."""


class Moment(NamedTuple):
    """Who is judged, and as of when."""

    patient: int
    """Number in a store."""
    as_of: int
    as_of_date: int
    """Local date of as_of."""
    stops: int = 0
    """Stops that the record does not tell, as a mask by their place in STOP_ORDER."""


class Asked(NamedTuple):
    """One part of a cohort, and as of when each of its patients is judged."""

    part: int
    moments: Sequence[Moment]
    instead: Mapping[int, PatientRecord]
    """Records that take the place of the stored ones, by patient number."""


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


class Statement(Told, Protocol):
    """A study as one SQL statement over the fact tables (model/tables.py), as a sqlglot tree."""

    @property
    def tree(self) -> object:
        """The whole statement; a warehouse prints it in its own dialect."""
        ...

    @property
    def criteria(self) -> tuple[str, ...]:
        """Ids of the criteria, in the order of the columns."""
        ...


class StatementParts(Protocol):
    """Statements as trees that a warehouse prints: the tables they share, then who reads them."""

    @property
    def tables(self) -> Mapping[str, object]:
        """Name to query, in order."""
        ...

    @property
    def finals(self) -> Sequence[object]:
        """One query per study."""
        ...


class Statements(Told, Protocol):
    """Several studies in one pass."""

    @property
    def parts(self) -> StatementParts:
        """All of them as trees."""
        ...

    @property
    def criteria(self) -> tuple[tuple[str, ...], ...]:
        """Of each study the ids of its criteria, in the order of the columns."""
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

    def named(self, part: int, ids: frozenset[str]) -> tuple[int, ...]:
        """Numbers of who has one of these ids, or ever had, in order."""
        ...

    def records(
        self, part: int, patients: Iterable[int] | None
    ) -> Iterator[tuple[int, PatientRecord]]:
        """Number and record of everybody in a part, or of those numbered; in any order."""
        ...

    def judge(
        self, statement: Statement, asked: Iterable[Asked]
    ) -> Iterator[tuple[Asked, CohortAnswers]]:
        """The statement over each part that is asked about, in their order.

        It may take questions ahead of the answers it gives, and work on several at once.
        """
        ...


class DecisionSink(Protocol):
    """Where decisions are written: a FHIR server through writeback/, or a fake."""

    def send(self, proposal: Proposal, *, write: bool) -> Written:
        """Send one proposal; without ``write`` only say what would happen."""
        ...
