"""What several criteria ask of a record as a whole: the columns of table ``p``.

Only columns that some criterion reads are worked out; ``base_tables.py`` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhir_adapter.evaluate.cohort.inputs import BITS, Inputs
from fhir_adapter.model.code import Code
from fhir_adapter.model.decision import Stop
from fhir_adapter.model.fact import Kind, Standing
from fhir_adapter.model.tables import KIND_NUMBER, STANDING_NUMBER
from fhir_adapter.model.vocabulary import (
    DECEASED,
    RESTRICTED,
    SUPERSEDED,
    TEST_RECORD,
)

ROW = (
    "patient", "seq", "kind", "start_lo", "start_hi", "last_start", "start_date_lo",
    "start_date_hi", "end_lo", "end_hi", "last_end", "end_date_lo", "end_date_hi", "value_lo",
    "value_hi", "value_lo_open", "value_hi_open", "reported_lo", "reported_hi", "reported_unit",
    "unit", "ref_low", "ref_high", "standing", "standing_reason", "status", "clinical_status",
    "severity", "stage", "criticality", "known_from", "study",
)  # fmt: skip
"""Columns of a fact that criteria read."""

WORDS = frozenset(
    ("reported_unit", "unit", "status", "clinical_status", "severity", "stage", "criticality",
     "study")
)  # fmt: skip
"""Of these, columns of words: from the first table on they are numbers."""

IGNORED = STANDING_NUMBER[Standing.IGNORED]
COUNTS = STANDING_NUMBER[Standing.COUNTS]
BORN = "m.as_of >= f.start_lo AND m.as_of >= f.known_from"
PARTICIPATION_KIND = KIND_NUMBER[Kind.STUDY_PARTICIPATION]
OTHERS = 1000
"""In the place of that number, and more for each further study: those in other studies."""
ASIDE = f"(f.standing = {IGNORED} OR f.about_other)"


STOP_FACTS = (
    (Stop.DECEASED, DECEASED),
    (Stop.RESTRICTED, RESTRICTED),
    (Stop.TEST_RECORD, TEST_RECORD),
    (Stop.SUPERSEDED, SUPERSEDED),
)


class Person:
    """Which columns of ``p`` are asked for, and by what names."""

    def __init__(self, inputs: Inputs, *, silence_refuses: bool) -> None:
        self.inputs: Inputs = inputs
        self.silence_refuses: bool = silence_refuses
        self._own: frozenset[str] = frozenset()
        self.studies: list[frozenset[str]] = []
        self.pulled_kinds: dict[int, None] = {}
        self.summed: dict[int, None] = {}
        self.whichever: set[int] = set()
        self.denied_kinds: dict[int, None] = {}
        self.codes: dict[str, Code] = {}
        self.here: dict[str, list[int]] = {}
        self.documents: bool = False
        self.admission: bool = False

    # ------------------------------------------------------------------ what criteria may ask

    def begin(self, own: frozenset[str]) -> None:
        """From now on this is asked for the study which records know by these names."""
        self._own = own
        if own and own not in self.studies:
            self.studies.append(own)

    @property
    def _of_own(self) -> int:
        return OTHERS + self.studies.index(self._own) if self._own else 0

    def others(self, kinds: Iterable[Kind], fact: str) -> str:
        """Condition: a fact speaks of no participation in this study (AND ..., or nothing)."""
        if not self._own or Kind.STUDY_PARTICIPATION not in kinds:
            return ""
        own = (str(self.inputs.word("study", one)) for one in sorted(self._own))
        return f" AND {fact}.study NOT IN ({', '.join(own)})"

    def any_code(self, kinds: Iterable[int]) -> None:
        """Facts of these kinds are read whatever their codes, from the table ``whichever``."""
        self.whichever.update(kinds)

    def pulled(self, kind: Kind) -> str:
        """Column: NULL where the kind was pulled whole, else the date up to which it was not."""
        self.pulled_kinds[KIND_NUMBER[kind]] = None
        return f"pulled_{KIND_NUMBER[kind]}"

    def present(self, kind: Kind) -> str:
        """Column: 1 where facts of the kind exist, else NULL."""
        return f"has_{self._stats_of(kind)}"

    def mapped(self, kind: Kind, bit: int) -> tuple[str, int]:
        """(column, mask): facts of the kind in one of a set's code systems have the bit."""
        return f"m{bit // BITS}_{self._stats_of(kind)}", 1 << (bit % BITS)

    def denied(self, kind: Kind) -> str:
        """Column: 1 where the record states that there is nothing of the kind."""
        number = self._number(kind)
        self.denied_kinds[number] = None
        return f"denied_{number}"

    def known_here(self, kinds: Iterable[Kind]) -> str:
        """Column: 1 where the patient is known here by facts of these kinds; nobody is by none."""
        numbers = sorted(self._stats_of(kind) for kind in kinds)
        self.admission = True
        column = "_".join(("here", *map(str, numbers)))
        self.here[column] = numbers
        return column

    def fact(self, name: str, code: Code) -> None:
        """Columns NAME_seq, NAME_lo, NAME_hi, NAME_standing of a fact about the patient."""
        self.codes[name] = code

    def _number(self, kind: Kind) -> int:
        """The kind's number; participations in other studies than this have one of their own."""
        of_own = self._of_own if kind is Kind.STUDY_PARTICIPATION else 0
        return of_own or KIND_NUMBER[kind]

    def _stats_of(self, kind: Kind) -> int:
        number = self._number(kind)
        self.summed[number] = None
        return number

    def stops(self) -> dict[Stop, str]:
        """Columns that say, by 1, which stop holds; ``told_stops`` is what the runner knows."""
        found = {stop: f"stop_{stop.value.replace('-', '_')}" for stop, _ in STOP_FACTS}
        found[Stop.OPTED_OUT] = "stop_opted_out"
        if self._own:
            found[Stop.ON_STUDY] = f"stop_on_study_{self._of_own}"
        return found

    def class_columns(self) -> tuple[list[str], list[str]]:
        """Columns that are NULL for whoever has a class, and those that make it."""
        whole = [f"pulled_{number}" for number in self.pulled_kinds]
        if self.documents:
            whole.append("outside_document")
        stats = [
            f"{name}_{number}"
            for number in self.summed
            for name in ("has", *(f"m{mask}" for mask in range(self.inputs.masks)))
        ]
        denied = [f"denied_{number}" for number in self.denied_kinds]
        return whole, ["as_of", "as_of_date", *stats, *denied, *self.here]

    @property
    def alive(self) -> str:
        """Condition on ``f`` and ``m``: the fact existed at as_of and may decide something."""
        return f"{BORN} AND NOT {ASIDE}"
