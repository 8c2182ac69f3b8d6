"""pyarrow, which ships no types: what is taken from it here is Any, and is taken nowhere else."""

from __future__ import annotations

from typing import Any

import pyarrow as _arrow  # type: ignore[import-untyped]  # noqa: ICN001 - pa is the Any below
import pyarrow.compute as _compute  # type: ignore[import-untyped] # pyarrow has no types
import pyarrow.parquet as _parquet  # type: ignore[import-untyped] # pyarrow has no types

pa: Any = _arrow
pc: Any = _compute
pq: Any = _parquet
Table = Any
