"""What the stories about one patient need: records, studies, answers, a clock, a sink."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from fhir_adapter.model.calculator import Calculator
from fhir_adapter.model.fact import Fact, Kind
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


_PASSING = frozenset(
    ("throttled", "unreachable", "unauthorized", "server-broken", "not-fhir", "page-expired",
     "cut-short")
)  # fmt: skip
"""Reasons that say nothing about how the server answers another time."""


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

    @property
    def has_patient(self) -> bool:
        """Whether the Patient itself came: without it no stop is known, and nobody is judged.

        A survivor that the server answers with counts; one who was found beside a refusal does not.
        """
        came = [one.get("id") for one in self.resources if one.get("resourceType") == "Patient"]
        return self.patient in came or (bool(came) and not self.why_no_patient)

    @property
    def why_no_patient(self) -> str:
        """What kept the Patient from coming, as in ``types``; empty where nothing was said."""
        said = (one.why_not for one in self.types if one.resource_type == "Patient")
        return next(said, "")

    @property
    def lacks_for_now(self) -> str:
        """Why a type did not come whole, where it may come another time; else empty."""
        return next((one.why_not for one in self.types if one.why_not in _PASSING), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWhole:
    """A resource type that did not come whole in a run, and for how many patients."""

    resource_type: str
    why_not: str
    patients: int


class RecordSource(Protocol):
    """Where patient records come from: a FHIR server, a folder, a Bundle."""

    def patients(self) -> Iterator[str]:
        """Logical ids of all patients there, in a fixed order."""
        ...

    def pull(self, patient: str, needs: Sequence[Need]) -> Pulled:
        """One patient's record; raises PatientNotFound or another ServerFault."""
        ...


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
    other_keys: tuple[str, ...] = ()
    """What the key would be had the patient been proposed first under another of these ids."""
    stand_in: Resource | None = None
    """What stands for the ResearchSubject on a server that takes none: a Task, or a
    DocumentReference with the explanation; where the proposal is taken back, in that form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one proposal came to on the server."""

    key: str
    patient: str
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    left_to_person: bool = False
    """A person's status stands there: nothing of it was touched."""
    dry_run: bool = True
    notes: tuple[str, ...] = field(default=())
    error: str = ""
    """Code of the fault that stopped it; the next run takes it up again."""
    waits: bool = False
    """Another run is writing for this patient, and sends this after its own."""

    @property
    def duplicates(self) -> tuple[str, ...]:
        """The notes of what stands beside it and should not: people are told how many."""
        return tuple(one for one in self.notes if one.startswith("duplicate: "))


class DecisionSink(Protocol):
    """Where decisions are written: a FHIR server through writeback/, or a fake."""

    def send(self, proposal: Proposal, *, write: bool) -> Written:
        """Send one proposal; without ``write`` only say what would happen."""
        ...
