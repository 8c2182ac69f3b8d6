"""The answers of one part of a cohort: counts, who is listed, one patient, everybody as a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhir_adapter.model.decision import STOP_ORDER, Outcome
from fhir_adapter.model.fact import PatientRecord
from fhir_adapter.model.feasibility import MARKS, Counted
from fhir_adapter.model.lane import LaneAnswer, LaneResult
from fhir_adapter.model.result import Effect
from fhir_adapter.model.study import SETTLED_ORDER
from fhir_adapter.model.truth import Reason, Truth
from fhir_adapter.warehouse.arrow import Table, pa, pc, pq
from fhir_adapter.warehouse.rows import newest_first
from fhir_adapter.warehouse.work import unwritable

OUTCOMES = tuple(Outcome)
EFFECTS = tuple(Effect)
TRUTHS = (Truth.FALSE, Truth.UNKNOWN, Truth.TRUE)
_LISTED = (OUTCOMES.index(Outcome.NEEDS_DATA), OUTCOMES.index(Outcome.CANDIDATE))
_PACK = 2**20
_PARTS = (len(EFFECTS), 2, max(Reason).value + 1, len(OUTCOMES))


@dataclass(frozen=True, slots=True)
class PartAnswers:
    """What the statement said of every patient of a part."""

    table: Table
    ids: Mapping[int, str]
    criteria: tuple[str, ...]

    @property
    def outcomes(self) -> Counter[Outcome]:
        """Everybody, by outcome."""
        counted = pc.value_counts(self.table["outcome"]).to_pylist()
        return Counter({OUTCOMES[row["values"]]: row["counts"] for row in counted})

    def listed(self) -> tuple[int, ...]:
        """Numbers of who stands in the default list: candidates, and needs-data with a pointer."""
        outcome = self.table["outcome"]
        candidate = pc.equal(outcome, _LISTED[1])
        needs = pc.and_(pc.equal(outcome, _LISTED[0]), pc.greater(self.table["pointers"], 0))
        found = self.table.filter(pc.or_(candidate, needs))["patient"]
        return tuple(sorted(found.to_pylist()))

    def answers(self, records: Mapping[int, PatientRecord]) -> Mapping[int, LaneAnswer]:
        """The answers of some patients, their evidence as references of their records."""
        rows = self.table.filter(pc.is_in(self.table["patient"], pa.array(sorted(records))))
        return {
            row["patient"]: self._answer(row, records[row["patient"]]) for row in rows.to_pylist()
        }

    def _answer(self, row: Mapping[str, Any], record: PatientRecord) -> LaneAnswer:
        sources = [fact.source for fact in sorted(record.facts, key=newest_first)]
        stops = tuple(s for place, s in enumerate(STOP_ORDER) if row["stops"] >> place & 1)
        results = (_result(row, number, name, sources) for number, name in enumerate(self.criteria))
        return LaneAnswer(
            patient=record.patient,
            outcome=OUTCOMES[int(row["outcome"])],
            stops=stops,
            pointers=0 if stops else row["pointers"],
            results=() if stops else tuple(results),
        )

    def counted(self) -> Counted:
        """People by combination of marks; the statement must have been made for counting."""
        stops = Counter(
            next(one for place, one in enumerate(STOP_ORDER) if mask >> place & 1)
            for mask in self.table["stops"].to_pylist()
            if mask
        )
        judged = self.table.filter(pc.equal(self.table["stops"], 0))
        marks = [_marks(judged, number) for number in range(len(self.criteria))]
        rows = np.column_stack(marks) if marks else np.zeros((judged.num_rows, 0), np.uint8)
        found = Counter(row.tobytes() for row in rows)
        return Counted(combinations=found, stops=stops)

    def write(self, path: Path) -> None:
        """Everybody's outcome, effects and reasons in words, as one Parquet file.

        Whoever a stop ends has no criterion in it (NULL), as everywhere else.
        """
        judged = pc.equal(self.table["stops"], 0)
        words = {
            "patient": pa.array([self.ids[n] for n in self.table["patient"].to_pylist()]),
            "outcome": _worded(self.table["outcome"], [one.value for one in OUTCOMES]),
            "stops": pc.cast(self.table["stops"], pa.int32()),
            "pointers": pc.cast(self.table["pointers"], pa.int32()),
        }
        reasons = ["", *(reason.code for reason in Reason)]
        for number, name in enumerate(self.criteria):
            effect, reason, assumed = (
                pc.if_else(judged, self.table[f"{kind}{number}"], None) for kind in "fra"
            )
            words[name] = _worded(effect, [one.value for one in EFFECTS])
            words[f"{name} reason"] = _worded(
                pc.if_else(judged, pc.fill_null(reason, 0), None), reasons
            )
            words[f"{name} assumed"] = pc.equal(assumed, 1)
        try:
            pq.write_table(pa.table(words), path, compression="zstd")
        except OSError as fault:
            path.unlink(missing_ok=True)
            raise unwritable(fault) from None


def _numbers_of_marks() -> Any:
    numbers = np.zeros(_PARTS, dtype=np.uint8)
    for number, mark in enumerate(MARKS):
        reason = 0 if mark.reason is None else mark.reason.value
        call = OUTCOMES.index(mark.call)
        numbers[EFFECTS.index(mark.effect), int(mark.assumed), reason, call] = number
    return numbers


_MARK_NUMBERS = _numbers_of_marks()


def _marks(table: Table, number: int) -> Any:
    columns = (pc.fill_null(table[f"{letter}{number}"], 0) for letter in "farc")
    return _MARK_NUMBERS[tuple(column.to_numpy().astype(np.int64) for column in columns)]


def _worded(column: object, words: Sequence[str]) -> object:
    numbers = pc.cast(column, pa.int32()).combine_chunks()
    return pa.DictionaryArray.from_arrays(numbers, pa.array(list(words)))


def _result(row: Mapping[str, Any], number: int, name: str, sources: Sequence[str]) -> LaneResult:
    seqs = [seq for packed in row[f"e{number}"] or () for seq in unpack(packed or 0)]
    reason, settled = row[f"r{number}"], row[f"s{number}"]
    return LaneResult(
        criterion=name,
        truth=TRUTHS[int(row[f"t{number}"])],
        reason=None if reason is None else Reason(reason),
        effect=EFFECTS[int(row[f"f{number}"])],
        assumed=row[f"a{number}"] == 1,
        settled=None if settled is None else SETTLED_ORDER[int(settled)],
        evidence=tuple(dict.fromkeys(sources[seq - 1] for seq in seqs)),
    )


def unpack(value: int) -> tuple[int, ...]:
    """The fact numbers of one packed integer, in the order in which they are shown.

    >>> unpack(7 + 9 * 2**20)
    (7, 9)
    """
    numbers = (value % _PACK, value // _PACK % _PACK, value // _PACK**2)
    return tuple(number for number in numbers if number)
