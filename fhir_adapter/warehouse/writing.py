"""Tables to Parquet files: zstd, texts by dictionary, row groups that order lets readers skip."""

from __future__ import annotations

import os
from pathlib import Path

from fhir_adapter.warehouse.arrow import Table, pq
from fhir_adapter.warehouse.rows import SCHEMAS, Tables

_ROW_GROUP = 65536


def write_tables(folder: Path, tables: Tables) -> None:
    """One file per table, in a new or existing folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        _write(folder / f"{name}.parquet", table.cast(SCHEMAS[name]))


def _write(path: Path, table: Table) -> None:
    with path.open("wb") as stream:
        pq.write_table(
            table, stream, compression="zstd", use_dictionary=True, row_group_size=_ROW_GROUP
        )
        stream.flush()
        os.fsync(stream.fileno())  # the manifest must not name what a power cut took away
