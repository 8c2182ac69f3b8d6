"""STORY: everyone. An export becomes fact tables that questions about all patients are put to.

export bytes -> buckets -> facts -> Parquet. Export and tables come through ports; a load that does
not end leaves the tables that were there before.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager

from fhir_adapter.ports import BulkSource, FactLoad, LoadCounts, LoadStep


def load(
    source: BulkSource, tables: AbstractContextManager[FactLoad]
) -> Generator[LoadStep, None, LoadCounts]:
    """Load an export; yields how far it is, returns what the store holds afterwards."""
    with tables as running:
        yield from running.split(source)
        yield from running.normalise()
        yield from running.write()
        return running.switch()
