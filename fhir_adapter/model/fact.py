"""Fact: one typed, coded, dated statement with its source; and what was pulled whole.

The column list of the fact tables is this struct, field by field, and exists nowhere else.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from fhir_adapter.model.code import Code
from fhir_adapter.model.dates import DATE_EARLIEST, DATE_LATEST, EARLIEST, LATEST
from fhir_adapter.model.truth import Reason


class Kind(StrEnum):
    """What sort of statement a fact is (design section 3)."""

    PATIENT = "patient"
    OBSERVATION = "observation"
    REPORT = "report"
    CONDITION = "condition"
    PROCEDURE = "procedure"
    MEDICATION = "medication"
    IMMUNIZATION = "immunization"
    ALLERGY = "allergy"
    ENCOUNTER = "encounter"
    SERVICE_REQUEST = "service-request"
    CONSENT = "consent"
    DOCUMENT = "document"
    STUDY_PARTICIPATION = "study-participation"
    ANSWER = "answer"
    ENTERED = "entered"


class Standing(StrEnum):
    """Whether a fact counts, is kept but ignored, or makes what it touches unknown."""

    COUNTS = "counts"
    IGNORED = "ignored"
    MAKES_UNKNOWN = "makes-unknown"


FACTS_SCHEMA = 1
"""Version of the column list; a stored table of another number is refused by name."""

_PRECISE = 60_000_000


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One statement of the record.

    Instants are microseconds since the epoch, half-open [lo, hi); dates are local ordinals, both
    ends closed. A moment has end = start; a running state ends at LATEST; an end that is not
    stated may lie anywhere from start_lo on. Values are canonical; `reported_*` is the same number
    in the unit in which it was reported, `raw_*` the text as sent.
    """

    patient: str
    kind: Kind
    source: str
    """Reference without version; with its component: ``Observation/1#component[0]``."""
    concepts: tuple[Code, ...] = ()
    version: str = ""
    last_updated: str = ""
    encounter: str = ""
    """Reference of the encounter; read by the known-here policy only, never a filter."""

    start_lo: int = EARLIEST
    start_hi: int = LATEST
    end_lo: int = EARLIEST
    end_hi: int = LATEST
    start_date_lo: int = DATE_EARLIEST
    start_date_hi: int = DATE_LATEST
    end_date_lo: int = DATE_EARLIEST
    end_date_hi: int = DATE_LATEST
    date_source: str = ""
    """Element that gave the start: onset, effective, performed, recorded, issued, authored, ..."""
    known_from: int = EARLIEST
    """Earliest instant at which the record can have held this (issued, recorded, authored)."""

    value_lo: Decimal | None = None
    value_hi: Decimal | None = None
    value_lo_open: bool = False
    value_hi_open: bool = False
    unit: str = ""
    """Canonical unit; empty when the value is not numeric or not convertible."""
    reported_lo: Decimal | None = None
    reported_hi: Decimal | None = None
    reported_unit: str = ""
    """Unit as reported, spelled in UCUM: it chooses among printed bounds."""
    raw_value: str = ""
    raw_unit: str = ""
    comparator: str = ""
    value_concepts: tuple[Code, ...] = ()
    ref_low: Decimal | None = None
    ref_high: Decimal | None = None

    standing: Standing = Standing.COUNTS
    standing_reason: Reason | None = None
    """Set when the standing is MAKES_UNKNOWN: why."""
    status: str = ""
    clinical_status: str = ""
    """active, inactive, or empty when not stated (recurrence is active, remission inactive)."""
    severity: str = ""
    stage: str = ""
    criticality: str = ""
    intent: str = ""
    component: int | None = None
    about_other: bool = False
    """Focus or specimen of somebody else: kept, decides nothing."""
    recorded_absence: bool = False
    """A statement about a whole kind ("no known allergies"): satisfies any absence policy."""
    study: str = ""
    """Reference or identifier of the other study, for study-participation."""
    set_by: str = ""
    """"person" or "machine", for study-participation, answers and entered values."""
    label: str = ""
    """Display text for people; never matched."""
    issues: tuple[str, ...] = ()
    """Data-quality codes found while reading."""


def last_start(fact: Fact) -> int:
    """The latest instant at which a fact may start; a time stamp counts at its printed digit."""
    precise = fact.start_hi - fact.start_lo <= _PRECISE
    return fact.start_lo if precise else fact.start_hi - 1


def last_end(fact: Fact) -> int:
    """The latest instant at which a fact may end; likewise."""
    precise = fact.end_hi - fact.end_lo <= _PRECISE
    return fact.end_lo if precise else fact.end_hi - 1


class Retrieved(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was pulled whole: one row per patient and kind (and span, local dates, both closed)."""

    patient: str
    kind: Kind
    complete: bool
    date_from: int = DATE_EARLIEST
    date_to: int = DATE_LATEST
    why_not: str = ""
    """A kebab-case code such as forbidden, cut-short, no-file; never server text."""


class PatientRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything known of one patient, normalised: facts in a fixed order and what was pulled."""

    patient: str
    """The patient's logical id on the record server."""
    facts: tuple[Fact, ...]
    retrieved: tuple[Retrieved, ...]
    aliases: tuple[str, ...] = ()
    """Other ids of the same person (merges), followed to the end."""
    resources: int = 0
    """How many resources were read, whether or not they gave a fact."""
    issues: tuple[str, ...] = ()
