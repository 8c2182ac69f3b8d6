"""What every engine of the cohort lane does, and the small tables that a statement reads besides.

An engine is given fact tables (in memory, or as Parquet files), then who is judged and as of when,
then a statement; it answers with one row per patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from fhir_adapter.ports import Moment, Statement, Told
from fhir_adapter.warehouse.arrow import Table, pa
from fhir_adapter.warehouse.dictionary import Dictionary


class Engine(Protocol):
    """DuckDB in this process, or Spark wherever it runs: the same tables, the same answers."""

    def tables(self, tables: Mapping[str, Table]) -> None:
        """Fact tables that are in memory."""
        ...

    def files(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Fact tables that are Parquet files."""
        ...

    def moments(self, moments: Iterable[Moment]) -> None:
        """Which patients are judged, and as of when."""
        ...

    def run(self, statement: Statement, dictionary: Dictionary) -> Table:
        """One row per patient, in the columns that evaluate/cohort/statement.py names."""
        ...

    def close(self) -> None:
        """End what was opened for it."""
        ...


def moment_table(moments: Iterable[Moment]) -> Table:
    """Table ``moment``: who is judged."""
    rows = list(moments)
    types = (pa.int32(), pa.int64(), pa.int32(), pa.int32())
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            name: pa.array(list(column), kind)
            for name, column, kind in zip(Moment._fields, columns, types, strict=True)
        }
    )


def input_tables(statement: Told, dictionary: Dictionary) -> dict[str, Table]:
    """Tables ``concept_set`` and ``system_mask``: the codes of a statement in a store's numbers."""
    concepts = enumerate(dictionary.codes, 1)
    systems = ((number, frozenset(names)) for number, names in enumerate(dictionary.systems, 1))
    masks = ("systems", *(f"m{n}" for n in range(statement.masks)))
    return {
        "concept_set": _numbers(("concept", "set_no"), list(statement.concept_sets(concepts))),
        "system_mask": _numbers(masks, list(statement.system_masks(systems))),
    }


def _numbers(names: Sequence[str], rows: Sequence[tuple[int, ...]]) -> Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table(
        {
            name: pa.array(list(column), pa.int64())
            for name, column in zip(names, columns, strict=True)
        }
    )
