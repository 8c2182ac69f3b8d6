"""The fact tables of the cohort lane: what a row is, for those who write it and those who read it.

A stored table has every column of ``Fact`` under its own name (the list exists there only),
numbers in the place of enums, dictionary ids in the place of codes, and the few columns below
that SQL compares and never works out. Facts of one patient are numbered by ``seq``.

==============  ==================================================================================
fact            one row per fact, sorted by patient and seq
fact_concept    one row per coding of a fact: (concept, role, kind, patient, start_lo, seq), sorted
                by concept, patient, start_lo
concept         the dictionary: (concept, system, code)
coding_systems  (systems, system): which code systems a combination number stands for
patient         one row per canonical patient: (patient, id, resources, issues)
alias           (patient, id): every other id of a merged patient
retrieved       (patient, kind, complete, date_from, date_to, why_not)
==============  ==================================================================================
"""

from __future__ import annotations

from fhir_adapter.model.fact import Kind, Standing

TABLES_SCHEMA = 3
"""Version of these tables; stores of another number are refused by name."""

KIND_NUMBER: dict[Kind, int] = {kind: number for number, kind in enumerate(Kind, start=1)}
KINDS: tuple[Kind, ...] = tuple(Kind)

STANDING_NUMBER: dict[Standing, int] = {
    Standing.COUNTS: 0,
    Standing.IGNORED: 1,
    Standing.MAKES_UNKNOWN: 2,
}

CONCEPT_ROLE = 0
"""The coding says what the fact is about."""

VALUE_ROLE = 1
"""The coding is the fact's value."""

DERIVED: dict[str, str] = {
    "seq": "number of the fact within its patient, from 1: the newest start_lo first, then source",
    "visit": "encounters of the patient from 1; without one minus the local date of start_hi",
    "last_start": "latest instant at which the fact may start (a time stamp: its printed digit)",
    "last_end": "latest instant at which it may end, likewise",
    "systems": "number of the combination of code systems of its concepts",
}
"""Columns of ``fact`` beyond those of ``Fact``."""

SEQ_LIMIT = 2**20
"""Facts of one patient beyond this are refused: three numbers are packed into one integer."""

MICROS_MAX = 2**62
"""EARLIEST and LATEST fit a signed 64-bit column."""
